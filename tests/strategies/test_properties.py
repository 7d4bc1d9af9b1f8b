"""What `check_properties` finds: a strategy that keeps all rules passes, one that breaks a rule fails for that one."""

import itertools
from typing import Any

import msgspec
import pytest

from crosswire import BUY, BuildContext, Desk, Order, OrderState, Strategy, i64, on_book, on_book_lost, on_order, submit
from crosswire.strategies.cross_spread import CrossSpread
from crosswire.testing import LEG_PARAMETERS, check_properties, inverse, linear

ONE = {"a": linear()}
calls = itertools.count()


class NoParameters(msgspec.Struct):
    pass


class Careful(Strategy):
    """Buys one lot, once, while nothing is out."""

    working: i64
    last_ticks: i64

    @classmethod
    def build(cls, parameters: NoParameters, context: BuildContext) -> "Careful":
        return cls()


@on_book.register(Careful)
def buy_once(strategy: Careful, desk: Desk, instrument: int) -> None:
    strategy.last_ticks = desk.books[instrument].ask_ticks
    if strategy.working == 0 and desk.positions[instrument].position_lots == 0 and desk.books[instrument].ask_lots > 0:
        strategy.working = int(submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, 1))


@on_order.register(Careful)
def order_ended(strategy: Careful, desk: Desk, order: Order) -> None:
    if order.state > OrderState.PENDING_CANCEL:
        strategy.working = 0


class SendsOnLostBook(Careful):
    pass


@on_book_lost.register(SendsOnLostBook)
def send_on_lost(strategy: SendsOnLostBook, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, max(1, strategy.last_ticks), 1)


class TakesEmptySide(Careful):
    pass


@on_book.register(TakesEmptySide)
def divide(strategy: TakesEmptySide, desk: Desk, instrument: int) -> None:
    strategy.last_ticks = 100 // desk.books[instrument].ask_lots


class Unbounded(Careful):
    pass


@on_book.register(Unbounded)
def buy_always(strategy: Unbounded, desk: Desk, instrument: int) -> None:
    if desk.books[instrument].ask_lots > 0:
        submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, 1)


class Moody(Careful):
    pass


@on_book.register(Moody)
def buy_by_mood(strategy: Moody, desk: Desk, instrument: int) -> None:
    if desk.books[instrument].ask_lots > 0:
        submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, 1 + next(calls) % 2)


class SendsNothing(Careful):
    pass


@on_book.register(SendsNothing)
def buy_nothing(strategy: SendsNothing, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, 10_000, 0)


def test_a_strategy_that_keeps_all_of_it_passes() -> None:
    check_properties(Careful, {}, ONE, position_max={"a": "0.001"}, examples=50)


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        (SendsOnLostBook, AssertionError, "whose book is not valid"),
        (TakesEmptySide, ZeroDivisionError, "division or modulo by zero"),
        (Unbounded, AssertionError, "lots held and open, more than 2"),
        (Moody, AssertionError, "the same events brought other orders"),
        (SendsNothing, AssertionError, "an order on a of 0 lots"),
    ],
)
def test_each_rule_that_is_broken_is_found(broken: Any, error: type[Exception], said: str) -> None:
    limits = {"a": "0.002"} if broken is Unbounded else None
    with pytest.raises(error, match=said):
        check_properties(broken, {}, ONE, position_max=limits)


def test_what_must_hold_of_cross_spread_does() -> None:
    parameters = LEG_PARAMETERS | {"instruments": ["a", "b"], "threshold_bps": -20, "position_max": "0.05"}
    parameters |= {"size_max": "0.02", "book_age_max_ms": 60_000}
    check_properties(CrossSpread, parameters, {"a": linear(), "b": linear(tick="0.2")}, examples=60)
    check_properties(CrossSpread, parameters, {"a": linear(), "b": inverse(tick="0.1")}, examples=20)
