"""With compilation off, what compiled code could not take, or took from outside a table, ends at its line."""

from collections.abc import Callable
from typing import Annotated, Any

from crosswire.nic.memory.struct import Array, address_of, i64
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Entry, run_interpreted
from crosswire.strategies.desk import Desk
from crosswire.strategies.interface import Strategy
from crosswire.venues.book.book import make_books
from tests.support.uncompiled import printed_uncompiled


class Mine(Strategy):
    """A strategy with a table of four."""

    prices: Annotated[Array, i64, 4]
    last_ticks: i64


@compiled
def assign_undeclared(strategy: Mine, desk: Desk) -> None:
    strategy.last_price = 1  # type: ignore[attr-defined]


@compiled
def read_beyond_the_books(strategy: Mine, desk: Desk) -> None:
    strategy.last_ticks = desk.books[2].bid_ticks


@compiled
def read_before_the_books(strategy: Mine, desk: Desk) -> None:
    strategy.last_ticks = desk.books[-1].bid_ticks


@compiled
def write_beyond_the_table(strategy: Mine, desk: Desk) -> None:
    strategy.prices[desk.instrument_count + 2] = 1


@compiled
def store_a_float(strategy: Mine, desk: Desk) -> None:
    strategy.last_ticks = 0.5  # type: ignore[assignment]


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    assign_undeclared,
    read_beyond_the_books,
    read_before_the_books,
    write_beyond_the_table,
    store_a_float,
)


def kinds_of_error() -> str:
    """What each function raises when the engine calls it, which hands over addresses."""
    desk, strategy = Desk(instrument_count=2), Mine()
    desk.books = make_books(2, 64)
    found = []
    for function in FUNCTIONS:
        try:
            run_interpreted(Entry(function.__name__, function, (Mine, Desk)), address_of(strategy), address_of(desk))
            found.append("nothing")
        except Exception as error:
            found.append(type(error).__name__)
    return " ".join(found)


def test_what_compiled_code_could_not_do_is_refused_uncompiled() -> None:
    assert printed_uncompiled(__name__, "kinds_of_error") == (
        "AttributeError IndexError IndexError IndexError TypeError"
    )
