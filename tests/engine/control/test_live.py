"""Goal: another process sees a live run as it is, and what an operator asks for is done on the wire and written down.

Method: both commands as a user starts them over AF_XDP; this process attaches, reads and posts. What became of it is
taken from the journal, from the exchange's own account, and from the run replayed byte for byte.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.control.attach import Answer, Command, attach, consistent
from crosswire.engine.control.mailbox import CommandKind, Flattening, Outcome
from crosswire.engine.control.parameters import named_parameters, numbers_of
from crosswire.engine.journal.show import Filter, show_records
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed
from crosswire.nic.memory.arena import SHARED_FOLDER, SHARED_PREFIX
from crosswire.risk.trading_state import TradingState, Why
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, make_config, started
from tests.support.live_setup import Command as Started
from tests.support.live_setup import Outcome as Outcomes
from tests.support.net import own_testbed
from tests.support.paths import ROOT

MARKET_S = 40
NAME = "synthetic"


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("ct", links=2) as testbed:
        yield testbed


class Rig:
    """A live run against simulated exchanges, and this process attached to it."""

    def __init__(self, folder: Path, live: Started, exchanges: Started) -> None:
        self.folder, self.live, self.exchanges = folder, live, exchanges
        self.run = attach(folder / "runs", NAME)
        self.answered_ms: list[float] = []
        self.posted_ns: dict[int, int] = {}  # by kind, the first

    def post(self, kind: CommandKind, **selectors: Any) -> Answer:
        begun_ns = time.time_ns()
        self.posted_ns.setdefault(kind, begun_ns)
        answer = self.run.post(Command(kind, "alice", **selectors), timeout_s=2.0)
        self.answered_ms.append((time.time_ns() - begun_ns) / 1e6)
        return answer

    def last_order_ms(self, posted_ns: int) -> float:
        """When the last order of trading left before the run was paused, after the post; 0: before it."""
        records = self.records()
        paused = next(place for place, each in enumerate(records) if each.get("command") == "pause")
        last_ns = max(each["time_ns"] for each in records[:paused] if each["kind"] == "order_sent")
        return max(0.0, (last_ns - posted_ns) / 1e6)

    def until(self, done: Callable[[], bool], patience_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < deadline_s, self.live.text()
            time.sleep(0.002)

    @property
    def latest(self) -> Path:
        return self.folder / "runs" / NAME / "latest"

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The journal so far."""
        return [each for each in show_records(self.latest, Filter()) if kind in ("", each["kind"])]

    def end(self) -> str:
        """Stop it as Ctrl-C does; what it printed."""
        self.live.process.send_signal(signal.SIGINT)
        return self.live.finish()


@contextmanager
def trading(folder: Path, testbed: Testbed, **changes: str) -> Iterator[Rig]:
    """A live run that has traded."""
    config = make_config(folder, testbed, seconds=MARKET_S, **changes)
    config.write_text(f'{config.read_text()}\n[control]\nkeys = "keys"\n')
    with started(folder, "exchange", config, "--wait", "--seconds", MARKET_S) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        options = ("--output", folder / "runs", "--capture", folder / "captured")
        with started(folder, "live", config, *options) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            rig = Rig(folder, live, exchanges)
            with rig.run:
                rig.until(lambda: rig.run.engine.state.fills > 20, 20)
                yield rig


def shared_files() -> list[Path]:
    return list(SHARED_FOLDER.glob(f"{SHARED_PREFIX}*"))


def replayed(folder: Path) -> dict[str, Any]:
    """What `crosswire explain` finds in running the run again."""
    command = [sys.executable, "-m", "crosswire.engine.cli", "explain", folder / "runs" / NAME / "latest", "--json"]
    result = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    replay: dict[str, Any] = json.loads(result.stdout)["replay"]
    return replay


