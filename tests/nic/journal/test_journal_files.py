"""A journal's memory and files, step by step, in segments of a few records: what is where, and what fails."""

import gc
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.journal import files
from crosswire.nic.journal.files import (
    LOCK,
    MemoryJournal,
    SharedJournal,
    is_begun,
    is_being_written,
    make_journal,
    read_segments,
    salvage,
    segment_name,
)
from crosswire.nic.journal.format import (
    RECORD_BYTES_MAX,
    TEXT,
    SegmentHeader,
)
from crosswire.nic.journal.journal import begin_segment, wants_segment
from crosswire.nic.journal.reader import JournalReader, read_journal, read_memory
from crosswire.nic.unit.compile import NO_JIT
from tests.nic.journal.test_journal import KIND, read, whole, write, write_many
from tests.support.small_journal import FIT, RECORD_BYTES, SMALL_BYTES, WORDS

DIGEST = "973f8593685fa98c112ef762bc91ea25787f592bb32d318cd9d484e1c7c6fe78"
pytestmark = pytest.mark.usefixtures("small_segments")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path, memory: Path) -> Iterator[SharedJournal]:
    with SharedJournal(make_journal(), tmp_path / "journal", memory) as journal:
        yield journal


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(kept: SharedJournal | MemoryJournal, count: int) -> None:
    write_many(kept.journal, count, WORDS)


def written(folder: Path) -> list[tuple[int, int, list[int]]]:
    reader = read_journal(folder)
    found = read(reader)
    reader.check()
    return found


def on_disk(folder: Path, number: int) -> list[tuple[int, int, list[int]]]:
    """What the file of a segment holds, whatever the memory does."""
    data = np.fromfile(folder / segment_name(number), np.uint8)
    return read(JournalReader([(number, data)], "disk", number))


# Memory of this process alone.


