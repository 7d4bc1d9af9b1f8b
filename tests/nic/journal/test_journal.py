"""A journal: what was committed is read back, exactly and in order; what was not, or was changed since, never is."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.host.process import HostError
from crosswire.nic.journal import files
from crosswire.nic.journal.files import (
    MemoryJournal,
    SharedJournal,
    is_being_written,
    make_journal,
    salvage,
    segment_name,
)
from crosswire.nic.journal.format import HEADER_WORDS, PAYLOAD_BYTES_MAX, RecordHeader, SegmentHeader
from crosswire.nic.journal.journal import Journal, begin_record, commit_record, wants_segment
from crosswire.nic.journal.reader import JournalReader, read_journal, read_memory
from crosswire.nic.journal.walk import End
from crosswire.nic.memory.raw import store_i64
from crosswire.nic.memory.struct import Struct, i64, size_of
from crosswire.nic.unit.compile import compiled
from tests.support.disk import small_disk
from tests.support.paths import ROOT

WORDS_MAX = PAYLOAD_BYTES_MAX // 8
KIND = 7
FULL_MB = 24

Record = tuple[int, int, list[int]]  # kind, time, words
records = st.lists(
    st.tuples(
        st.integers(2, 65_535),
        st.integers(0, 1 << 62),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=WORDS_MAX),
    ),
    max_size=40,
)


class Numbers(Struct):
    first: i64
    second: i64


@compiled
def write_many(journal: Journal, count: int, words: int) -> None:
    """Write records whose words tell which they are."""
    for _ in range(count):
        address = begin_record(journal, 8 * words)
        for place in range(words):
            store_i64(address + 8 * place, (journal.sequence + 1) * 1000 + place)
        commit_record(journal, KIND, 1, 8 * words, journal.sequence + 1)


def write(journal: Journal, record: Record) -> None:
    kind, time_ns, words = record
    address = begin_record(journal, 8 * len(words))
    for place, word in enumerate(words):
        store_i64(address + 8 * place, word)
    commit_record(journal, kind, 1, 8 * len(words), time_ns)


def read(reader: JournalReader) -> list[Record]:
    found = []
    for batch in reader.batches():
        for place, commit, time_ns in zip(batch.places, batch.commits, batch.times_ns, strict=True):
            payload = batch.words[place + HEADER_WORDS :][: int(commit["payload_bytes"]) // 8]
            found.append((int(commit["kind"]), int(time_ns), payload.tolist()))
    return found


def whole(count: int, words: int) -> list[Record]:
    """What `write_many` writes."""
    return [(KIND, n, [n * 1000 + place for place in range(words)]) for n in range(1, count + 1)]


@given(records)
def test_what_is_written_is_read(written: list[Record]) -> None:
    kept = MemoryJournal(make_journal())
    for record in written:
        write(kept.journal, record)
    reader = read_memory(kept)
    assert read(reader) == written
    assert reader.end == End.TAIL
    assert reader.records == len(written)


@given(records.filter(bool), st.data())
def test_a_flipped_bit_is_found_where_it_is(written: list[Record], data: st.DataObject) -> None:
    """Whichever it is: what stands before it is read, and nothing from it on."""
    kept = MemoryJournal(make_journal())
    starts = []
    for record in written:
        starts.append(kept.journal.position - kept.segment.address)
        write(kept.journal, record)
    image = np.frombuffer(bytes(kept.written()), np.uint8).copy()
    bit = data.draw(st.integers(8 * starts[0], 8 * len(image) - 1))
    image[bit // 8] ^= 1 << bit % 8
    damaged = max(place for place, start in enumerate(starts) if start <= bit // 8)
    reader = JournalReader([(0, image)], "damaged")
    assert read(reader) == written[:damaged]
    assert reader.end not in (End.TAIL, End.MORE)


@given(st.integers(0, 8 * SegmentHeader.size - 1))
def test_a_damaged_segment_header_is_found(bit: int) -> None:
    kept = MemoryJournal(make_journal())
    write(kept.journal, (KIND, 1, [1, 2, 3]))
    image = np.frombuffer(bytes(kept.written()), np.uint8).copy()
    image[bit // 8] ^= 1 << bit % 8
    reader = JournalReader([(0, image)], "damaged")
    assert read(reader) == []
    assert reader.end == End.BAD_SEGMENT


@given(records.filter(bool), st.data())
def test_a_torn_tail_costs_what_was_not_committed(written: list[Record], data: st.DataObject) -> None:
    """A writer that dies in a record has written some of its bytes, and not the word that makes it one."""
    kept = MemoryJournal(make_journal())
    for record in written[:-1]:
        write(kept.journal, record)
    begun = kept.journal.position - kept.segment.address
    write(kept.journal, written[-1])
    image = np.frombuffer(bytes(kept.written()), np.uint8).copy()
    cut = data.draw(st.integers(begun + 8, len(image)))
    image[begun : begun + 8] = 0
    image[cut:] = 0
    reader = JournalReader([(0, image)], "torn")
    assert read(reader) == written[:-1]
    assert reader.end == (End.UNFINISHED if image[begun:].any() else End.TAIL)


def test_a_record_of_another_journal_or_another_place_is_not_believed() -> None:
    first, second = MemoryJournal(make_journal()), MemoryJournal(make_journal())
    for kept in (first, second):
        write_many(kept.journal, 3, 4)
    own = np.frombuffer(bytes(first.written()), np.uint8).copy()
    other = np.frombuffer(bytes(second.written()), np.uint8)
    size = RecordHeader.size + 8 * 4
    third = SegmentHeader.size + 2 * size
    foreign = own.copy()
    foreign[third:] = other[third:]
    assert read(JournalReader([(0, foreign)], "foreign")) == whole(2, 4)
    again = own.copy()
    again[third:] = own[SegmentHeader.size : SegmentHeader.size + size]
    reader = JournalReader([(0, again)], "again")
    assert read(reader) == whole(2, 4)
    assert reader.end == End.BAD_SEQUENCE


def test_segments_follow_one_another_on_the_disk(tmp_path: Path) -> None:
    kept = MemoryJournal(make_journal(), tmp_path / "journal")
    written = 0
    while kept.segment.number < 3:
        write_many(kept.journal, 1_000, 12)
        written += 1_000
        if wants_segment(kept.journal):
            kept.take()
    kept.close()
    reader = read_journal(tmp_path / "journal")
    assert read(reader) == whole(written, 12)
    assert reader.end == End.TAIL
    (tmp_path / "journal" / segment_name(1)).unlink()
    reader = read_journal(tmp_path / "journal")
    assert 0 < len(read(reader)) < written
    assert reader.end == End.BAD_SEGMENT


def test_without_a_segment_records_are_counted_and_go_nowhere() -> None:
    kept = MemoryJournal(make_journal())
    write_many(kept.journal, 200_000, 2)
    held = kept.journal.sequence
    assert kept.journal.dropped == 200_000 - held > 0
    assert read(read_memory(kept)) == whole(held, 2)
    kept.take()
    write_many(kept.journal, 5, 2)
    assert read(read_memory(kept)) == whole(held + 5, 2)[held:]


@contextmanager
def shared(folder: Path, memory: Path) -> Iterator[SharedJournal]:
    with SharedJournal(make_journal(), folder, memory) as kept:
        kept.start()
        yield kept


def test_a_shared_journal_is_whole_on_the_disk_and_in_no_memory_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    written = 0
    with shared(tmp_path / "journal", tmp_path / "memory") as kept:
        assert is_being_written(tmp_path / "journal")
        while written < 150_000:
            if wants_segment(kept.journal):
                time.sleep(0.001)
                continue
            write_many(kept.journal, 500, 12)
            written += 500
        # Whoever follows sees what is committed now, synced or not.
        assert read_to_end(tmp_path / "journal") == written
    assert kept.failure is None
    assert kept.journal.dropped == 0
    assert kept.journal.segments[0] > 4
    assert kept.synced_sequence == written
    assert 0 < kept.lag_ns_max < 10_000_000_000
    assert read(read_journal(tmp_path / "journal")) == whole(written, 12)
    assert list((tmp_path / "memory").iterdir()) == []
    assert {path.suffix for path in (tmp_path / "journal").iterdir()} == {".bin", ""}
    assert not is_being_written(tmp_path / "journal")


def read_to_end(folder: Path) -> int:
    reader = read_journal(folder)
    for _ in reader.batches():
        pass
    return reader.sequence


WRITER = """
import sys
from pathlib import Path
from crosswire.nic.journal.files import SharedJournal, make_journal
from tests.nic.journal.test_journal import write_many
from crosswire.nic.unit.call import compile_calls
compile_calls()
journal = make_journal()
kept = SharedJournal(journal, Path(sys.argv[1]), Path(sys.argv[2]))
write_many(journal, 0, 12)
kept.start()
print("ready", flush=True)
while True:
    write_many(journal, 100, 12)
    print(journal.sequence, flush=True)
