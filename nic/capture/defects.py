"""What can be wrong with a capture: the kinds that a reader counts, and the warnings that are made of them."""

from collections.abc import Iterable
from enum import IntEnum, auto
from pathlib import Path
from typing import Any, NamedTuple

from crosswire.nic.capture.format import LINK_TYPE_NAMES
from crosswire.nic.warning import DataWarning

LINK_TYPES_MAX = 8  # kinds of link layer counted apart; those beyond count together
OTHER_LINK_TYPE = -1
RECORD_BYTES_MIN = 58  # of a record that could hold a datagram: record header, and headers of the frame


class Defect(IntEnum):
    """Kinds, in the order in which they are told."""

    CUT = 0
    CUT_TAIL = auto()
    CUT_COMPRESSED = auto()
    GARBAGE = auto()
    LATE = auto()
    TIE = auto()
    CLOCK_STEP = auto()
    LEAP = auto()
    IMPOSSIBLE_TIME = auto()
    NO_TIME = auto()
    CAPTURED_LENGTH = auto()
    BLOCK_TRAILER = auto()
    DROPPED = auto()
    INTERFACE = auto()
    INTERFACES = auto()
    VERSION = auto()
    LINK_TYPE = auto()
    TUNNEL = auto()
    FRAGMENT = auto()
    IPV6 = auto()
    STAMP_HEADER = auto()
    NO_STAMP = auto()
    DEGRADED_STAMP = auto()
    EXABLAZE = auto()
    METAMAKO = auto()


DEFECTS = len(Defect)


class DefectText(NamedTuple):
    kind: str  # reads after a count
    what_to_do: str


INTACT = "take an intact copy of the file"
SAY_STAMPS = "say capture_stamps = "
TEXTS = {
    Defect.CUT: DefectText("frames cut by the snap length", "capture again without one (tcpdump -s 0)"),
    Defect.CUT_TAIL: DefectText("records cut off by the end of the file", "take a whole copy of the file"),
    Defect.CUT_COMPRESSED: DefectText("compressed streams that can't be read on", f"{INTACT}; what follows is lost"),
    Defect.GARBAGE: DefectText("bytes that are no records, passed over", INTACT),
    Defect.LATE: DefectText("records out of order, given the time of the one before", "run reordercap"),
    Defect.TIE: DefectText(
        "records of the very time of others, in a file that was out of order: which is first is a guess",
        "capture with finer time stamps, or each interface in a file of its own",
    ),
    Defect.CLOCK_STEP: DefectText(
        "steps of the capture's clock back by more than 10 seconds", "give the parts as files of their own"
    ),
    Defect.LEAP: DefectText(
        "records whose time leaps away and back, given the time of the one before", "mind that host's clock"
    ),
    Defect.IMPOSSIBLE_TIME: DefectText(
        "records with an impossible time, given the time of the one before", "mind the tool that wrote the file"
    ),
    Defect.NO_TIME: DefectText(
        "records without a time, given the time of the one before", "capture again with a tool that stamps packets"
    ),
    Defect.CAPTURED_LENGTH: DefectText(
        "records whose lengths contradict each other, read by the likelier one", "mind the tool that wrote the file"
    ),
    Defect.BLOCK_TRAILER: DefectText("blocks with a wrong length at their end", INTACT),
    Defect.DROPPED: DefectText("packets that the capturing host says it lost", "capture with a larger buffer"),
    Defect.INTERFACE: DefectText("packets of an interface that was not described", INTACT),
    Defect.INTERFACES: DefectText("packets of interfaces beyond those there is room for", "run mergecap -I all"),
    Defect.VERSION: DefectText(
        "parts in another version of the format, read as if they were this one", "convert with editcap"
    ),
    Defect.LINK_TYPE: DefectText("records of a link type that is not read", "capture on an Ethernet interface"),
    Defect.TUNNEL: DefectText("frames inside a tunnel, not read", "take the tunnel off, or capture behind it"),
    Defect.FRAGMENT: DefectText("IP fragments, not read", "capture behind what joins them"),
    Defect.IPV6: DefectText("IPv6 datagrams, not read", "capture the feed over IPv4"),
    Defect.STAMP_HEADER: DefectText(
        "frames behind an Arista time stamp header, not read", f'{SAY_STAMPS}"arista", unless that is said'
    ),
    Defect.NO_STAMP: DefectText(
        "frames without a hardware time stamp that can be, left at the capture's own time",
        "capture only behind the device that stamps, or mind its clock",
    ),
    Defect.DEGRADED_STAMP: DefectText("hardware time stamps that their device calls degraded", "mind its clock"),
    Defect.EXABLAZE: DefectText(
        "frames, of the first 64, with an Exablaze time stamp, not used", f'{SAY_STAMPS}"exablaze", or "none"'
    ),
    Defect.METAMAKO: DefectText(
        "frames, of the first 64, with a Metamako time stamp, not used", f'{SAY_STAMPS}"metamako", or "none"'
    ),
}
assert len(TEXTS) == DEFECTS