@pytest.mark.netns
def test_a_run_is_seen_commanded_and_replayed(
    testbed: Testbed, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with trading(tmp_path, testbed) as rig:
        see_what_the_run_has(rig)
        pause_and_resume(rig)
        change_limits(rig)
        refuse(rig)
        flatten(rig)
        assert rig.post(CommandKind.RESUME).outcome == Outcome.DONE
        sent = rig.run.engine.state.orders_sent
        rig.until(lambda: rig.run.engine.state.orders_sent > sent)
        assert rig.post(CommandKind.KILL).outcome == Outcome.DONE
        assert rig.live.process.wait(PATIENCE_S) == 1
        said = rig.live.text().splitlines()
        assert said[-1] == "crosswire: killed by alice"
        assert "flatten: nothing is held" in said
        assert not rig.run.is_alive()
        with pytest.raises(HostError, match="has ended"):
            rig.post(CommandKind.RESUME)
        commands = rig.records("command")
        at_exchange = json.loads(rig.exchanges.finish(MARKET_S + PATIENCE_S).splitlines()[-1])
    assert [each["command"] for each in commands if each["outcome"] in ("done", "begun")] == [
        "pause", "resume", "reduce_only", "resume", "set", "flatten", "resume", "kill",
    ]  # fmt: skip
    assert {each["client"] for each in commands} == {"alice"}
    seen = json.loads((rig.latest / "summary.json").read_text())
    rows = [row for row in Outcomes(at_exchange, seen).rows() if row[1] != "market data frames"]
    assert len(rows) == 6
    assert [(*row, at_exchange) for *row, at_exchange, _ in rows] == [(*row, in_engine) for *row, _, in_engine in rows]
    nothing_leaves_between(rig.records(), "pause", "resume")
    nothing_leaves_between(rig.records(), "kill", "")
    answered_ms = sorted(rig.answered_ms)
    record_testsuite_property(
        "answered_ms", (answered_ms[len(answered_ms) // 2], answered_ms[-1])
    )  # median and longest
    record_testsuite_property(
        "last order behind the post of a pause, ms", rig.last_order_ms(rig.posted_ns[CommandKind.PAUSE])
    )
    replay = replayed(tmp_path)
    assert replay["is_same"], replay
    assert replay["missing_frames"] == 0


def nothing_leaves_between(records: list[dict[str, Any]], first: str, last: str) -> None:
    """From one command's record to another's no order is written down as sent."""
    begun = next(place for place, each in enumerate(records) if each.get("command") == first)
    behind = records[begun:]
    end = next((place for place, each in enumerate(behind) if each.get("command") == last), len(behind))
    assert any(each["kind"] == "order_sent" for each in records[:begun])
    assert not [each for each in behind[:end] if each["kind"] in ("order_sent", "amend_sent")]


def see_what_the_run_has(rig: Rig) -> None:
    """Tops, positions, orders and counters, read while the loop turns."""
    engine = rig.run.engine
    assert rig.run.name == rig.run.config.name == NAME
    assert rig.run.process == rig.live.process.pid
    assert rig.run.is_alive()
    for index in range(engine.market.count):
        top = consistent(lambda index=index: bytes(engine.gate.tops[index]))
        assert top is not None
        assert 0 < engine.gate.tops[index].bid_ticks < engine.gate.tops[index].ask_ticks
    before = engine.state.frames
    rig.until(lambda: engine.state.frames > before)
    for part in rig.run.parts:
        assert part.feed.packets > 100
        assert part.session.orders_sent > 0
        assert part.ring.counters.frames > 100
    with pytest.raises(ValueError, match="not shared"):
        _ = engine.venues[0].inbox.frame.at(1, engine.memory).memory.check(0x1000, 8)


def pause_and_resume(rig: Rig) -> None:
    """Nothing but cancels leaves from the answer on, though frames come."""
    engine, gate = rig.run.engine, rig.run.engine.gate
    for kind, state in (
        (CommandKind.PAUSE, TradingState.CANCEL_ONLY),
        (CommandKind.REDUCE_ONLY, TradingState.REDUCE_ONLY),
    ):
        begun = time.monotonic()
        assert rig.post(kind).outcome == Outcome.DONE
        assert time.monotonic() - begun < 0.5
        assert (gate.state, gate.why) == (state, Why.OPERATOR)
        sent, frames = engine.state.orders_sent, engine.state.frames
        rig.until(lambda: engine.orders.count == 0)
        rig.until(lambda frames=frames: engine.state.frames > frames + 2000)
        if kind == CommandKind.PAUSE:
            assert engine.state.orders_sent == sent
            assert rig.post(CommandKind.REDUCE_ONLY).outcome == Outcome.UNCHANGED
            assert gate.state == TradingState.CANCEL_ONLY
        assert rig.post(CommandKind.RESUME).outcome == Outcome.DONE
        assert (gate.state, gate.why) == (TradingState.ACTIVE, Why.NONE)
        rig.until(lambda sent=sent: engine.state.orders_sent > sent)
    assert rig.post(CommandKind.RESUME).outcome == Outcome.UNCHANGED


def change_limits(rig: Rig) -> None:
    """All of it or nothing."""
    engine = rig.run.engine
    named = {each.name: each for each in named_parameters(engine)}
    first = rig.run.config.venue[0]
    what = f"venue.{first.name}.instrument.{first.instrument[0].symbol}.limits"
    order, position = named[f"{what}.order_max"], named[f"{what}.position_max"]
    assert order.now == first.instrument[0].limits.order_max
    limits = engine.gate.limits[0]
    before = (limits.order_lots_max, limits.position_lots_max)
    items = numbers_of(engine, [(order.name, order.now / 2), (position.name, position.now / 2)])
    assert rig.post(CommandKind.SET, items=[items[0], (10_000, 1)]).outcome == Outcome.BAD_PARAMETER
    assert rig.post(CommandKind.SET, items=[items[0], items[0]]).outcome == Outcome.BAD_PARAMETER
    assert rig.post(CommandKind.SET, items=[items[0], (position.place, 0)]).outcome == Outcome.OUT_OF_RANGE
    beyond = [(order.place, before[1] + 1)]
    assert rig.post(CommandKind.SET, items=beyond).outcome == Outcome.CONTRADICTION
    assert (limits.order_lots_max, limits.position_lots_max) == before
    assert rig.post(CommandKind.SET, items=items).outcome == Outcome.DONE
    assert (limits.order_lots_max, limits.position_lots_max) == (items[0][1], items[1][1])
    with pytest.raises(ValueError, match="must be a multiple of"):
        numbers_of(engine, [(order.name, order.now + Decimal("1e-9"))])


def refuse(rig: Rig) -> None:
    """What makes no sense changes nothing."""
    gate = rig.run.engine.gate
    assert rig.post(CommandKind.PAUSE, venue=0).outcome == Outcome.BAD_SELECTOR
    assert rig.post(CommandKind.CANCEL_ALL, instrument=99).outcome == Outcome.BAD_SELECTOR
    assert rig.post(CommandKind.SET).outcome == Outcome.BAD_COUNT
    assert rig.post(99).outcome == Outcome.BAD_KIND  # type: ignore[arg-type]
    assert gate.state == TradingState.ACTIVE


def flatten(rig: Rig) -> None:
    """All positions are traded away, of the account and of every strategy, and nothing is sent behind."""
    engine = rig.run.engine
    positions = [engine.gate.positions[index] for index in range(engine.market.count)]
    rig.until(lambda: any(each.position_lots for each in positions))
    assert rig.post(CommandKind.FLATTEN).outcome == Outcome.BEGUN
    rig.until(lambda: engine.control.flatten.state != Flattening.ON)
    assert engine.control.flatten.state == Flattening.FLAT
    assert [each.position_lots for each in positions] == [0] * len(positions)
    own = engine.seats[0].desk.positions
    assert [own[index].position_lots for index in range(len(positions))] == [0] * len(positions)
    assert engine.gate.state == TradingState.REDUCE_ONLY
    sent, frames = engine.state.orders_sent, engine.state.frames
    rig.until(lambda: engine.state.frames > frames + 2000)
    assert engine.state.orders_sent == sent
    told = rig.records("flattened")
    assert told
    assert all((each["left_lots"], each["ending"]) == (0, "flat") for each in told)
