"""A callback with an argument too few."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)  # <- callback
def look(strategy: Mine, desk: Desk) -> None:
    strategy.working = 1
