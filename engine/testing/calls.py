"""How the harness calls a strategy: its registered function as plain Python, or compiled behind a driver."""

from collections.abc import Callable
from typing import Any, NamedTuple

from crosswire.nic.unit.compile import compiled
from crosswire.strategies import interface
from crosswire.strategies.desk import Desk
from crosswire.venues.order import Order, Report


class Call(NamedTuple):
    """One callback, in both ways."""

    generic: Callable[..., Any]
    driver: Callable[..., Any]


@compiled
def _run_on_book(strategy: interface.Strategy, desk: Desk, instrument: int) -> None:
    interface.on_book(strategy, desk, instrument)


@compiled
def _run_on_book_lost(strategy: interface.Strategy, desk: Desk, instrument: int) -> None:
    interface.on_book_lost(strategy, desk, instrument)


@compiled
def _run_on_trade(
    strategy: interface.Strategy, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int
) -> None:
    interface.on_trade(strategy, desk, instrument, side, price_ticks, qty_lots)


@compiled
def _run_on_fill(strategy: interface.Strategy, desk: Desk, order: Order, report: Report) -> None:
    interface.on_fill(strategy, desk, order, report)


@compiled
def _run_on_order(strategy: interface.Strategy, desk: Desk, order: Order) -> None:
    interface.on_order(strategy, desk, order)


@compiled
def _run_on_timer(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_timer(strategy, desk)


@compiled
def _run_on_named_timer(strategy: interface.Strategy, desk: Desk, timer: int) -> None:
    interface.on_named_timer(strategy, desk, timer)


@compiled
def _run_on_finish(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_finish(strategy, desk)


@compiled
def _run_on_parameters(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_parameters(strategy, desk)


@compiled
def _run_on_flattened(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_flattened(strategy, desk)


@compiled
def _run_catch_up(strategy: interface.Strategy, desk: Desk) -> None:
    interface.catch_up_if_due(strategy, desk)


ON_BOOK = Call(interface.on_book, _run_on_book)
ON_BOOK_LOST = Call(interface.on_book_lost, _run_on_book_lost)
ON_TRADE = Call(interface.on_trade, _run_on_trade)
ON_FILL = Call(interface.on_fill, _run_on_fill)
ON_ORDER = Call(interface.on_order, _run_on_order)
ON_TIMER = Call(interface.on_timer, _run_on_timer)
ON_NAMED_TIMER = Call(interface.on_named_timer, _run_on_named_timer)
ON_FINISH = Call(interface.on_finish, _run_on_finish)
ON_PARAMETERS = Call(interface.on_parameters, _run_on_parameters)
ON_FLATTENED = Call(interface.on_flattened, _run_on_flattened)
CATCH_UP = Call(interface.catch_up_if_due, _run_catch_up)
