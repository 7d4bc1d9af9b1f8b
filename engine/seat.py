"""A strategy's seat in the loop: its state, its desk, and the entries of the unit that is made from its class."""

from collections.abc import Callable
from typing import Any

from crosswire.nic.memory.struct import Array, Struct, address_of, copy_struct, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import raise_fault, try_entry
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.strategies.desk import Desk, take_first_timer
from crosswire.strategies.interface import (
    Strategy,
    catch_up_if_due,
    on_book,
    on_book_lost,
    on_fill,
    on_finish,
    on_flattened,
    on_named_timer,
    on_order,
    on_parameters,
    on_timer,
    on_trade,
)
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE, Events
from crosswire.venues.order import Order, Report

SILENT = 1 << 32  # in place of a status, which has 32 bits


class SeatEntries(Struct):
    """Addresses of a strategy unit's entries, each with the name of its function below."""

    hear: i64
    hear_fill: i64
    hear_order: i64
    hear_timer: i64
    hear_named_timer: i64
    hear_finish: i64
    hear_sent: i64
    hear_parameters: i64
    hear_flattened: i64


class Seat(Struct):
    """One strategy of a run."""

    number: i64  # that its orders, fills and positions carry
    orders: i64  # that ended, vetoed ones included
    failure: i64  # status of what it has raised; SILENT: Python knows; either way it is not called any more
    strategy: i64  # address
    desk: Desk
    told: Order  # the copy that the strategy is shown: the order itself is what the gate judges an amend by
    entries: SeatEntries


def hear(strategy: Strategy, desk: Desk, events: Events) -> None:
    """Hand one packet's events to the strategy, in wire order."""
    assert events.dropped == 0
    for position in range(events.count):
        event = events.items[position]
        catch_up_if_due(strategy, desk)
        if event.kind == BOOK_CHANGED:
            # A later message of the same packet may have lost the book again.
            if desk.books[event.instrument].valid != 0:
                on_book(strategy, desk, event.instrument)
        elif event.kind == TRADE:
            on_trade(strategy, desk, event.instrument, event.side, event.price_ticks, event.qty_lots)
        elif event.kind == BOOK_LOST:
            on_book_lost(strategy, desk, event.instrument)


def hear_fill(strategy: Strategy, desk: Desk, order: Order, report: Report) -> None:
    """Call `on_fill`."""
    catch_up_if_due(strategy, desk)
    on_fill(strategy, desk, order, report)


def hear_order(strategy: Strategy, desk: Desk, order: Order) -> None:
    """Call `on_order`."""
    catch_up_if_due(strategy, desk)
    on_order(strategy, desk, order)


def hear_timer(strategy: Strategy, desk: Desk) -> None:
    """Call `on_timer`."""
    catch_up_if_due(strategy, desk)
    on_timer(strategy, desk)


def hear_named_timer(strategy: Strategy, desk: Desk) -> None:
    """Call `on_named_timer` of the timer that is due first."""
    catch_up_if_due(strategy, desk)
    on_named_timer(strategy, desk, take_first_timer(desk))


def hear_finish(strategy: Strategy, desk: Desk) -> None:
    """Call `on_finish`."""
    catch_up_if_due(strategy, desk)
    on_finish(strategy, desk)


def hear_sent(strategy: Strategy, desk: Desk) -> None:
    """Call `catch_up`: what was asked for has been sent."""
    catch_up_if_due(strategy, desk)


def hear_parameters(strategy: Strategy, desk: Desk) -> None:
    """Call `on_parameters`."""
    catch_up_if_due(strategy, desk)
    on_parameters(strategy, desk)


def hear_flattened(strategy: Strategy, desk: Desk) -> None:
    """Call `on_flattened`."""
    catch_up_if_due(strategy, desk)
    on_flattened(strategy, desk)


