"""Captures that are less than whole, file by file: what is read of them, and that what is not is said.

The files are small ones after public reports of people who capture market data, `../shared/faults`, and are described
there. All but the controls hold the 60 packets of `whole.pcap` in some form.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.inspect import inspect_captures
from tests.support.captures import kinds, read_captures
from tests.support.paths import RECORDINGS, fault

FIRST_NS, LAST_NS = 1767225600000000000, 1767225600091073476
WHOLE = {
    "packets": 60,
    "gaps": 0,
    "capture_gaps": 0,
    "level_updates": 200,
    "books": 1,
    "first": FIRST_NS,
    "last": LAST_NS,
}
TABLE: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "whole.pcap": ({}, {}),
    "sliced.pcap": (
        {"packets": 12, "capture_gaps": 43, "level_updates": 0, "books": 0},
        {"frames cut by the": 48},
    ),
    "first_time_in_future.pcap": ({}, {"records whose time leaps": 1}),
    "flushed_in_turns.pcapng": ({}, {"records of the very": 2}),
    "usec_1000000.pcap": ({"last": LAST_NS // 1000 * 1000}, {"records with an impossible": 1}),
    "caplen_gt_len.pcap": ({}, {"records whose lengths contradict": 1}),
    "cut_tail.pcap": ({"packets": 59, "level_updates": 198, "last": 1767225600089035094}, {"records cut off by": 1}),
    "zero_padded.pcap.gz": ({}, {}),
    "other_interface.pcapng": ({}, {"records of link type": 1}),
    "interfaces_65.pcapng": ({}, {}),
    "any_sll2.pcap": ({}, {}),
    "vxlan.pcap": ({}, {}),
    "rotated": ({}, {}),
    "rotated/*.pcap": ({}, {}),
}


def figures(result: dict[str, Any]) -> dict[str, int]:
    return {
        **{name: result[name] for name in ("packets", "gaps", "capture_gaps", "level_updates")},
        "books": sum(book["valid"] for book in result["books"].values()),
        "first": result["first_time_ns"],
        "last": result["last_time_ns"],
    }


@pytest.mark.parametrize("name", TABLE)
def test_a_fault_costs_what_it_must_and_is_told(name: str) -> None:
    differences, told = TABLE[name]
    result = inspect_captures([fault(name)], "deribit")
    assert figures(result) == WHOLE | differences
    assert {" ".join(each["kind"].split()[:4]): each["count"] for each in result["warnings"]} == told
    for warning in result["warnings"]:
        assert warning["what_to_do"]
        assert warning["first_place"].startswith(f"{fault(name)}, byte ")


def crosswire(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_json_is_undisturbed_and_strict_refuses() -> None:
    told = crosswire("inspect", fault("sliced.pcap"), "--venue", "deribit", "--json")
    assert told.exit_code == 0
    assert [each["count"] for each in json.loads(told.stdout)["warnings"]] == [48]
    assert told.stderr.count("warning: 48 frames cut by the snap length, first at ") == 1
    for more in (["--json"], [], ["--messages", "3"]):
        refused = crosswire("inspect", fault("sliced.pcap"), "--venue", "deribit", "--strict", *more)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "--strict: 48 frames cut by the snap length" in refused.stderr
        whole = crosswire("inspect", fault("whole.pcap"), "--venue", "deribit", "--strict", *more)
        assert (whole.exit_code, whole.stderr) == (0, "")


def test_captures_of_which_nothing_is_read_end_non_zero(tmp_path: Path) -> None:
    result = crosswire("inspect", fault("whole.pcap"), "--venue", "bridge", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["capture"]["frames"] == 60
    assert "not one message of bridge in these captures" in result.stderr
    assert "60 udp" in result.stderr


def capinfos(path: Path) -> dict[str, str]:
    command = ["capinfos", "-T", "-m", "-c", "-a", "-e", "-S", "-r", str(path)]
    header = subprocess.run([*command[:-2], str(path)], capture_output=True, text=True, check=False).stdout.splitlines()
    return dict(zip(header[0].split(","), header[1].split(","), strict=False)) if len(header) > 1 else {}


def to_ns(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])


CAPTURES = sorted(path for path in RECORDINGS.parent.rglob("*.pcap*") if not path.is_symlink())
# What differs, and why: the wrong times that were given to them are mended here, and cut tails end capinfos.
MENDED = ("first_time_in_future.pcap", "usec_1000000.pcap")


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: str(path.relative_to(RECORDINGS.parent)))
def test_captures_agree_with_capinfos(path: Path) -> None:
    told = capinfos(path)
    if not told:
        pytest.skip("capinfos can't read it, or is not there")
    frames, warnings = read_captures([path], 4 << 20)
    unread = kinds(warnings).get("records of link type", 0)
    assert len(frames) + unread == int(told["Number of packets"])
    if path.name not in MENDED:
        times = [key for key in told if key.startswith(("First packet", "Start time", "Earliest"))]
        ends = [key for key in told if key.startswith(("Last packet", "End time", "Latest"))]
        assert frames[0][0] == to_ns(told[times[0]])
        assert frames[-1][0] == to_ns(told[ends[0]])
