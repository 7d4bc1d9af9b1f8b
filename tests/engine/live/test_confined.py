"""A live run, while it trades, has given up in every thread what it does not need; it still ends with its report."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.engine.live.confinement import KEPT_CAPABILITIES
from crosswire.nic.host.process import CAPABILITIES
from crosswire.nic.host.testbed import Testbed
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, make_config, outcome, started
from tests.support.net import own_testbed
from tests.support.ring_cases_dpdk import needs_dpdk

pytestmark = pytest.mark.netns
KEPT = sum(1 << CAPABILITIES[name] for name in KEPT_CAPABILITIES)


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("cf", links=2) as testbed:
        yield testbed


def statuses(process: int) -> list[dict[str, str]]:
    """What the kernel tells of each thread."""
    result = []
    for task in Path(f"/proc/{process}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        result.append({key: value.strip() for key, _, value in (line.partition(":") for line in lines)})
    return result


RINGS: dict[str, dict[str, str]] = {
    "af_xdp": {},
    "af_xdp, fifo": {"core = 1": 'core = 1\nscheduling = "fifo"'},
    "af_packet": {'ring = "af_xdp"': 'ring = "af_packet"', 'require = "generic"\n': ""},
    "sockets": {'ring = "af_xdp"': 'ring = "sockets"', 'require = "generic"\n': ""},
}


def on_dpdk(testbed: Testbed) -> dict[str, str]:
    """What makes each venue's ring one of DPDK's, which starts threads of its own."""
    needs_dpdk()
    changes = {}
    for number, link in enumerate(testbed.links):
        interface = f'interface = "{link.engine_interface}"\n'
        device = f'device = "net_af_packet{number},iface={link.engine_interface}"\n'
        changes[f'ring = "af_xdp"\nrequire = "generic"\n{interface}'] = f'ring = "dpdk"\n{device}{interface}'
    return changes


@pytest.mark.parametrize("ring", [*RINGS, "dpdk"])
def test_every_thread_of_a_live_run_is_confined(testbed: Testbed, tmp_path: Path, ring: str) -> None:
    changes = on_dpdk(testbed) if ring == "dpdk" else RINGS[ring]
    config = make_config(tmp_path, testbed, seconds=20, **changes)
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        options = ("--output", tmp_path / "runs", "--capture", tmp_path / "capture")
        with started(tmp_path, "live", config, *options) as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            threads = statuses(live.process.pid)
            policies = sorted(os.sched_getscheduler(int(each["Pid"])) for each in threads)
            names = [each["Name"] for each in threads]
            live.process.send_signal(signal.SIGTERM)
            live.process.wait(PATIENCE_S)
            exchanges.process.send_signal(signal.SIGTERM)
            seen = outcome(exchanges, live, tmp_path)
    said = re.search(r"confined (\d+) threads: capabilities ([A-Z_, ]+); Landlock \d+; seccomp", live.text())
    assert said is not None, live.text()
    # Main, the loop's, the captures'; numpy and pyarrow start some as well.
    assert len(threads) >= 3, names
    assert policies.count(os.SCHED_FIFO) == ("fifo" in ring)
    for each in threads:
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(each[kind], 16) & ~KEPT == 0, (each["Name"], kind, each[kind])
        assert each["NoNewPrivs"] == "1", each["Name"]
        assert each["Seccomp"] == "2", each["Name"]
    assert seen.engine["fills"] > 0
    for venue, what, theirs, ours in seen.rows():
        if what != "market data frames":  # the exchanges went on
            assert theirs == ours, (venue, what)
    assert next((tmp_path / "runs").glob("*/latest/report.html")).stat().st_size > 0
    names = {f"{venue}{orders}-000.pcap.zst" for venue in ("deribit", "bridge") for orders in ("", ".orders")}
    assert {path.name for path in (tmp_path / "capture").iterdir()} == names
