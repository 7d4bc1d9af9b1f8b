"""A loop longer than the table."""

from typing import Annotated

from crosswire import Array, Desk, Strategy, i64, on_book


class Mine(Strategy):
    prices: Annotated[Array, i64, 4]
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    for place in range(8):
        strategy.prices[place] = 0  # <- index
