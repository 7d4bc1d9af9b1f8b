"""What a reader believes of a journal's bytes, and what it says of the others, in segments of a few records."""

from pathlib import Path

import numpy as np
import pytest

from crosswire.nic.journal import files
from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.format import (
    MARK,
    PAYLOAD_BYTES_MAX,
    RecordHeader,
    SegmentHeader,
    commit_word,
    record_checksum,
    segment_checksum,
)
from crosswire.nic.journal.reader import JournalError, JournalReader, elements, read_journal, read_memory
from crosswire.nic.journal.walk import End
from crosswire.nic.memory.struct import view
from tests.nic.journal.test_journal import KIND, Numbers, read, write, write_many
from tests.nic.journal.test_journal_files import put
from tests.support.small_journal import FIT, RECORD_BYTES, SMALL_BYTES

pytestmark = pytest.mark.usefixtures("small_segments")


def image_of(count: int) -> tuple[MemoryJournal, np.ndarray]:
    kept = MemoryJournal(make_journal())
    put(kept, count)
    return kept, np.frombuffer(bytes(kept.written()), np.uint8).copy()


def ends(data: np.ndarray) -> tuple[int, End, str]:
    reader = JournalReader([(0, data)], "it")
    return len(read(reader)), reader.end, reader.where


def forge(kept: MemoryJournal, data: np.ndarray, payload_bytes: int, mark: int = MARK) -> None:
    """Make the third record one of another length, rightly checksummed."""
    at = SegmentHeader.size + 2 * RECORD_BYTES
    header = RecordHeader.at(data.ctypes.data + at)
    commit = commit_word(KIND, 1, payload_bytes) ^ (MARK ^ mark) << 48
    header.commit = commit
    header.checksum = record_checksum(
        kept.journal.multipliers, kept.journal.key, commit, header.sequence, header.time_ns,
        data.ctypes.data + at + RecordHeader.size, min(payload_bytes, PAYLOAD_BYTES_MAX) // 8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("payload_bytes", "mark", "end", "count"),
    [
        (448, MARK, End.TAIL, 3),
        (456, MARK, End.BAD_LENGTH, 2),
        (95, MARK, End.BAD_LENGTH, 2),
        (92, MARK, End.BAD_LENGTH, 2),
        (96, MARK ^ 1, End.BAD_LENGTH, 2),
        (0, MARK, End.TAIL, 3),
    ],
)
def test_a_record_has_a_length_that_there_can_be(payload_bytes: int, mark: int, end: End, count: int) -> None:
    kept, data = image_of(3)
    data = np.concatenate([data, np.zeros(1024, np.uint8)])
    if payload_bytes == 0:
        data[SegmentHeader.size + 2 * RECORD_BYTES + RecordHeader.size :] = 0
    forge(kept, data, payload_bytes, mark)
    behind = SegmentHeader.size + 2 * RECORD_BYTES + (count - 2) * (RecordHeader.size + payload_bytes)
    assert ends(data) == (count, end, f"segment 0, byte {behind}")


def test_a_segment_may_end_anywhere_but_in_a_record() -> None:
    _, data = image_of(3)
    third = SegmentHeader.size + 2 * RECORD_BYTES
    for length, expected in (
        (len(data), (3, End.TAIL)),
        (len(data) - 8, (2, End.BAD_LENGTH)),
        (third + 32, (2, End.BAD_LENGTH)),
        (third + 31, (2, End.TAIL)),
        (third, (2, End.TAIL)),
        (SegmentHeader.size, (0, End.TAIL)),
        (SegmentHeader.size - 8, (0, End.BAD_SEGMENT)),
        (8, (0, End.BAD_SEGMENT)),
        (7, (0, End.TAIL)),
    ):
        assert ends(data[:length])[:2] == expected, length


@pytest.mark.parametrize(("at", "end"), [(8, End.UNFINISHED), (479, End.UNFINISHED), (480, End.TAIL)])
def test_a_record_is_torn_if_anything_of_it_was_written(at: int, end: End) -> None:
    _, data = image_of(3)
    data = np.concatenate([data, np.zeros(1024, np.uint8)])
    data[SegmentHeader.size + 3 * RECORD_BYTES + at] = 1
    assert ends(data)[:2] == (3, end)


