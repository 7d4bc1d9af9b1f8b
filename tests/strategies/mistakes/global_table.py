"""A list outside the struct."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


prices = [0, 0]


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = prices[0]  # <- container
