"""The drill of docs/recovery.md, step by step, as a person does it."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.engine.live.test_leaving import RESTLESS, config_with
from tests.support.live_setup import COMPILE_PATIENCE_S, started
from tests.support.net import own_testbed
from tests.support.paths import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.recovery]
MARKET_S = 400  # on a machine that others use, too


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("ld", links=2) as testbed:
        yield testbed


def command(*words: object) -> tuple[int, str]:
    """Run a command to its end: exit code, and what it said, in one line."""
    result = subprocess.run(
        [sys.executable, "-m", "crosswire.engine.cli", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    return result.returncode, " ".join((result.stdout + result.stderr).split())


def test_the_drill(testbed: Testbed, tmp_path: Path) -> None:
    config, runs = config_with(tmp_path, testbed, RESTLESS, seconds=MARKET_S), tmp_path / "runs"
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        # 1. Trade, and kill it.
        with started(tmp_path, "live", config, "--output", runs) as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            live.process.send_signal(signal.SIGKILL)
            live.process.wait()
        # 2. Read what it has left.
        code, said = command("runs", "--output", runs, "--json")
        assert code == 0
        assert '"state": "died"' in said
        code, said = command("journal", runs / "synthetic" / "latest", "--verify")
        assert (code, "is_closed: False" in said) == (0, True)
        code, said = command("report", runs / "synthetic" / "latest")
        assert code == 0
        assert "warning: 1 runs that died before their end" in said
        # 3. Start it again.
        with started(tmp_path, "live", config, "--output", runs, "--seconds", 15) as live:
            live.wait_for("run folder", COMPILE_PATIENCE_S)
            live.finish()
        assert re.search(r"died; it held .*; the end of \d+ orders is not known", " ".join(live.text().split()))
        # 4. Make a difference on purpose: take the journals away.
        shutil.move(runs, tmp_path / "away")
        with started(tmp_path, "live", config, "--output", runs, "--seconds", 15) as live:
            assert live.process.wait(COMPILE_PATIENCE_S) == 1
        said = live.text().splitlines()[-1]
        assert re.search(r"crosswire: alarm: .*: 0 lots by our journal, -?\d+ by the venue's account", said)
        code, _ = command("journal", runs / "synthetic" / "latest", "--kind", "order_sent")
        assert code == 0
        code, said = command("journal", runs / "synthetic" / "latest", "--kind", "difference")
        assert "ours_lots=0 theirs_lots=" in said
        # 5. Look at it, and accept it.
        code, said = command("reconcile", config, "--output", runs)
        assert (code, "nothing is changed" in said) == (1, True)
        code, said = command("reconcile", config, "--output", runs, "--accept")
        assert (code, "accepted: the next start begins with the venue's positions" in said) == (0, True)
        with started(tmp_path, "live", config, "--output", runs, "--seconds", 15) as live:
            live.wait_for("run folder", COMPILE_PATIENCE_S)
            live.finish()
        assert "alarm" not in live.text()
        exchanges.process.send_signal(signal.SIGTERM)
    code, said = command("runs", "synthetic", "--output", runs)
    assert code == 0
    assert [said.count(word) for word in ("reconcile", "ended")] == [1, 3]