def test_records_that_fit_exactly_are_in_the_segment(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    kept = MemoryJournal(make_journal(), tmp_path / "journal")
    put(kept, FIT)
    assert (kept.journal.sequence, kept.journal.dropped, kept.journal.is_full) == (FIT, 0, 0)
    assert kept.journal.position == kept.journal.limit
    put(kept, 2)
    assert (kept.journal.sequence, kept.journal.dropped, kept.journal.is_full) == (FIT, 2, 1)
    assert read(read_memory(kept)) == whole(FIT, WORDS)
    kept.take()
    assert (kept.segment.number, kept.journal.is_full, kept.journal.segments[0]) == (1, 0, 2)
    put(kept, 1)
    kept.close()
    put(kept, 0)
    kept.close()  # nothing was written since
    assert names(tmp_path / "journal") == ["000000.bin", "000001.bin"]
    assert written(tmp_path / "journal") == whole(FIT + 1, WORDS)
    assert on_disk(tmp_path / "journal", 1) == whole(FIT + 1, WORDS)[FIT:]


def test_a_record_that_does_not_fit_is_written_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", SMALL_BYTES + RECORD_BYTES // 2)
    kept = MemoryJournal(make_journal())
    put(kept, FIT + 1)
    assert (kept.journal.sequence, kept.journal.dropped) == (FIT, 1)
    assert bytes(kept.segment.memory)[SMALL_BYTES:] == bytes(RECORD_BYTES // 2)


def test_the_bytes_on_the_disk_are_what_every_version_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    journal = make_journal()
    journal.key = 0x0123_4567_89AB_CDEF
    kept = MemoryJournal(journal)
    for kind, words in ((KIND, []), (KIND + 1, [1, -1, 1 << 62]), (TEXT, list(range(56)))):
        write(kept.journal, (kind, 1_000 * len(words), words))
    assert hashlib.sha256(kept.written()).hexdigest() == DIGEST


def test_memory_without_a_folder_is_kept_nowhere() -> None:
    kept = MemoryJournal(make_journal())
    put(kept, 3)
    assert len(kept.written()) == SegmentHeader.size + 3 * RECORD_BYTES
    kept.close()
    assert (kept.segment.number, read(read_memory(kept))) == (0, whole(3, WORDS))
    kept.take()
    assert read(read_memory(kept)) == []
    assert bytes(kept.segment.memory)[SegmentHeader.size :] == bytes(SMALL_BYTES - SegmentHeader.size)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    kept = MemoryJournal(make_journal(), tmp_path / "journal")
    put(kept, 2)
    kept.close()
    assert written(tmp_path / "journal") == whole(2, WORDS)


def test_a_turn_needs_a_megabyte_or_a_segment_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 3 << 20)
    journal = MemoryJournal(make_journal()).journal
    assert journal.turn_limit == journal.limit - (1 << 20)
    for position, wanted in ((journal.turn_limit, False), (journal.turn_limit + 1, True)):
        journal.position = position
        assert wants_segment(journal) is wanted
    journal.next_position = 64
    assert not wants_segment(journal)


@pytest.mark.skipif(not NO_JIT, reason="only uncompiled can it be seen")
def test_the_lines_that_the_next_record_begins_in_are_fetched_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its first 128 bytes those that no record has touched yet: else each would wait for its line."""
    fetched: set[int] = set()
    monkeypatch.setattr("crosswire.nic.journal.journal.prefetch_to_write", fetched.add)
    kept = MemoryJournal(make_journal())
    write(kept.journal, (KIND, 0, []))
    for words in (1, 2, 3, 0, 7, 12, 4, 1, 0, 0, 9):
        begin = kept.journal.position
        untouched = {place // 64 for place in range(begin, begin + 128)} - {(begin - 1) // 64}
        assert untouched <= {address // 64 for address in fetched} <= untouched | {begin // 64 + 2}
        fetched.clear()
        write(kept.journal, (KIND, 0, [1] * words))


# Memory that outlives the process.


def test_what_is_committed_comes_to_the_disk_as_it_is_looked_at(kept: SharedJournal, memory: Path) -> None:
    folder = kept.folder
    expected = ["000000.bin", "000000.memory", "000001.bin", "000001.memory", LOCK]
    assert names(folder) == expected
    assert [path.stat().st_size for path in memory.iterdir()] == [SMALL_BYTES] * 2
    put(kept, 4)
    assert on_disk(folder, 0) == []
    for syncs in (1, 1):
        kept.keep()
        assert (on_disk(folder, 0), kept.syncs, kept.synced_sequence) == (whole(4, WORDS), syncs, 4)
    put(kept, 1)
    kept.keep()
    assert (on_disk(folder, 0), kept.syncs, kept.synced_sequence) == (whole(5, WORDS), 2, 5)
    # On to the next segment, with something left of the one before.
    put(kept, FIT)
    assert (kept.journal.segments[0], kept.journal.next_position) == (2, 0)
    kept.keep()
    assert names(folder) == ["000000.bin", "000001.bin", "000001.memory", "000002.bin", "000002.memory", LOCK]
    assert [(folder / segment_name(number)).stat().st_size for number in range(3)] == [SMALL_BYTES] * 3
    assert (on_disk(folder, 0), on_disk(folder, 1)) == (whole(FIT, WORDS), whole(FIT + 5, WORDS)[FIT:])
    assert (kept.syncs, kept.synced_sequence, len(names(memory))) == (4, FIT + 5, 2)
    assert kept.journal.next_position != 0
    assert written(folder) == whole(FIT + 5, WORDS)
    # The end: what was not begun is gone, and what was is as long as what is in it.
    kept.close()
    assert (names(folder), names(memory)) == (["000000.bin", "000001.bin", LOCK], [])
    assert (folder / segment_name(1)).stat().st_size == SegmentHeader.size + 5 * RECORD_BYTES
    assert (kept.failure, written(folder), is_being_written(folder)) == (None, whole(FIT + 5, WORDS), False)
    kept.journal.next_position = 0
    folder = folder.rename(folder.with_name("elsewhere"))
    kept.close()
    assert (names(folder), names(memory), kept.failure) == (["000000.bin", "000001.bin", LOCK], [], None)


def test_how_long_a_record_may_have_waited(kept: SharedJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000]
    monkeypatch.setattr("time.monotonic_ns", lambda: clock[0])
    kept.keep()
    assert kept.lag_ns_max == 0
    kept._seen_ns = 1_000
    for now_ns, count, lag_ns in (
        (1_700, 1, 700),
        (2_000, 0, 700),
        (2_500, 1, 700),
        (3_900, 1, 1_400),
        (4_000, 1, 1_400),
    ):
        clock[0] = now_ns
        put(kept, count)
        kept.lag_ns_max = 0 if now_ns == 1_700 else kept.lag_ns_max
        kept.keep()
        assert kept.lag_ns_max == lag_ns


def test_one_writer_a_folder(kept: SharedJournal, memory: Path) -> None:
    assert is_being_written(kept.folder)
    with pytest.raises(BlockingIOError):
        SharedJournal(make_journal(), kept.folder, memory)
    assert not is_being_written(memory)  # where no journal is


def fail(*_arguments: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_disk_that_fails_is_tried_again(kept: SharedJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    put(kept, 3)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        kept.keep()
        assert (str(kept.failure), kept.synced_sequence) == ("[Errno 5] Input/output error", 0)
    kept.keep()
    assert (kept.failure, kept.synced_sequence, on_disk(kept.folder, 0)) == (None, 3, whole(3, WORDS))


def test_a_segment_that_cannot_be_made_leaves_nothing(
    kept: SharedJournal, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kept, FIT + 1)
    before = names(kept.folder)
    calls = []

    def fallocate(handle: int, offset: int, length: int) -> None:
        calls.append(length)
        if len(calls) in (1, 3):  # its memory, then its file
            fail()
        os.truncate(handle, length)

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", fallocate)
        for _ in range(2):
            kept.keep()
            assert isinstance(kept.failure, OSError)
            assert names(kept.folder) == [name for name in before if name != "000000.memory"]
            assert (len(names(memory)), kept.journal.next_position) == (1, 0)
    kept.keep()
    assert (kept.failure, len(names(memory))) == (None, 2)
    assert names(kept.folder)[-3:] == ["000002.bin", "000002.memory", LOCK]


def test_what_cannot_be_brought_to_the_disk_stays_in_memory(
    kept: SharedJournal, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kept, 4)
    kept.keep()
    put(kept, 2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        kept.close()
    assert isinstance(kept.failure, OSError)
    assert len(names(memory)) == 2
    assert written(kept.folder) == whole(6, WORDS)
    salvage(kept.folder)
    assert names(memory) == []
    assert (on_disk(kept.folder, 0), names(kept.folder)) == (whole(6, WORDS), ["000000.bin", LOCK])


def test_what_cannot_be_cut_at_the_end_stays_in_memory(
    kept: SharedJournal, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kept, 4)
    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", fail)
        kept.close()
    assert (isinstance(kept.failure, OSError), len(names(memory))) == (True, 2)
    salvage(kept.folder)
    assert (names(memory), on_disk(kept.folder, 0)) == ([], whole(4, WORDS))


def test_memory_that_somebody_has_cleaned_away_is_not_missed(kept: SharedJournal, memory: Path) -> None:
    """`/dev/shm` is everybody's: what is on the disk is whole, and the close is no failure."""
    put(kept, FIT + 4)
    kept.keep()
    for path in (*memory.iterdir(), *kept.folder.glob("*.memory")):
        path.unlink()
    kept.close()
    assert (kept.failure, names(kept.folder)) == (None, ["000000.bin", "000001.bin", LOCK])
    assert written(kept.folder) == whole(FIT + 4, WORDS)


def test_the_largest_key_is_one_that_a_header_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: (1 << bits) - 1)
    kept = MemoryJournal(make_journal())
    put(kept, 2)
    assert int.from_bytes(kept.written()[40:48], "little") == kept.journal.key == (1 << 63) - 1
    assert read(read_memory(kept)) == whole(2, WORDS)


