"""Timers by number: each is set, moved and stopped by itself, and what is due in one turn has an order."""

from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.loop import Status
from crosswire.engine.plugin import find_strategy_class
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.strategies.desk import TIMERS_MAX, set_timer, stop_timer
from crosswire.testing import Harness, linear, veto
from tests.support.paths import ROOT

STRATEGY = """
from typing import Annotated

import msgspec

from crosswire import BUY, Array, BuildContext, Desk, Order, Strategy, compiled, i64
from crosswire import on_book, on_named_timer, on_order, on_timer, set_timer, stop_timer, submit, wake_at

WOKEN, VETOED = 100, 200
CALLS_MAX = 64
US = 1_000


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Timed(Strategy):
    begun_ns: i64
    count: i64
    calls: Annotated[Array, i64, CALLS_MAX]  # the timer, WOKEN of on_timer, VETOED of an order's veto
    times_ns: Annotated[Array, i64, CALLS_MAX]  # after the beginning

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Timed":
        return cls()


@compiled
def note(strategy: Timed, desk: Desk, what: int) -> None:
    if strategy.count < CALLS_MAX:
        strategy.calls[strategy.count] = what
        strategy.times_ns[strategy.count] = desk.now_ns - strategy.begun_ns
        strategy.count += 1


@on_book.register(Timed)
def begin(strategy: Timed, desk: Desk, instrument: int) -> None:
    if strategy.begun_ns != 0:
        return
    strategy.begun_ns = desk.now_ns
    set_timer(desk, 7, desk.now_ns + 20 * US)
    set_timer(desk, 3, desk.now_ns + 10 * US)
    set_timer(desk, 1, desk.now_ns + 10 * US)
    wake_at(desk, desk.now_ns + 10 * US)
    set_timer(desk, 2, desk.now_ns + 5 * US)
    set_timer(desk, 4, desk.now_ns + 5 * US)  # moved
    set_timer(desk, 4, desk.now_ns + 15 * US)
    set_timer(desk, 5, desk.now_ns + 15 * US)  # stopped
    stop_timer(desk, 5)


@on_timer.register(Timed)
def wake(strategy: Timed, desk: Desk) -> None:
    note(strategy, desk, WOKEN)


@on_named_timer.register(Timed)
def ring(strategy: Timed, desk: Desk, timer: int) -> None:
    note(strategy, desk, timer)
    if timer == 1:
        submit(desk, 0, BUY, 0, 0)  # which the gate vetoes at once: before the next timer is called
    if timer == 7 and strategy.count < 16:
        set_timer(desk, 7, desk.now_ns)  # never at this very instant again


@on_order.register(Timed)
def hear(strategy: Timed, desk: Desk, order: Order) -> None:
    note(strategy, desk, VETOED)
"""
US = 1_000
WOKEN, VETOED = 100, 200
EXPECTED = [
    (2, 5 * US),
    (WOKEN, 10 * US),
    (1, 10 * US),
    (VETOED, 10 * US),
    (3, 10 * US),
    (4, 15 * US),
    (7, 20 * US),
    *((7, 20 * US + again) for again in range(1, 10)),
]


def calls(strategy: Any) -> list[tuple[int, int]]:
    """What the strategy was called for, and when."""
    return list(zip(list(strategy.calls)[: strategy.count], list(strategy.times_ns)[: strategy.count], strict=True))


@pytest.fixture(scope="module")
def timed_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("timers")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=1)
    (folder / "examples").mkdir()
    (folder / "examples" / "timed.py").write_text(STRATEGY)
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    path = folder / "examples" / "run.toml"
    path.write_text(f'name = "timed"\n[strategy]\nuse = "timed.py:Timed"\n\n{text[text.index("[limits]") :]}')
    run = build_run(load_config(path), path)
    run.load()
    kept = MemoryJournal(run.engine.journal)
    while run.turn() != Status.FINISHED:
        kept.take()
        run.refill()
    return run


def test_what_is_due_at_one_time_is_called_in_order(timed_run: Run) -> None:
    assert calls(timed_run.core.strategies[0]) == EXPECTED


def test_the_harness_calls_timers_as_the_loop_does(tmp_path: Path) -> None:
    (tmp_path / "timed.py").write_text(STRATEGY)
    harness = Harness(find_strategy_class("timed.py:Timed", tmp_path, "here"), {}, {"a": linear()})
    harness.decide = lambda _: veto()
    harness.set_book("a", bids=[(100, 1)], asks=[(101, 1)])
    harness.advance(1_000 * US)
    assert calls(harness.strategy) == EXPECTED


def test_a_timer_that_there_is_not_is_counted_and_sets_none(timed_run: Run) -> None:
    desk = timed_run.engine.seats[0].desk
    dropped = desk.requests_dropped
    for timer in (-1, TIMERS_MAX):
        assert not set_timer(desk, timer, desk.now_ns + 1)
        assert not stop_timer(desk, timer)
    assert desk.requests_dropped == dropped + 4
    assert desk.first_timer_ns == NEVER_NS
    assert set_timer(desk, TIMERS_MAX - 1, 0)
    assert desk.first_timer_ns == desk.now_ns + 1
    assert stop_timer(desk, TIMERS_MAX - 1)
    assert desk.first_timer_ns == NEVER_NS
