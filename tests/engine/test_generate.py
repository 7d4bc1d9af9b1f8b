"""The default data decodes without a reject, misses exactly the packets that it says, and is the same for a seed."""

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.generate import generate_captures
from crosswire.nic.rings.replay import read_frames
from tests.support.paths import ROOT

SECONDS = 3
VENUES = ("deribit", "bridge")

# Runs uncompiled: a few thousand packets take less time than compiling two decoders.
MAKE_AND_INSPECT = """
import dataclasses, json, sys
from crosswire.engine.generate import generate_captures
from crosswire.engine.inspect import inspect_captures
folder, seed, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
made = dataclasses.asdict(generate_captures(folder, seed=seed, seconds=seconds))
seen = {venue: inspect_captures([f"{folder}/{venue}.pcap"], venue) for venue in ("deribit", "bridge")}
print(json.dumps({"made": made, "seen": seen}, default=str))
"""


def make_uncompiled(folder: Path, seed: int, seconds: int) -> dict[str, Any]:
    command = [sys.executable, "-c", MAKE_AND_INSPECT, str(folder), str(seed), str(seconds)]
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / f"{venue}.pcap").read_bytes()).hexdigest() for venue in VENUES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    return make_uncompiled(folder, 1, SECONDS)


@pytest.mark.parametrize("venue", VENUES)
def test_every_packet_is_believed(facts: dict[str, Any], venue: str) -> None:
    seen = facts["seen"][venue]
    assert seen["packets"] > 500 * SECONDS
    assert seen["packets"] == seen["capture"]["frames"] == seen["capture"]["udp"]
    assert seen["rejects"] == {}
    assert seen["duplicates"] == 0
    assert seen["definition_mismatches"] == 0


@pytest.mark.parametrize("venue", VENUES)
def test_exactly_the_lost_packets_are_missing(facts: dict[str, Any], venue: str) -> None:
    made, seen = facts["made"]["captures"][venue], facts["seen"][venue]
    assert made["gaps"] == 1
    assert made["packets_lost"] >= made["gaps"]
    assert seen["gaps"] == made["packets_lost"]
    assert sum(seen["messages"].values()) < made["messages"]


@pytest.mark.parametrize("venue", VENUES)
def test_the_book_recovers_and_is_a_book(facts: dict[str, Any], venue: str) -> None:
    (book,) = facts["seen"][venue]["books"].values()
    assert book["valid"]
    assert book["bid"][0] < book["ask"][0]
    assert 10 <= book["bids"] <= 50
    assert 10 <= book["asks"] <= 50


def test_deribit_chain_tickers_and_snapshots_agree(facts: dict[str, Any]) -> None:
    seen = facts["seen"]["deribit"]
    assert seen["continuity_breaks"] == facts["made"]["captures"]["deribit"]["gaps"]
    assert seen["ticker"]["checks"] > 100 * SECONDS
    assert seen["ticker"]["mismatches"] == 0
    assert seen["snapshots"]["agreed"] > 0
    assert seen["snapshots"]["disagreed"] == 0


def test_the_market_does_what_it_is_made_for(facts: dict[str, Any]) -> None:
    made = facts["made"]
    assert made["crossed_moments"] > 0
    assert made["dislocations"] > 0
    for venue in VENUES:
        assert made["captures"][venue]["bursts"] > 0
        assert made["captures"][venue]["trade_throughs"] > 0
        assert facts["seen"][venue]["messages"]["trades" if venue == "deribit" else "Trade"] > 0


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.usefixtures("facts")
def test_times_rise_and_bursts_are_microseconds_apart(folder: Path, venue: str) -> None:
    times = [time_ns for time_ns, _frame in read_frames([folder / f"{venue}.pcap"])]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert min(steps) >= 0
    assert sum(0 < step < 10_000 for step in steps) > 20
    assert times[-1] - times[0] > (SECONDS - 1) * 1_000_000_000


@pytest.mark.parity
@pytest.mark.usefixtures("facts")
def test_compiled_and_uncompiled_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = generate_captures(tmp_path, seed=1, seconds=SECONDS)
    assert digests(tmp_path) == digests(folder)
    again = generate_captures(tmp_path / "again", seed=1, seconds=SECONDS)
    assert digests(tmp_path / "again") == digests(folder)
    assert again.crossed_moments == first.crossed_moments


def test_another_seed_is_another_market(tmp_path: Path) -> None:
    generate_captures(tmp_path / "one", seed=1, seconds=1)
    generate_captures(tmp_path / "two", seed=2, seconds=1)
    assert set(digests(tmp_path / "one")).isdisjoint(digests(tmp_path / "two"))


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_impossible_duration_is_refused(tmp_path: Path, seconds: int) -> None:
    with pytest.raises(ValueError, match=rf"seconds = {seconds}: must be 1 to 86400"):
        generate_captures(tmp_path, seconds=seconds)
    assert list(tmp_path.iterdir()) == []
