"""A strategy that raises something, wherever it does: what its venues say is booked all the same."""

from pathlib import Path

import pytest

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.control.flatten import begin_flatten, go_on_flattening
from crosswire.engine.control.mailbox import Flattening
from crosswire.engine.control.parameters import set_control
from crosswire.engine.errors import LoopError
from crosswire.engine.generate import generate_captures
from crosswire.engine.loop import Status
from crosswire.engine.seat import raise_failure, silence
from crosswire.engine.state import begin_leaving
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.trading_state import Why
from crosswire.strategies.desk import quote
from crosswire.venues.order import ReportKind
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL
from tests.support import order_desk
from tests.support.order_desk import OrderDesk, check_accounts
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(NO_JIT, reason="the same either way, and minutes uncompiled")
PLACES = ("on_book", "on_fill", "on_order", "on_timer", "on_named_timer")
STRATEGY = """
import msgspec

from crosswire import BUY, GTC, IOC, BuildContext, Desk, Order, OrderState, Report, Strategy
from crosswire import compiled, i64, on_book, on_fill, on_named_timer, on_order, on_timer, set_timer, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    place: int


class Sweeping(Strategy):
    place: i64
    books: i64
    rests: i64
    nothing: i64
    calls_after: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Sweeping":
        return cls(place=parameters.place)


@compiled
def fail(strategy: Sweeping, place: int) -> None:
    strategy.calls_after += strategy.nothing
    if strategy.place == place and strategy.rests != 0:
        strategy.nothing = 1
        strategy.books = strategy.books // (strategy.nothing - 1)


@on_book.register(Sweeping)
def sweep(strategy: Sweeping, desk: Desk, instrument: int) -> None:
    strategy.books += 1
    if strategy.books == 50:
        book = desk.books[instrument]
        submit(desk, instrument, BUY, book.bid_ticks - 50, 1, GTC)
        submit(desk, instrument, BUY, book.ask_ticks + 40, 400, IOC)
        desk.timer_ns = desk.now_ns + 1_000_000_000
        set_timer(desk, 2, desk.now_ns + 1_000_000_000)
        set_timer(desk, 3, desk.now_ns + 1_100_000_000)
    elif strategy.books > 80:
        fail(strategy, 0)


@on_fill.register(Sweeping)
def hear_fill(strategy: Sweeping, desk: Desk, order: Order, report: Report) -> None:
    fail(strategy, 1)


@on_order.register(Sweeping)
def hear_order(strategy: Sweeping, desk: Desk, order: Order) -> None:
    if order.time_in_force == GTC and order.state == OrderState.LIVE:
        strategy.rests = 1
    elif order.time_in_force == IOC:
        fail(strategy, 2)


@on_timer.register(Sweeping)
def hear_time(strategy: Sweeping, desk: Desk) -> None:
    fail(strategy, 3)


@on_named_timer.register(Sweeping)
def hear_named_time(strategy: Sweeping, desk: Desk, timer: int) -> None:
    fail(strategy, 4)
"""


def make_run(folder: Path, place: int) -> Run:
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=4)
    (folder / "examples").mkdir()
    (folder / "examples" / "sweeping.py").write_text(STRATEGY)
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    path = folder / "examples" / "run.toml"
    strategy = f'name = "sweep"\n[strategy]\nuse = "sweeping.py:Sweeping"\n\n[strategy.parameters]\nplace = {place}\n\n'
    path.write_text(strategy + text[text.index("[limits]") :].replace("seconds = 120", "seconds = 4"))
    return build_run(load_config(path), path)


@pytest.mark.parametrize("place", range(len(PLACES)), ids=PLACES)
def test_what_venues_say_is_booked_though_a_strategy_fails(tmp_path: Path, place: int) -> None:
    """As `crosswire live` does it: told once, all cancelled, and the loop goes on until the venues have answered."""
    run = make_run(tmp_path, place)
    run.load()
    engine, strategy = run.engine, run.core.strategies[0]
    kept, raised = MemoryJournal(engine.journal), []
    status = Status.STARVED
    while status != Status.FINISHED:
        try:
            status = run.turn()
        except LoopError as error:
            raised.append(str(error))
            begin_leaving(engine, Why.STRATEGY_FAILED)
        kept.take()
        run.refill()
    (text,) = raised
    assert "integer division by zero" in text
    assert "sweeping.py:" in text
    assert strategy.calls_after == 0
    for number, (venue, part) in enumerate(zip(run.config.venue, run.parts, strict=True)):
        assert part.session.state == SessionState.READY
        account = venue.order_entry.account(part.exchange)
        ours = {index: engine.gate.positions[index].position_lots for index in account.position_lots}
        assert ours == account.position_lots
        assert account.fills == sum(engine.gate.positions[index].fills for index in ours)
        assert account.open_orders == []
        assert engine.gate.venues[number].open_orders == 0
    assert sum(run.engine.gate.positions[index].fills for index in range(engine.market.count)) > 1
    assert engine.orders.count == engine.gate.alarms == 0


def test_a_failure_that_python_has_dealt_with_does_not_end_the_loop(tmp_path: Path) -> None:
    """The engine itself may raise something in the same turn: then that is raised, and the strategies are silenced."""
    run = make_run(tmp_path, len(PLACES))
    run.load()
    kept = MemoryJournal(run.engine.journal)
    run.engine.state.strategy_failed = 1
    silence(run.engine.seats[0])
    status = run.turn()
    while status in (Status.STARVED, Status.JOURNAL):
        kept.take()
        run.refill()
        status = run.turn()
    assert status == Status.FINISHED


def test_no_quote_is_sent_of_a_strategy_that_fails_at_the_veto_of_another(tmp_path: Path) -> None:
    """Both were to leave in one message: the first is judged, and counted as open, when the second is vetoed."""
    run = order_desk.make_run(tmp_path)
    desk = OrderDesk(run)
    sent = run.parts[0].session.quotes_sent
    quote(desk.desk, 0, desk.price(0, BUY), 10, desk.price(0, SELL), 10)
    quote(desk.desk, 1, desk.price(1, BUY), 0, desk.price(1, SELL), 10)
    desk.heard.fails = 1
    desk.send()
    assert run.parts[0].session.quotes_sent == sent
    assert desk.open() == []
    check_accounts(desk.engine)
    with pytest.raises(ZeroDivisionError):
        raise_failure(desk.engine.seats)


def test_a_strategy_that_fails_as_flatten_ends_leaves_the_flatten_ended_and_the_other_one_told(tmp_path: Path) -> None:
    desk = OrderDesk(order_desk.make_run(tmp_path))
    set_control(desk.run.core, desk.run.config)
    engine, (failing, other) = desk.engine, (desk.engine.seats[number] for number in range(2))
    desk.gate.positions[0].position_lots = failing.desk.positions[0].position_lots = 10
    desk.heard.fails = 1
    begin_flatten(engine, desk.now_ns)
    go_on_flattening(engine, desk.now_ns)
    (order,) = desk.open()
    desk.say(order, ReportKind.FILL, qty_lots=10, price_ticks=order.price_ticks)
    desk.later()
    go_on_flattening(engine, desk.now_ns)
    assert engine.control.flatten.state == Flattening.FLAT
    assert (desk.gate.positions[0].position_lots, failing.desk.positions[0].position_lots, desk.open()) == (0, 0, [])
    assert (desk.other_heard.flattened, other.failure) == (1, 0)
    assert failing.desk.timer_ns == 0  # the loop looks at its seat in this very turn
    with pytest.raises(ZeroDivisionError):
        raise_failure(engine.seats)
