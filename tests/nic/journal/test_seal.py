"""Checksums are made where records leave a journal's memory: by its thread, by its readers, by the next start."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.journal import seal
from crosswire.nic.journal.files import MemoryJournal, SharedJournal, make_journal, salvage, segment_name
from crosswire.nic.journal.format import WORD_BYTES, RecordHeader, SegmentHeader
from crosswire.nic.journal.reader import JournalReader, read_journal
from crosswire.nic.journal.seal import Sealer, proven_bytes
from crosswire.nic.journal.walk import End
from crosswire.nic.memory.struct import view
from tests.nic.journal.test_journal import Record, read, records, whole, write, write_many
from tests.support.small_journal import RECORD_BYTES, WORDS

pytestmark = pytest.mark.usefixtures("small_segments")
HEADER_BYTES = SegmentHeader.size


def shared(tmp_path: Path) -> SharedJournal:
    memory = tmp_path / "memory"
    memory.mkdir()
    return SharedJournal(make_journal(), tmp_path / "journal", memory)


def place_of(record: int) -> int:
    """Where record number `record`, from 1, begins."""
    return HEADER_BYTES + (record - 1) * RECORD_BYTES


def checksums(data: np.ndarray, count: int) -> list[int]:
    return [view(RecordHeader, data.ctypes.data + place_of(number)).checksum for number in range(1, count + 1)]


def end_of(folder: Path) -> tuple[int, End, str]:
    reader = read_journal(folder)
    count = len(read(reader))
    return count, reader.end, reader.where


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file in place, as a wild store would."""
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([before ^ 0x10]))


def test_the_loop_leaves_checksums_out_and_the_disk_has_them(tmp_path: Path) -> None:
    with shared(tmp_path) as kept:
        write_many(kept.journal, 4, WORDS)
        kept.keep()
        memory = np.fromfile(kept.folder / "000000.memory", np.uint8)
        assert checksums(memory, 4) == [0, 0, 0, 0]
        disk = np.fromfile(kept.folder / segment_name(0), np.uint8)
        assert all(checksums(disk, 4))
        assert proven_bytes(disk) == place_of(5)


@given(records, st.lists(st.integers(1, 90), min_size=1, max_size=8))
def test_sealed_piece_by_piece_it_is_as_sealed_at_once(written: list[Record], steps_words: list[int]) -> None:
    kept = MemoryJournal(make_journal())
    for record in written:
        write(kept.journal, record)
    pieces = np.frombuffer(kept.segment.memory, np.uint8)[: kept.journal.position - kept.segment.address].copy()
    sealer, at, end = Sealer(), 0, 0
    for step in itertools.cycle(steps_words):
        end = min(end + step * WORD_BYTES, len(pieces))
        at = sealer.seal(pieces[at:end], at)  # what is not whole yet is left for the next piece
        assert at <= end
        if end == len(pieces):
            break
    assert at == end
    assert pieces.tobytes() == bytes(kept.written())


@pytest.mark.parametrize("shown_bytes", [0, 8, RecordHeader.size, RecordHeader.size + 8])
def test_who_reads_while_it_is_written_sees_whole_records_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown_bytes: int
) -> None:
    """While a reader looks, the loop commits a record: the look shows its first bytes, what follows is still zeros."""
    with shared(tmp_path) as kept:
        write_many(kept.journal, 2, WORDS)
        looks = 0

        def look(path: Path, kind: type, read_file: Callable[..., np.ndarray] = np.fromfile) -> np.ndarray:
            nonlocal looks
            seen = read_file(path, kind)
            if path.suffix == ".memory":
                looks += 1
                write_many(kept.journal, 1, WORDS)
                if looks == 1:
                    after = read_file(path, kind)
                    seen[place_of(3) :][:shown_bytes] = after[place_of(3) :][:shown_bytes]
            return seen

        with monkeypatch.context() as patched:
            patched.setattr(seal.np, "fromfile", look)
            reader = read_journal(kept.folder)
            assert read(reader) == whole(3 if shown_bytes else 2, WORDS)
            reader.check()
        assert looks >= 2
        assert read(read_journal(kept.folder)) == whole(kept.journal.sequence, WORDS)


def test_memory_damaged_before_it_is_copied_is_a_failure_that_says_where(tmp_path: Path) -> None:
    kept = shared(tmp_path)
    write_many(kept.journal, 2, WORDS)
    kept.keep()
    write_many(kept.journal, 3, WORDS)
    flip(kept.folder / "000000.memory", place_of(4) + 6)  # the mark of record 4
    kept.keep()
    assert str(kept.failure) == f"segment 0, byte {place_of(4)}: what was committed is damaged in memory"
    disk = np.fromfile(kept.folder / segment_name(0), np.uint8)
    assert read(JournalReader([(0, disk)], "disk")) == whole(3, WORDS)
    assert end_of(kept.folder) == (3, End.BAD_LENGTH, f"segment 0, byte {place_of(4)}")
    kept.close()
    assert kept.failure is not None


@pytest.mark.parametrize("reads", ["salvaged", "read"])
def test_what_the_disk_has_is_believed_before_the_memory(tmp_path: Path, reads: str) -> None:
    """A wild store into what was synced long ago changes nothing, and is not sealed as if it were so."""
    kept = shared(tmp_path)
    write_many(kept.journal, 3, WORDS)
    kept.keep()
    write_many(kept.journal, 2, WORDS)
    flip(kept.folder / "000000.memory", place_of(2) + RecordHeader.size)
    kept._give_back()
    folder = kept.folder
    if reads == "salvaged":
        assert salvage(folder) == 2 * RECORD_BYTES
        assert list((tmp_path / "memory").iterdir()) == []
    reader = read_journal(folder)
    assert read(reader) == whole(5, WORDS)
    reader.check()


def test_a_damaged_disk_is_mended_from_memory(tmp_path: Path) -> None:
    kept = shared(tmp_path)
    write_many(kept.journal, 3, WORDS)
    kept.keep()
    flip(kept.folder / segment_name(0), place_of(2) + RecordHeader.size)
    kept._give_back()
    salvage(kept.folder)
    reader = read_journal(kept.folder)
    assert read(reader) == whole(3, WORDS)
    reader.check()
