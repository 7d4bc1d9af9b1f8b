"""Engine, bridge and stand-in killed in mid-order, with the engine live: each order and each fill once, on all sides.

Whoever is killed is started again; so is the engine where it ended with an alarm, which must say what it is about.
`CROSSWIRE_KILLS=50` makes it more than a CI run can afford.
"""

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.engine.live.test_leaving import RESTLESS
from tests.support.live_setup import COMPILE_PATIENCE_S
from tests.support.net import own_testbed
from tests.support.whole_line import WholeLine
from tests.support.whole_line_judge import compare_accounts

pytestmark = [pytest.mark.netns, pytest.mark.binance, pytest.mark.recovery, pytest.mark.kill]
KILLS = int(os.environ.get("CROSSWIRE_KILLS", "1"))  # of each process
DATA_S = 60  # of what the stand-in plays, again and again
MARKET_S = 200 + 90 * KILLS  # of the simulated Starbase, whose prices walk on their own: restless needs no two alike
FOLLOWING = f'seconds = {DATA_S}\nfollow = "binance/BTCUSDT"\nfollow_delay_ms = 40\n'
WALKING = f'seconds = {MARKET_S}\nfirst_price = {{ "BTC-PERPETUAL" = 60_000 }}\n'
KILLED_MEAN_S = 1.0
KILLED_S = 4.0  # at most, after orders go out
BACK_S = 1.0  # for who was cut off: orders go out again by then, or soon
LAST_S = 6  # the last run ends by itself
AGAIN_S = 60.0
FRESH_ORDERS = 5  # before the next is killed: fewer, and a slow machine would have killed an engine that hardly trades
STRATEGY = RESTLESS.replace("deribit/", "starbase/").replace('"bridge/', '"binance/')
ALARM = r"the end of \d+ orders? is not known \(\d+ of |session was lost with \d+ orders? open"


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("bk", links=2) as testbed:
        yield testbed


class Killer:
    """All processes of the line, one of which is killed again and again."""

    def __init__(self, line: WholeLine, closing: ExitStack) -> None:
        self.line, self.closing = line, closing
        self.chance = random.Random(KILLS)
        self.starbase = closing.enter_context(line.exchange())
        self.starbase.wait_for("ready", COMPILE_PATIENCE_S)
        self.alarms: list[str] = []
        self.stand_in = self.bridge = self.live = self.starbase
        self.start_stand_in()
        self.start_bridge()

    def start_stand_in(self) -> None:
        self.stand_in = self.closing.enter_context(self.line.stand_in())
        self.stand_in.wait_for("control ", COMPILE_PATIENCE_S)
        self.line.control("resume")

    def start_bridge(self) -> None:
        self.bridge = self.closing.enter_context(self.line.bridge())
        self.bridge.wait_for("book proven", COMPILE_PATIENCE_S)

    def start_engine(self, *options: object) -> None:
        self.live = self.closing.enter_context(self.line.live(*options))
        self.live.wait_for("trading", COMPILE_PATIENCE_S)

    def mend_engine(self) -> None:
        """Start the engine again if it has ended: by an alarm that names what it is about, and by nothing else."""
        if self.live is not self.starbase and self.live.process.poll() is None:
            return
        if self.live is not self.starbase and self.live.process.returncode != -signal.SIGKILL:
            said = " ".join(self.live.text().split())
            assert re.search(ALARM, said), self.live.text()
            self.alarms.append(said[-300:])
        self.start_engine()

    def wait_for_orders(self) -> None:
        """Wait until the stand-in gets orders again, and fills one."""
        known, until = self.line.truth("account"), time.monotonic() + AGAIN_S
        wanted_orders, wanted_fills = len(known["orders"]) + FRESH_ORDERS, len(known["fills"]) + 1
        while len((now := self.line.truth("account"))["orders"]) < wanted_orders or len(now["fills"]) < wanted_fills:
            assert time.monotonic() < until, self.live.text() + self.bridge.text()[-3_000:]
            self.mend_engine()
            time.sleep(0.1)

    def kill(self, victim: str) -> None:
        """Let orders go out, kill, and start again."""
        self.mend_engine()
        self.wait_for_orders()
        time.sleep(min(self.chance.expovariate(1 / KILLED_MEAN_S), KILLED_S))
        process = {"engine": self.live, "bridge": self.bridge, "stand-in": self.stand_in}[victim].process
        process.send_signal(signal.SIGKILL)
        process.wait()
        if victim == "bridge":
            self.start_bridge()
        elif victim == "stand-in":
            self.start_stand_in()
        time.sleep(BACK_S)
        if victim != "bridge":
            assert self.bridge.process.poll() is None, self.bridge.text()[-3_000:]

    def end(self) -> None:
        """Have the engine leave in order, after a last while."""
        self.mend_engine()
        self.wait_for_orders()
        self.live.process.send_signal(signal.SIGTERM)
        self.live.process.wait(AGAIN_S)
        if self.live.process.returncode != 0:  # who was killed last may be the reason
            self.mend_engine()
            time.sleep(LAST_S)
            self.live.process.send_signal(signal.SIGTERM)
            assert self.live.process.wait(AGAIN_S) == 0, self.live.text()


@pytest.mark.parametrize("victim", ["engine", "bridge", "stand-in"])
def test_killed_in_mid_order(testbed: Testbed, tmp_path: Path, victim: str) -> None:
    line = WholeLine(tmp_path, testbed, DATA_S)
    text = line.config().read_text()
    assert FOLLOWING in text
    text = text.replace(FOLLOWING, WALKING)
    line.config().write_text(text[: text.index("[strategy]")] + STRATEGY + text[text.index("[live]") :])
    with ExitStack() as closing:
        killer = Killer(line, closing)
        for number in range(KILLS):
            killer.kill(victim)
            print(f"kill {number + 1} of the {victim}; alarms so far: {len(killer.alarms)}", flush=True)
        killer.end()
        time.sleep(BACK_S)
        found = compare_accounts(line, line.ask("account"))
    print(f"{found.orders} orders, {found.fills} fills, {len(killer.alarms)} alarms: {killer.alarms[-1:]}")
    assert found.differences == []
    assert found.orders > 5 * KILLS
    assert found.fills > 0
