"""tshark's analysis of a capture made at the peer's end, less the remarks that a late loop of ours explains."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.host.testbed import Testbed
from crosswire.nic.tcp.state import ACK_DELAY_NS, SECOND_ACK_DELAY_NS

COPY = frozenset(
    {"tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission"}
)
FIGURES = frozenset({"tcp.analysis.rto", "tcp.analysis.rto_frame"})  # no remarks: when the original was sent
DUPLICATE_ACK = frozenset({"tcp.analysis.duplicate_ack"})
# Linux, at the least: the tail probe with several segments in flight (TCP_TIMEOUT_MIN_US), which for a lone one allows
# for a delayed ACK as the retransmission timer does (TCP_RTO_MIN).
PROBE_S = 0.002
RTO_S = 0.2


@dataclass(frozen=True)
class Segment:
    """One TCP segment of a capture; `flags` are tshark's remarks by name, sequence numbers relative."""

    number: int
    time_s: float
    source: str
    stream: int
    sequence: int
    acknowledgement: int
    length: int
    flags: frozenset[str] = frozenset()

    @property
    def end(self) -> int:
        return self.sequence + self.length


@contextmanager
def recorded(testbed: Testbed, capture: Path) -> Iterator[None]:
    """Record what the exchange's interface carries, in a file. A logon's secret is in it: it goes with the test.

    At the peer's end: AF_XDP takes received frames before a capture at ours would see them.
    """
    link = testbed.links[0]
    recorder = subprocess.Popen(
        ["ip", "netns", "exec", testbed.exchange, "tshark", "-q", "-i", link.exchange_interface, "-f", "tcp",
         "-w", str(capture)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert recorder.stderr is not None
        while "Capturing on" not in recorder.stderr.readline():
            assert recorder.poll() is None
        time.sleep(0.5)
        yield
        time.sleep(0.5)
    finally:
        recorder.terminate()
        recorder.wait(10)


def needs_tshark() -> None:
    """Skip without it; in CI that is a failure."""
    if shutil.which("tshark") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have tshark: apt-get install tshark")
        pytest.skip("needs tshark: apt-get install tshark")


def read_segments(capture: Path) -> list[Segment]:
    """All of a capture, as tshark sees them."""
    command = ["tshark", "-r", str(capture), "-Y", "tcp", "-T", "json", "--no-duplicate-keys", "-J", "frame ip tcp"]
    frames = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    layers = [frame["_source"]["layers"] for frame in frames]
    return [
        Segment(
            int(each["frame"]["frame.number"]),
            float(each["frame"]["frame.time_relative"]),
            each["ip"]["ip.src"],
            int(each["tcp"]["tcp.stream"]),
            int(each["tcp"]["tcp.seq"]),
            int(each["tcp"]["tcp.ack"]),
            int(each["tcp"]["tcp.len"]),
            frozenset(analysis_names(each["tcp"].get("tcp.analysis", {}).get("tcp.analysis.flags", {}))),
        )
        for each in layers
    ]


def analysis_names(flags: Any) -> list[str]:
    """The names of a segment's remarks, which tshark writes beside or inside their explanations."""
    experts = flags.get("_ws.expert", [])
    experts = experts if isinstance(experts, list) else [experts]
    names = {name for place in (flags, *experts) for name in place if name.startswith("tcp.analysis.")} - FIGURES
    # Every explanation is of a remark: one without a name that we know must not pass for none.
    assert len(names) >= max(len(experts), min(len(flags), 1)), flags
    return sorted(names)


def is_late_answer_s_copy(segments: Sequence[Segment], copy: Segment, peer: str) -> bool:
    """Whether the peer sent `copy` because our ACK was late: it left after it was due, and after its timer could fire.

    `segments` are of the copy's connection.
    """
    if copy.source != peer or copy.length == 0 or not copy.flags <= COPY:
        return False
    answer = next((each for each in segments if each.source != peer and each.acknowledgement >= copy.end), None)
    if answer is None:
        return False
    seen = [each for each in segments if each.number < min(answer.number, copy.number)]
    acknowledged = max((each.acknowledgement for each in seen if each.source != peer), default=0)
    waiting = [
        each for each in seen if each.source == peer and each.end > acknowledged and not each.flags and each.length
    ]
    if not waiting or not waiting[0].sequence <= copy.sequence < copy.end <= waiting[-1].end:
        return False
    due_s = waiting[0].time_s + ACK_DELAY_NS / 1e9
    fires_s = waiting[-1].time_s + RTO_S
    if len(waiting) > 1:
        due_s = min(due_s, waiting[1].time_s + SECOND_ACK_DELAY_NS / 1e9)
        fires_s = waiting[-1].time_s + PROBE_S
    return answer.time_s > due_s and min(answer.time_s, copy.time_s) >= fires_s


def unexplained(segments: Sequence[Segment], peer: str) -> list[Segment]:
    """What tshark remarks on, but for the peer's copies that our lateness explains, and our one ACK of each of them."""
    rest = []
    copies: list[Segment] = []
    for odd in segments:
        if not odd.flags:
            continue
        if is_late_answer_s_copy([each for each in segments if each.stream == odd.stream], odd, peer):
            copies.append(odd)
            continue
        # RFC 9293 3.10.7.4, first check: a copy is acknowledged at once.
        answered = [each for each in copies if each.stream == odd.stream and odd.acknowledgement >= each.end]
        if odd.source != peer and odd.length == 0 and odd.flags == DUPLICATE_ACK and answered:
            copies.remove(answered[0])
            continue
        rest.append(odd)
    return rest
