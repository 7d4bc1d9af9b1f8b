"""What `check_properties` finds of strategies that quote: each breaks one rule, and fails for that one."""

import itertools
from typing import Any

import msgspec
import pytest

from crosswire import (
    BuildContext,
    Desk,
    Order,
    OrderState,
    Strategy,
    cancel_all_of,
    i64,
    on_book,
    on_book_lost,
    on_order,
    quote,
)
from crosswire.testing import CANCEL_BY_ID, QUOTE, check_properties, linear

ONE = {"a": linear(lot="0.001")}
LIMITS = {"a": "0.003"}
HELD_MAX = 2
calls = itertools.count()


class Parameters(msgspec.Struct):
    """Nothing can be told."""


class Careful(Strategy):
    """Quotes one lot a side behind the best prices while nothing is open, and no more than it may hold."""

    bid_ticks: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Careful":
        return cls()


def is_free(desk: Desk, instrument: int) -> bool:
    position, book = desk.positions[instrument], desk.books[instrument]
    return (
        position.open_orders == 0
        and abs(position.position_lots) <= HELD_MAX
        and book.bid_lots > 0
        and book.ask_lots > 0
    )


@on_book.register(Careful)
def quote_with_care(strategy: Careful, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    strategy.bid_ticks = book.bid_ticks
    if is_free(desk, instrument):
        quote(desk, instrument, book.bid_ticks, 1, book.ask_ticks, 1)


@on_book_lost.register(Careful)
def withdraw(strategy: Careful, desk: Desk, instrument: int) -> None:
    cancel_all_of(desk, instrument)


class QuotesOnLostBook(Careful):
    pass


@on_book_lost.register(QuotesOnLostBook)
def quote_on_lost(strategy: QuotesOnLostBook, desk: Desk, instrument: int) -> None:
    quote(desk, instrument, max(1, strategy.bid_ticks), 1, max(1, strategy.bid_ticks) + 1, 1)


class QuotesBeyondLimit(Careful):
    """Takes it that a quote which replaces another adds nothing."""


@on_book.register(QuotesBeyondLimit)
def quote_always(strategy: QuotesBeyondLimit, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    if book.bid_lots > 0 and book.ask_lots > 0:
        quote(desk, instrument, book.bid_ticks, 2, book.ask_ticks, 2)


class QuotesOneSide(Careful):
    pass


@on_book.register(QuotesOneSide)
def quote_no_bid(strategy: QuotesOneSide, desk: Desk, instrument: int) -> None:
    if is_free(desk, instrument):
        quote(desk, instrument, desk.books[instrument].bid_ticks, 0, desk.books[instrument].ask_ticks, 1)


class QuotesItself(Careful):
    pass


@on_book.register(QuotesItself)
def quote_crossed(strategy: QuotesItself, desk: Desk, instrument: int) -> None:
    if is_free(desk, instrument):
        quote(desk, instrument, desk.books[instrument].bid_ticks, 1, desk.books[instrument].bid_ticks, 1)


class Moody(Careful):
    pass


@on_book.register(Moody)
def quote_by_mood(strategy: Moody, desk: Desk, instrument: int) -> None:
    if is_free(desk, instrument):
        quote(
            desk, instrument, desk.books[instrument].bid_ticks - next(calls) % 2, 1, desk.books[instrument].ask_ticks, 1
        )


class Fragile(Careful):
    """Raises when one side of a quote is refused."""


@on_order.register(Fragile)
def break_down(strategy: Fragile, desk: Desk, order: Order) -> None:
    if order.state == OrderState.REJECTED:
        strategy.bid_ticks = 1 // (order.is_quote - 1)


class Choosy(Careful):
    """Raises at a venue that takes no quotes; elsewhere it never asks for what is vetoed by itself."""


@on_order.register(Choosy)
def break_down_unsupported(strategy: Choosy, desk: Desk, order: Order) -> None:
    if order.state == OrderState.VETOED and order.reason != 0:
        strategy.bid_ticks = 1 // (order.is_quote - 1)


def test_a_quoting_strategy_that_keeps_all_of_it_passes() -> None:
    check_properties(Careful, {}, ONE, position_max=LIMITS, examples=50)
    check_properties(Careful, {}, ONE, position_max=LIMITS, examples=10, unsupported={"a": {QUOTE, CANCEL_BY_ID}})


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        (QuotesOnLostBook, AssertionError, "a quote on a, whose book is not valid"),
        (QuotesBeyondLimit, AssertionError, "lots held and open, more than 3"),
        (QuotesOneSide, AssertionError, "a quote on a of 0 lots"),
        (QuotesItself, AssertionError, "at its ask of"),
        (Moody, AssertionError, "the same events brought other orders"),
        (Fragile, ZeroDivisionError, "division"),
    ],
)
def test_each_rule_that_a_quote_breaks_is_found(broken: Any, error: type[Exception], said: str) -> None:
    limits = LIMITS if broken is QuotesBeyondLimit else None
    with pytest.raises(error, match=said):
        check_properties(broken, {}, ONE, position_max=limits)


def test_a_venue_without_quotes_is_among_what_may_come() -> None:
    check_properties(Choosy, {}, ONE, examples=20)
    with pytest.raises(ZeroDivisionError):
        check_properties(Choosy, {}, ONE, examples=20, unsupported={"a": {QUOTE}})
