"""What Wireshark's capinfos says of captures beside what `crosswire inspect` says: agreement, or which rule parts them.

capinfos counts every record of a file, whatever its bytes are, and takes first and last time in the file's order;
`inspect` gives frames in the order of time, and says what it could not read or believe. So where they differ it is by
a rule, which is checked here, record by record, against what was told. A difference that no rule covers is WRONG.
"""

import csv
import io
import struct
import subprocess
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from crosswire.engine.inspect import inspect_captures
from crosswire.nic.capture.reader import CaptureError

NS_PER_S = 10**9
FEED = "bridge"  # any: only what is read of the files is looked at, not what of it a feed knows
RECORD_HEADER_BYTES = 16
ORDERS = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
MICROSECOND_MAGICS = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4")
LINK_TYPE = "of link type"
GARBAGE = "bytes that are no records"
# Of these the frame has another time than its record says.
OTHER_TIME = ("records out of order", "leaps away", "impossible time", "without a time")


class Judgement(StrEnum):
    AGREES = "agree"
    UNREAD = "of a link layer that is not read, told"
    DIFFERS = "differ by a rule, told"
    ONLY_OURS = "not read by capinfos"
    WRONG = "wrong"


class Told(NamedTuple):
    judgement: Judgement
    reason: str = ""


class Figures(NamedTuple):
    """What capinfos says of a file; times as it prints them."""

    records: int
    first: str
    last: str


def judge(captures: Sequence[Path]) -> dict[Path, Told]:
    """Hold what is told of each capture against capinfos."""
    figures = capinfos(captures)
    return {capture: judge_one(capture, figures.get(capture)) for capture in captures}


def capinfos(captures: Sequence[Path]) -> dict[Path, Figures]:
    """Ask capinfos; a capture that it can't read is left out."""
    command = ["capinfos", "-T", "-m", "-S", "-c", "-a", "-e", *map(str, captures)]
    printed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return {
        Path(row["File name"]): Figures(int(row["Number of packets"]), row["Start time"], row["End time"])
        for row in csv.DictReader(io.StringIO(printed))
    }


def judge_one(capture: Path, figures: Figures | None) -> Told:
    try:
        ours = inspect_captures([capture], FEED)
    except CaptureError as error:
        reason = str(error).rpartition(": ")[2]
        return Told(Judgement.ONLY_OURS if figures is None else Judgement.WRONG, f"refused: {reason}")
    if figures is None:
        reason = "; ".join(general(warning["kind"]) for warning in ours["warnings"])
        return Told(Judgement.ONLY_OURS if reason else Judgement.WRONG, f"read, and told: {reason}")
    records, frames = ours["capture"]["records"], ours["capture"]["frames"]
    missing = figures.records - records
    if missing < 0 or missing * RECORD_HEADER_BYTES > told_of(ours, GARBAGE):
        return Told(Judgement.WRONG, f"{records} records, not {figures.records}")
    if records - frames > told_of(ours, LINK_TYPE) + told_of(ours, "cut by the snap length"):
        return Told(Judgement.WRONG, f"{records - frames} records gave no frame, and that was not told")
    if frames == 0 and records:
        return Told(Judgement.UNREAD)
    if missing == 0 and frames == records:
        times = (ours["first_time_ns"], ours["last_time_ns"])
        if times == (as_ns(figures.first), as_ns(figures.last)):
            return Told(Judgement.AGREES)
    return judge_times(capture, ours, missing)


def judge_times(capture: Path, ours: dict[str, Any], missing: int) -> Told:
    """Look at each record's own time: those that are not between the first and the last of ours must have been told."""
    times = list(record_times(capture))
    first, last = ours["first_time_ns"], ours["last_time_ns"]
    others = sum(time_ns is None or not first <= time_ns <= last for time_ns in times)
    own = {time_ns for time_ns in times if time_ns is not None} | ({0} if None in times else set())
    moved = sum(told_of(ours, kind) for kind in OTHER_TIME)
    unread = ours["capture"]["records"] - ours["capture"]["frames"]
    if not {first, last} <= own or others > moved + missing + unread:
        return Told(Judgement.WRONG, f"first {first}, last {last}; {others} records at other times, {moved} told")
    if others == 0:
        return Told(Judgement.AGREES, "capinfos gives the file's order, here not that of time")
    told = [warning["kind"] for warning in ours["warnings"] if any(kind in warning["kind"] for kind in OTHER_TIME)]
    told += [GARBAGE] * bool(missing) + ["records of a link type that is not read"] * bool(unread)
    return Told(Judgement.DIFFERS, "; ".join(told))


def told_of(ours: dict[str, Any], kind: str) -> int:
    """Sum what the warnings of a kind count."""
    return sum(warning["count"] for warning in ours["warnings"] if kind in warning["kind"])


def general(kind: str) -> str:
    """Leave the number of a link type out of what was told."""
    return "records of a link type that is not read" if LINK_TYPE in kind else kind


def as_ns(text: str) -> int | None:
    """Read a time that capinfos or tshark has printed, in s; 0: there is none; None: it can't be one."""
    if text == "n/a":
        return 0
    seconds, _, fraction = text.partition(".")
    if not seconds.isdigit() or not fraction.isdigit():
        return None
    return int(Decimal(text) * NS_PER_S)


def record_times(capture: Path) -> Iterator[int | None]:
    """Read the time of each record as the file has it; None where its fraction is more than a second."""
    data = capture.read_bytes()
    order = ORDERS.get(data[:4])
    if order is None:
        command = ["tshark", "-r", str(capture), "-T", "fields", "-e", "frame.time_epoch"]
        printed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        yield from map(as_ns, printed.split())
        return
    scale = 1000 if data[:4] in MICROSECOND_MAGICS else 1
    position = 24
    while position + RECORD_HEADER_BYTES <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(order + "4I", data, position)
        yield seconds * NS_PER_S + fraction * scale if fraction * scale < NS_PER_S else None
        position += RECORD_HEADER_BYTES + length