def test_no_file_is_left_open(tmp_path: Path, memory: Path) -> None:
    gc.collect()  # what other tests left to it
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        with SharedJournal(make_journal(), tmp_path / f"journal-{number}", memory) as journal:
            put(journal, FIT + 2)
            journal.keep()
            assert is_being_written(journal.folder)
        assert not is_being_written(journal.folder)
    salvage(died(tmp_path, memory, 5))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_without_room_is_refused_and_left_as_it_was(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.posix_fallocate, []

    def fallocate(handle: int, offset: int, length: int) -> None:
        calls.append(length)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        real(handle, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    with pytest.raises(HostError, match=r"journal .*/journal: No space left on device"):
        SharedJournal(make_journal(), tmp_path / "journal", memory)
    assert (names(tmp_path / "journal"), names(memory)) == ([LOCK], [])
    assert not is_being_written(tmp_path / "journal")


def test_nobody_else_may_read_it(kept: SharedJournal, memory: Path) -> None:
    for path in (*memory.iterdir(), *kept.folder.glob("*.bin"), kept.folder / LOCK):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_look_while_a_segment_is_begun_believes_nothing(kept: SharedJournal) -> None:
    """The position is in the new one, and the number of segments still says the one before."""
    put(kept, FIT)
    journal, next_position = kept.journal, kept.journal.next_position
    begin_segment(journal)
    journal.segments[0] -= 1
    journal.next_position = next_position
    kept.keep()
    assert (kept.failure, kept.synced_sequence, on_disk(kept.folder, 0)) == (None, 0, [])
    journal.segments[0] += 1
    journal.next_position = 0
    put(kept, 1)
    kept.keep()
    assert (kept.failure, kept.synced_sequence, written(kept.folder)) == (None, FIT + 1, whole(FIT + 1, WORDS))
    assert on_disk(kept.folder, 1) == whole(FIT + 1, WORDS)[FIT:]


def test_a_thread_keeps_it(kept: SharedJournal) -> None:
    kept.start()
    put(kept, 4)
    give_up_s = time.monotonic() + 30
    while kept.synced_sequence < 4 and time.monotonic() < give_up_s:
        time.sleep(0.001)
    assert on_disk(kept.folder, 0) == whole(4, WORDS)


def test_its_thread_ends_before_it_and_never_outlives_the_process(
    kept: SharedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun, ended = kept.keep, threading.Event(), []

    def keep() -> None:
        begun.set()
        if threading.current_thread().name == "journal":
            time.sleep(0.05)
            ended.append(True)
        real()

    monkeypatch.setattr(kept, "keep", keep)
    kept.start()
    (thread,) = [each for each in threading.enumerate() if each.name == "journal"]
    assert thread.daemon
    assert begun.wait(30)
    kept.close()
    assert ended
    assert not thread.is_alive()


@contextmanager
def without_standard_input() -> Iterator[None]:
    """The next file to be opened has descriptor 0."""
    standard_input = os.dup(0)
    os.close(0)
    try:
        yield
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)


def is_open(handle: int) -> bool:
    return os.path.lexists(f"/proc/self/fd/{handle}")


def test_the_lock_may_have_descriptor_0(tmp_path: Path, memory: Path) -> None:
    with without_standard_input():
        kept = SharedJournal(make_journal(), tmp_path / "journal", memory)
        put(kept, 3)
        assert os.readlink("/proc/self/fd/0") == str(tmp_path / "journal" / LOCK)
        kept.close()
        assert not is_open(0)
    assert (is_being_written(tmp_path / "journal"), names(memory)) == (False, [])
    assert written(tmp_path / "journal") == whole(3, WORDS)


def test_a_segments_file_may_have_descriptor_0(
    kept: SharedJournal, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kept, FIT + 1)
    real, calls = os.posix_fallocate, []

    def fallocate(handle: int, offset: int, length: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            os.close(0)
        else:
            fail()
        real(handle, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    standard_input = os.dup(0)
    try:
        kept.keep()
        assert (calls[1], is_open(0)) == (0, False)
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)
    assert (names(kept.folder), len(names(memory))) == (["000000.bin", "000001.bin", "000001.memory", LOCK], 1)


# A loss of power.


class Durable(NamedTuple):
    """What would outlive it."""

    synced: dict[Path, bytes | list[str]]  # bytes of files, names in folders, as of the last sync
    given_back: list[str]  # the segments whose memory was


@pytest.fixture
def durable(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Durable:
    """Whenever memory is given back, its segment is on the disk as it is, by its name."""
    synced: dict[Path, bytes | list[str]] = {}
    given_back: list[str] = []
    real = Path.unlink

    def sync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        synced[path] = names(path) if path.is_dir() else path.read_bytes()

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.parent == memory:
            (link,) = [each for each in memory.parent.glob("journal/*.memory") if each.readlink() == path]
            file = link.with_suffix(".bin")
            if file.exists():
                assert file.name in synced[file.parent]
                assert synced[file] == file.read_bytes()
                given_back.append(file.name)
        real(path, missing_ok)

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, sync)
    monkeypatch.setattr(Path, "unlink", unlink)
    return Durable(synced, given_back)


def test_what_memory_is_given_back_for_outlives_a_loss_of_power(tmp_path: Path, memory: Path, durable: Durable) -> None:
    with SharedJournal(make_journal(), tmp_path / "journal", memory) as kept:
        put(kept, FIT + 2)
        kept.keep()
        put(kept, 1)
    assert (kept.failure, durable.given_back) == (None, ["000000.bin", "000001.bin"])


def test_what_is_salvaged_outlives_a_loss_of_power(tmp_path: Path, memory: Path, durable: Durable) -> None:
    folder = died(tmp_path, memory, FIT + 2, 1)
    salvage(folder)
    assert durable.given_back == ["000000.bin", "000001.bin"]
    assert durable.synced[folder] == names(folder) == ["000000.bin", "000001.bin", LOCK]


# After a death.


def died(tmp_path: Path, memory: Path, count: int, synced: int = 0) -> Path:
    """Leave what a process leaves that dies after so many records, of which some were synced."""
    kept = SharedJournal(make_journal(), tmp_path / "journal", memory)
    put(kept, synced)
    if synced:
        kept.keep()
    put(kept, count - synced)
    kept._give_back()
    return tmp_path / "journal"


@pytest.mark.parametrize(
    ("count", "synced", "segments"), [(3, 0, 1), (3, 2, 1), (3, 3, 1), (FIT, 0, 1), (FIT + 4, 1, 2)]
)
def test_what_was_not_on_the_disk_is_salvaged_and_counted(
    tmp_path: Path, memory: Path, count: int, synced: int, segments: int
) -> None:
    folder = died(tmp_path, memory, count, synced)
    before = sum(len((folder / segment_name(number)).read_bytes().rstrip(b"\0")) for number in range(2))
    assert written(folder) == whole(count, WORDS)
    assert len(on_disk(folder, 0)) == synced
    saved = salvage(folder)
    assert (names(memory), names(folder)) == ([], [*map(segment_name, range(segments)), LOCK])
    used_bytes = SegmentHeader.size + min(count, FIT) * RECORD_BYTES
    assert (folder / segment_name(0)).stat().st_size <= min(used_bytes + RECORD_BYTES_MAX, SMALL_BYTES)
    assert written(folder) == whole(count, WORDS)
    after = sum(len((folder / segment_name(number)).read_bytes().rstrip(b"\0")) for number in range(segments))
    assert saved == after - before
    assert salvage(folder) == 0


def test_a_journal_that_is_being_written_is_left_alone(kept: SharedJournal, memory: Path) -> None:
    put(kept, 4)
    before = (names(kept.folder), names(memory))
    assert salvage(kept.folder) == 0
    assert (names(kept.folder), names(memory)) == before
    put(kept, FIT)
    kept.close()
    assert (kept.failure, written(kept.folder)) == (None, whole(FIT + 4, WORDS))


def test_without_its_memory_a_journal_is_what_was_synced(tmp_path: Path, memory: Path) -> None:
    folder = died(tmp_path, memory, 5, 2)
    for path in memory.iterdir():
        path.unlink()
    assert written(folder) == whole(2, WORDS)
    assert salvage(folder) == 0
    assert names(folder) == ["000000.bin", "000001.bin", LOCK]
    assert written(folder) == whole(2, WORDS)
    assert [number for number, _ in read_segments(folder)] == [0, 1]


def test_a_segment_to_come_may_have_no_file(tmp_path: Path, memory: Path) -> None:
    folder = died(tmp_path, memory, 5)
    (folder / segment_name(1)).unlink()
    salvage(folder)
    assert (names(folder), names(memory), written(folder)) == (["000000.bin", LOCK], [], whole(5, WORDS))


def test_a_segment_is_begun_once_its_first_word_is_there() -> None:
    assert is_begun(b"\1" + bytes(63))
    assert not is_begun(b"\1" + bytes(62))
    assert not is_begun(bytes(7) + b"\0" + b"\1" * 100)
    assert is_begun(bytes(7) + b"\1" + bytes(100))


def test_what_is_written_has_been_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of it the kernel takes at a time."""
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: real(file, bytes(data[:3]), offset))
    path = tmp_path / "file"
    path.write_bytes(b"abcdefgh")
    handle = os.open(path, os.O_RDWR)
    files.write_all(handle, memoryview(b"0123456"), 2)
    os.close(handle)
    assert path.read_bytes() == b"ab0123456"


def test_a_record_of_no_words() -> None:
    kept = MemoryJournal(make_journal())
    write(kept.journal, (KIND, 5, []))
    write(kept.journal, (KIND, 6, [1]))
    assert read(read_memory(kept)) == [(KIND, 5, []), (KIND, 6, [1])]