"""


@pytest.mark.kill
def test_a_killed_writer_loses_nothing_that_it_committed(tmp_path: Path) -> None:
    """At moments drawn by chance. What it said of its progress stands in the journal, and no record is half there."""
    chance = random.Random(11)
    for number in range(12):
        folder, memory = tmp_path / f"journal-{number}", tmp_path / f"memory-{number}"
        memory.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(memory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(1 + chance.randrange(400))]
        time.sleep(chance.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.wait()
        said = int([line for line in lines if line.endswith("\n")][-1])
        found = read(read_journal(folder))
        assert len(found) >= said
        assert found == whole(len(found), 12)
        salvage(folder)
        assert list(memory.iterdir()) == []
        assert read(read_journal(folder)) == found
        assert salvage(folder) == 0


def test_what_is_being_written_is_not_salvaged(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    with shared(tmp_path / "journal", tmp_path / "memory") as kept:
        write_many(kept.journal, 10, 3)
        assert salvage(tmp_path / "journal") == 0
        assert len(list((tmp_path / "memory").iterdir())) == 2
    assert read(read_journal(tmp_path / "journal")) == whole(10, 3)


def test_a_record_that_ends_in_zeros_is_salvaged_whole(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    kept = SharedJournal(make_journal(), tmp_path / "journal", tmp_path / "memory")
    written = [(KIND, 1, [5, 0, 0, 0, 0, 0]), (KIND, 2, [0] * WORDS_MAX)]
    for record in written:
        write(kept.journal, record)
    kept._give_back()  # as the end of its process does
    assert read(read_journal(tmp_path / "journal")) == written
    assert salvage(tmp_path / "journal") > 0
    assert list((tmp_path / "memory").iterdir()) == []
    assert read(read_journal(tmp_path / "journal")) == written


def test_a_writer_that_dies_in_a_record_leaves_a_journal_that_can_be_read(tmp_path: Path) -> None:
    """The segment to come is allocated already, and is no sign that something was written behind the torn record."""
    (tmp_path / "memory").mkdir()
    kept = SharedJournal(make_journal(), tmp_path / "journal", tmp_path / "memory")
    write_many(kept.journal, 5, 3)
    store_i64(begin_record(kept.journal, 8 * 3), 77)
    kept._give_back()  # as the end of its process does
    for _ in ("from memory", "from the disk"):
        reader = read_journal(tmp_path / "journal")
        assert read(reader) == whole(5, 3)
        assert reader.end == End.UNFINISHED
        reader.check()
        salvage(tmp_path / "journal")
    assert list((tmp_path / "memory").iterdir()) == []


def test_memory_that_somebody_took_away_is_no_reason_to_touch_another_file(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    with shared(tmp_path / "journal", tmp_path / "memory") as kept:
        write_many(kept.journal, 10, 3)
        for path in (tmp_path / "memory").iterdir():
            path.unlink()
    assert kept.failure is None
    assert read(read_journal(tmp_path / "journal")) == whole(10, 3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", FULL_MB) as disk:
        yield disk


def test_a_full_disk_is_an_error_and_keeps_what_there_is(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    written = 0
    with shared(disk / "journal", tmp_path / "memory") as kept:
        deadline_s = time.monotonic() + 60
        while kept.failure is None and time.monotonic() < deadline_s:
            if not wants_segment(kept.journal):
                write_many(kept.journal, 100, 12)
                written += 100
        assert kept.failure is not None
        assert isinstance(kept.failure, OSError)
        assert kept.failure.strerror == "No space left on device"
        write_many(kept.journal, 100, 12)  # into the room that is kept for the answers to the last cancels
        written += 100
    assert kept.journal.dropped == 0
    assert read(read_journal(disk / "journal")) == whole(written, 12)
    assert written > FULL_MB * 1_000_000 // 160


def test_a_disk_that_is_full_from_the_start_is_refused_by_name(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (disk / "ballast").write_bytes(bytes(files.SEGMENT_BYTES * 5))
    with pytest.raises(HostError, match=r"journal .*/journal: No space left on device"):
        SharedJournal(make_journal(), disk / "journal", tmp_path / "memory")
    assert list((tmp_path / "memory").iterdir()) == []


def test_fields_that_a_record_lacks_are_zero() -> None:
    kept = MemoryJournal(make_journal())
    write(kept.journal, (KIND, 1, [5]))
    write(kept.journal, (KIND, 2, [6, 7, 8]))
    (batch,) = read_memory(kept).batches()
    assert batch.of(KIND, Numbers, 1).tolist() == [[5, 0], [6, 7]]
    assert size_of(Numbers) == 16