# Of each of these one packet may be missing from what was read.
MAY_HIDE_PACKETS = (
    Defect.CUT,
    Defect.LATE,
    Defect.TIE,
    Defect.CLOCK_STEP,
    Defect.LEAP,
    Defect.IMPOSSIBLE_TIME,
    Defect.NO_TIME,
    Defect.DROPPED,
    Defect.INTERFACE,
    Defect.INTERFACES,
    Defect.LINK_TYPE,
    Defect.TUNNEL,
    Defect.FRAGMENT,
    Defect.IPV6,
    Defect.STAMP_HEADER,
)


class Tally:
    """Defects of one or more files, summed, with the place of each kind's first."""

    def __init__(self) -> None:
        self.counts: dict[tuple[Defect, int], int] = {}  # by kind and, of a link type, which
        self.places: dict[tuple[Defect, int], str] = {}

    def add(self, defect: Defect, count: int, place: str, link_type: int = 0) -> None:
        """Count some of a kind, the first of which is at `place`."""
        key = (defect, link_type)
        self.counts[key] = self.counts.get(key, 0) + count
        self.places.setdefault(key, place)

    def add_all(self, other: "Tally") -> None:
        """Count what another tally has."""
        for (defect, link_type), count in other.counts.items():
            self.add(defect, count, other.places[defect, link_type], link_type)

    def add_source(self, source: Any, path: Path, decompressed: bool) -> None:
        """Count what a reader has noted (a `Source`)."""
        defects = source.defects
        if source.moved and source.ties:
            self.add(Defect.TIE, source.ties, place_of(path, source.tie_offset, decompressed))
        for defect in Defect:
            if count := defects.counts[defect]:
                self.add(defect, count, place_of(path, defects.first_offsets[defect], decompressed))
        for number in range(LINK_TYPES_MAX):
            if count := defects.link_counts[number]:
                place = place_of(path, defects.link_offsets[number], decompressed)
                self.add(Defect.LINK_TYPE, count, place, defects.link_types[number] - 1)

    def hidden_packets(self) -> int:
        """The most packets that these captures may hold, or have held, and that were not read in their place."""
        hidden = sum(count for (defect, _), count in self.counts.items() if defect in MAY_HIDE_PACKETS)
        garbage = self.counts.get((Defect.GARBAGE, 0), 0)
        return hidden + -(-garbage // RECORD_BYTES_MIN)

    def warnings(self) -> list[DataWarning]:
        """One warning a kind, in the order of the kinds; none when nothing was wrong."""
        return [self._warning(*key) for key in sorted(self.counts)]

    def _warning(self, defect: Defect, link_type: int) -> DataWarning:
        text = TEXTS[defect]
        kind = text.kind
        if defect == Defect.LINK_TYPE and link_type != OTHER_LINK_TYPE:
            name = LINK_TYPE_NAMES.get(link_type)
            kind = f"records of link type {link_type}{f' ({name})' if name else ''}, which is not read"
        count, place = self.counts[defect, link_type], self.places[defect, link_type]
        return DataWarning(kind=kind, count=count, first_place=place, what_to_do=text.what_to_do)


def place_of(path: Path, offset: int, decompressed: bool) -> str:
    """Name a byte of a capture."""
    return f"{path}, byte {offset}" + (" of the decompressed stream" if decompressed else "")


def total(tallies: Iterable[Tally]) -> Tally:
    """Sum tallies, in their order."""
    summed = Tally()
    for each in tallies:
        summed.add_all(each)
    return summed