def test_what_stands_behind_a_torn_record_or_is_missing_is_told() -> None:
    kept, data = image_of(FIT)
    put(kept, 1)
    kept.take()
    put(kept, 2)
    second = np.frombuffer(bytes(kept.written()), np.uint8).copy()
    torn = data.copy()
    torn[SegmentHeader.size + 2 * RECORD_BYTES :][:8] = 0
    torn[SegmentHeader.size + 3 * RECORD_BYTES :] = 0
    bad = data.copy()
    bad[SegmentHeader.size + 4 * RECORD_BYTES + 40] ^= 1
    where = f"segment 0, byte {SegmentHeader.size + 2 * RECORD_BYTES}"
    for segments, count, end, words in (
        ([(0, torn)], 2, End.UNFINISHED, ""),
        ([(0, torn), (1, np.zeros(64, np.uint8))], 2, End.UNFINISHED, ""),
        ([(0, torn), (1, second)], 2, End.BAD_CHECKSUM, f"not what was written ({where}, and more was written behind"),
        ([(0, data), (1, second)], FIT + 2, End.TAIL, ""),
        ([(0, data), (2, second)], FIT, End.BAD_SEGMENT, "header is damaged (segment 1 is missing)"),
        ([(1, second)], 0, End.BAD_SEGMENT, "(segment 0 is missing)"),
        ([(0, bad), (1, second)], 4, End.BAD_CHECKSUM, "not what was written (segment 0, byte "),
        ([(0, data), (1, data)], FIT, End.BAD_SEQUENCE, "a record is missing (segment 1, byte "),
    ):
        reader = JournalReader(segments, "mine")
        assert (len(read(reader)), reader.end) == (count, end)
        if words:
            with pytest.raises(JournalError) as caught:
                reader.check()
            assert words in str(caught.value)
            assert str(caught.value).startswith("journal mine: ")
        else:
            reader.check()


def test_records_go_on_by_their_numbers_whatever_their_times() -> None:
    kept = MemoryJournal(make_journal())
    images = []
    for number in range(2):
        write(kept.journal, (KIND, 50 - number, [number]))
        images.append((number, np.frombuffer(bytes(kept.written()), np.uint8).copy()))
        kept.take()
    reader = JournalReader(images, "it")
    assert (read(reader), reader.end) == ([(KIND, 50, [0]), (KIND, 49, [1])], End.TAIL)


def test_rows_are_shown_as_structs() -> None:
    rows = np.array([[1, 2], [3, 4]])
    assert [(each.first, each.second) for each in elements(rows, Numbers)] == [(1, 2), (3, 4)]


@pytest.mark.parametrize("last", [[], [6], [6, 7], [6, 7, 8]])
def test_the_last_record_of_a_segment_is_cut_or_filled_up_too(last: list[int]) -> None:
    kept = MemoryJournal(make_journal())
    write(kept.journal, (KIND, 1, [1, 2, 3]))
    write(kept.journal, (KIND, 2, last))
    (batch,) = read_memory(kept).batches()
    assert batch.of(KIND, Numbers, 1).tolist() == [[1, 2], [*last, 0, 0][:2]]


def test_a_journal_without_a_record_has_come_to_none(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    for reader in (read_memory(MemoryJournal(make_journal())), read_journal(tmp_path / "journal")):
        assert (read(reader), reader.sequence, reader.records, reader.end) == ([], 0, 0, End.TAIL)
        reader.check()


def test_there_is_no_journal_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is none"):
        read_journal(tmp_path / "journal")


def test_more_records_than_one_look_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 2 << 20)
    kept = MemoryJournal(make_journal())
    segments = []
    for number, count in enumerate((1, 16_385)):
        write_many(kept.journal, count, 0)
        segments.append((number, np.frombuffer(bytes(kept.written()), np.uint8).copy()))
        kept.take()
    reader = JournalReader(segments, "it")
    sizes = [len(batch.places) for batch in reader.batches()]
    assert (sizes, reader.records, reader.sequence) == ([1, 16_384, 1], 16_386, 16_386)


def test_the_header_of_a_segment_says_what_it_is() -> None:
    kept = MemoryJournal(make_journal())
    put(kept, FIT)
    kept.take()
    header = view(SegmentHeader, kept.segment.address)
    assert (header.version, header.number, header.bytes, header.first_sequence) == (1, 1, SMALL_BYTES, FIT + 1)
    assert header.key == kept.journal.key != 0


@pytest.mark.parametrize(("field", "change"), [("magic", 0), ("magic", 1), ("version", 0), ("version", 1)])
def test_a_segment_of_another_kind_or_version_is_not_read(field: str, change: int) -> None:
    """However right its checksum is: what follows is laid out otherwise."""
    kept, data = image_of(3)
    header = SegmentHeader.at(data.ctypes.data)
    setattr(header, field, getattr(header, field) + change)
    header.checksum = segment_checksum(kept.journal.multipliers, data.ctypes.data)
    assert ends(data)[:2] == ((0, End.BAD_SEGMENT) if change else (3, End.TAIL))