def strategy_unit(cls: type[Strategy]) -> Unit:
    """Describe the unit of strategies of this class."""
    functions: dict[Callable[..., Any], tuple[Any, ...]] = {
        hear: (cls, Desk, Events),
        hear_fill: (cls, Desk, Order, Report),
        hear_order: (cls, Desk, Order),
        hear_timer: (cls, Desk),
        hear_named_timer: (cls, Desk),
        hear_finish: (cls, Desk),
        hear_sent: (cls, Desk),
        hear_parameters: (cls, Desk),
        hear_flattened: (cls, Desk),
    }
    return unit_of(f"strategy-{cls.__name__}", functions)


def set_seat(seat: Seat, number: int, strategy: Strategy, linker: Linker) -> None:
    """Give a strategy its seat, to be used once `linker` has loaded. `strategy` must outlive it."""
    seat.number = seat.desk.strategy = number
    seat.strategy = address_of(strategy)
    linker.link_all(seat.entries, strategy_unit(type(strategy)))


def silence(seat: Seat) -> None:
    """Call a strategy no more: what it asked for is forgotten."""
    seat.failure = SILENT
    seat.desk.request_count = 0
    seat.desk.timer_ns = seat.desk.first_timer_ns = NEVER_NS


def raise_failure(seats: Array) -> None:
    """Raise what a strategy has raised; of several the first one's."""
    failures = [seat.failure for seat in seats if seat.failure not in (0, SILENT)]
    for seat in seats:
        if seat.failure != 0:
            silence(seat)
    if failures:
        raise_fault(failures[0])


@compiled
def note_failure(seat: Seat, status: int) -> None:
    """Call a strategy that has raised something no more; the loop looks at its seat in this very turn.

    Nothing else of the turn is left out: what a venue said behind the report that it failed at is booked.
    """
    if status != 0:
        seat.failure = status
        seat.desk.request_count = 0
        seat.desk.timer_ns = 0
        seat.desk.first_timer_ns = NEVER_NS


@compiled
def tell_events(seat: Seat, events: Events) -> None:
    """Call `hear` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear, seat.strategy, address_of(seat.desk), address_of(events)))


@compiled
def tell_fill(seat: Seat, order: Order, report: Report) -> None:
    """Call `hear_fill` in the strategy's unit; of an order of its own, not of one that an earlier run has left."""
    if order.is_restored == 0 and seat.failure == 0:
        copy_struct(seat.told, order)
        told, desk = address_of(seat.told), address_of(seat.desk)
        note_failure(seat, try_entry(seat.entries.hear_fill, seat.strategy, desk, told, address_of(report)))


@compiled
def tell_order(seat: Seat, order: Order) -> None:
    """Call `hear_order` in the strategy's unit; of an order of its own, not of one that an earlier run has left."""
    if order.is_restored == 0 and seat.failure == 0:
        copy_struct(seat.told, order)
        told, desk = address_of(seat.told), address_of(seat.desk)
        note_failure(seat, try_entry(seat.entries.hear_order, seat.strategy, desk, told))


@compiled
def tell_time(seat: Seat) -> None:
    """Call `hear_timer` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_timer, seat.strategy, address_of(seat.desk)))


@compiled
def tell_named_timer(seat: Seat) -> None:
    """Call `hear_named_timer` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_named_timer, seat.strategy, address_of(seat.desk)))


@compiled
def tell_sent(seat: Seat) -> None:
    """Call `hear_sent` in the strategy's unit if it has put off something."""
    if seat.desk.catch_up_due != 0 and seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_sent, seat.strategy, address_of(seat.desk)))


@compiled
def tell_parameters(seat: Seat) -> None:
    """Call `hear_parameters` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_parameters, seat.strategy, address_of(seat.desk)))


@compiled
def tell_flattened(seat: Seat) -> None:
    """Call `hear_flattened` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_flattened, seat.strategy, address_of(seat.desk)))


@compiled
def tell_finish(seat: Seat) -> None:
    """Call `hear_finish` in the strategy's unit."""
    if seat.failure == 0:
        note_failure(seat, try_entry(seat.entries.hear_finish, seat.strategy, address_of(seat.desk)))
