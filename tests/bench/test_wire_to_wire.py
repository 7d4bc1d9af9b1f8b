"""`crosswire bench wire-to-wire`: what its observer makes of frames, and a small run against real wires."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.engine.config import load_config
from crosswire.nic.host.testbed import Testbed
from tests.bench.order_entry_c import FLAGS, why_not
from tests.bench.wire_to_wire import PATHS, PHASES, Bench, parse_options
from tests.bench.wire_to_wire_c import SOURCE
from tests.bench.wire_to_wire_seen import MISSED, Sighting, latencies_ns
from tests.support.net import needs_root
from tests.support.paths import ROOT


def trigger(time_ns: int) -> Sighting:
    return Sighting(time_ns, True, b"")


def order(time_ns: int, name: bytes) -> Sighting:
    return Sighting(time_ns, False, name)


def test_a_latency_is_from_a_trigger_to_the_first_order_that_was_stamped() -> None:
    seen = [trigger(100), order(170, b"a"), order(160, b"b"), trigger(1_000), order(1_050, b"c"), order(1_090, b"d")]
    assert latencies_ns(seen, 2) == [60, 50]


def test_an_order_that_is_sent_again_is_no_order_of_the_next_trigger() -> None:
    seen = [trigger(100), order(170, b"a"), order(180, b"b"), trigger(1_000), order(1_001, b"a"), order(1_050, b"c")]
    assert latencies_ns([*seen, order(1_060, b"d")], 2) == [70, 50]


@pytest.mark.parametrize("orders", [0, 1, 3])
def test_a_trigger_with_too_few_or_too_many_orders_has_no_latency(orders: int) -> None:
    seen = [trigger(100), *(order(200 + number, bytes([number])) for number in range(orders)), trigger(300)]
    assert latencies_ns([*seen, order(350, b"x"), order(360, b"y")], 2) == [MISSED, 50]


@pytest.mark.parametrize("path_name", PATHS)
def test_every_path_has_a_configuration_that_loads(path_name: str, tmp_path: Path) -> None:
    bench = Bench(parse_options([]), tmp_path, Testbed("cwwt", links=2))
    config = load_config(bench.write_config(path_name, fifo=False))
    assert [(venue.live.ring, venue.live.require or "") for venue in config.venue if venue.live] == [
        PATHS[path_name]
    ] * 2


def test_the_c_program_compiles_without_a_warning(tmp_path: Path) -> None:
    if why_not():
        pytest.skip(why_not())
    command = ["gcc", *FLAGS, "-Werror", "-o", tmp_path / "wire_to_wire.so", SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.netns
def test_a_small_run_sees_every_trigger_answered() -> None:
    needs_root()
    options = ["--triggers", "60", "--rounds", "1", "--only", "af_xdp generic", "--no-c"]
    command = [sys.executable, "-m", "tests.bench.wire_to_wire", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, summary["failures"]) == (0, []), done.stderr
    assert set(summary["figures"]) == {f"crosswire: af_xdp generic, {phase}" for phase in PHASES}
    for figures in summary["figures"].values():
        # Both ways through a kernel take some time; what is negative or none at all was stamped wrong.
        assert 0.5 < figures["p50_us"] <= figures["p99_us"] <= figures["p99.9_us"] <= figures["max_us"]
        assert figures["missed"] <= 6
