"""Runs over captures of different times: told, and no success where nothing could happen."""

import json
import struct
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.overlap import APART, apart_warnings, why_apart
from tests.support.short_run import two_seconds

DAY_S = 86_400
DIFFER = "book changes timed by clocks that differ by more than 10 s"
SPANS = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda one: (one[0], sum(one)))
)


@given(SPANS)
def test_venues_are_apart_that_no_moment_has_in_common(spans: dict[str, tuple[int, int]]) -> None:
    moments = {name: set(range(first, last + 1)) for name, (first, last) in spans.items()}
    pairs = list(combinations(spans, 2))
    apart = [pair for pair in pairs if not moments[pair[0]] & moments[pair[1]]]
    warnings = apart_warnings(spans)
    assert [each.count for each in warnings] == ([len(apart)] if apart else [])
    assert bool(why_apart(spans)) == (bool(pairs) and apart == pairs)
    if apart:
        assert all(f"{name} from " in warnings[0].first_place for name in apart[0])


def move(path: Path, seconds: int) -> None:
    """Move a capture to another time."""
    whole = path.read_bytes()
    order = "<" if whole[:4] in (bytes.fromhex("4d3cb2a1"), bytes.fromhex("d4c3b2a1")) else ">"
    moved, position = bytearray(whole), 24
    while position < len(whole):
        time_s, _, length = struct.unpack_from(f"{order}3I", whole, position)
        struct.pack_into(f"{order}I", moved, position, time_s + seconds)
        position += 16 + length
    path.write_bytes(moved)


@pytest.mark.parametrize("seconds", [DAY_S, -DAY_S])
def test_a_run_between_captures_of_two_days_is_no_success(tmp_path: Path, seconds: int) -> None:
    config = two_seconds(tmp_path, 7)
    move(tmp_path / "data" / "synthetic" / "bridge.pcap", seconds)
    constant = 'feed_latency = { model = "constant", us = 500 }'
    config.write_text(config.read_text().replace('feed_latency = "measured"', constant))
    result = CliRunner().invoke(app, ["backtest", str(config), "-o", str(tmp_path), "--json", "--no-report"])
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "no two venues have captures of the same time, so nothing could happen between them: deribit from " in last
    warnings = {each["kind"]: each for each in json.loads(result.stdout)["warnings"]}
    assert warnings[APART]["count"] == 1
    assert warnings[DIFFER]["first_place"].startswith("bridge, received ")
    assert "86,4" in warnings[DIFFER]["what_to_do"] or "86,399." in warnings[DIFFER]["what_to_do"]
    assert not any("longer under way than feed_latency says" in kind for kind in warnings)


def test_captures_of_the_same_time_are_no_matter(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, 7)
    result = CliRunner().invoke(app, ["backtest", str(config), "-o", str(tmp_path), "--json", "--no-report"])
    assert result.exit_code == 0
    assert not {APART, DIFFER} & {each["kind"] for each in json.loads(result.stdout)["warnings"]}
