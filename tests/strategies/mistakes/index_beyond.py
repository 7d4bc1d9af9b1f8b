"""A place that the table does not have."""

from typing import Annotated

from crosswire import Array, Desk, Strategy, i64, on_book


class Mine(Strategy):
    prices: Annotated[Array, i64, 4]  # by slot
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.prices[4] = desk.books[instrument].bid_ticks  # <- index
