"""What a live run leaves: its journal's account of its turns, and its capture of what each ring gave."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from crosswire.engine.capture.files import ORDERS
from crosswire.engine.errors import ExplainError
from crosswire.engine.journal.carry import Carried, fold
from crosswire.engine.journal.decode import Record, records_of
from crosswire.engine.journal.description import Description
from crosswire.engine.records import IDS_RESERVED
from crosswire.nic.journal.files import FOLDER, read_segments
from crosswire.nic.journal.format import SegmentHeader
from crosswire.nic.journal.reader import Batch, JournalError, JournalReader, read_journal
from crosswire.nic.journal.walk import End
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.rings.tap import STREAM_BIT, Note, ReadNote, read_note
from crosswire.risk.records import KINDS, RecordKind
from crosswire.venues.order import ORDERS_BITS

KEPT = frozenset(KINDS) - {RecordKind.TURNS, RecordKind.SAMPLE, RecordKind.TEXT}


@dataclass
class OrderCapture:
    """What the files of one venue's order session tell."""

    keys: set[int] = field(default_factory=set)  # of the journals of the runs that wrote them
    received: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # (time, frame), by place among all frames
    sent: list[tuple[int, bytes]] = field(default_factory=list)  # (time, message)
    connections: list[tuple[int, int, int]] = field(default_factory=list)  # as `ToldConnection`
    refused: list[int] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)  # places: the first, and the first that is there again


class VenueCapture:
    """All frames of one venue's ring, in the order in which the loop took them."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raise ExplainError if there is none, CaptureError if the order session's can't be read."""
        self.market_paths = files_of(folder, name)
        order_paths = files_of(folder, name + ORDERS)
        if not order_paths:
            raise ExplainError(f"capture {folder}: has no {name}{ORDERS}-000.pcap.zst; give the run's own: --capture")
        self.orders = read_orders(order_paths)
        self.missing = 0  # frames that were taken and are in no file
        self._market = all_frames(self.market_paths)
        self._place = 0
        self._lost = iter([*self.orders.lost, (1 << 62, 1 << 62)])
        self._lost_now = next(self._lost)

    def take(self) -> tuple[int, bytes]:
        """Take the next frame: (time, bytes), without bytes if the capture does not have it."""
        place = self._place
        self._place += 1
        while place >= self._lost_now[1]:
            self._lost_now = next(self._lost)
        found = self.orders.received.get(place)
        if found is None and place < self._lost_now[0]:
            found = next(self._market, None)
        if found is None:
            self.missing += 1
            return 0, b""
        return found


def files_of(folder: Path, name: str) -> list[Path]:
    """List the files of a capture, in order."""
    pattern = re.compile(re.escape(name) + r"-(\d{3,})\.pcap(\.zst)?")
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def all_frames(paths: list[Path]) -> Iterator[tuple[int, bytes]]:
    """Give the frames of one file after the other."""
    for path in paths:
        yield from read_frames([path])


def read_orders(paths: list[Path]) -> OrderCapture:
    """Read what was received and sent on a venue's order session, and what its ring said beside."""
    found = OrderCapture()
    place: ReadNote | None = None  # of the received segment that comes next
    for time_ns, data in all_frames(paths):
        note = read_note(data)
        if note is not None:
            place = note if note.kind == Note.PLACE else None
            take_note(found, note)
        elif place is not None:
            found.received[place.first] = (place.second, data)
            place = None
        else:
            found.sent.append((time_ns, data[TCP_FRAME_HEADER_BYTES:]))
    return found


def take_note(found: OrderCapture, note: ReadNote) -> None:
    """Take a note of what the ring said."""
    if note.kind == Note.RUN:
        found.keys.add(note.first)
    elif note.kind == Note.CONNECTION:
        found.connections.append((note.first, note.second >> STREAM_BIT, note.second & (1 << STREAM_BIT) - 1))
    elif note.kind == Note.REFUSED:
        found.refused.append(note.first)
    elif note.kind == Note.LOST:
        found.lost.append((note.first, note.second))


@dataclass
class Told:
    """What a journal tells of a run, but for its turns."""

    folder: Path
    description: Description
    records: list[Record] = field(default_factory=list)  # in order, without turns, samples and texts
    is_closed: bool = False
    defect: str = ""  # what ends the journal before its writer did

    def of(self, *kinds: RecordKind) -> list[Record]:
        """List the records of some kinds."""
        return [record for record in self.records if record.kind in kinds]


def read_told(folder: Path, description: Description) -> Told:
    """Read a run's journal as far as it can be believed."""
    told, reader = Told(folder, description), read_journal(folder / FOLDER)
    for batch in reader.batches():
        told.records += records_of(batch, KEPT)
    told.is_closed = any(record.kind == RecordKind.CLOSED for record in told.records)
    try:
        reader.check()
    except JournalError as error:
        told.defect = str(error)
    return told


class _Opening(JournalReader):
    """Reads a journal up to the record that says that all which was taken over stands above."""

    def batches(self) -> Iterator[Batch]:
        for batch in super().batches():
            ends = (batch.commits["kind"] == RecordKind.OPENED).nonzero()[0]
            if len(ends):
                behind = int(ends[0]) + 1
                yield replace(batch, places=batch.places[:behind], commits=batch.commits[:behind])
                self.end = End.TAIL
                return
            yield batch


def read_opening(folder: Path) -> Carried:
    """Read what a run began with, as its engine is to begin again. ExplainError: it never began to trade."""
    carried = fold(_Opening(read_segments(folder / FOLDER), str(folder / FOLDER)), folder)
    if carried is None or not carried.is_opened:
        raise ExplainError(f"{folder}: the run ended before it had begun to trade; there is nothing to explain")
    # What stands there was reserved by this run: it began to count below.
    carried.reserved_id -= IDS_RESERVED << ORDERS_BITS
    return carried


def journal_key(folder: Path) -> int:
    """Read the key that a run's journal has in every segment's header."""
    for _, data in read_segments(folder / FOLDER):
        if len(data) >= SegmentHeader.size:
            return int(SegmentHeader.at(data.ctypes.data).key)
    return 0
