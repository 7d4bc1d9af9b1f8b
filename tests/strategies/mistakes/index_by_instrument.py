"""A table of four, by the market index of any instrument."""

from typing import Annotated

from crosswire import Array, Desk, Strategy, i64, on_book


class Mine(Strategy):
    prices: Annotated[Array, i64, 4]
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.prices[instrument] = desk.books[instrument].bid_ticks  # <- index
