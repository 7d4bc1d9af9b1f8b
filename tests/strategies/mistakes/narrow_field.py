"""A size in eight bits."""

from crosswire import Desk, Strategy, i8, i64, on_book


class Mine(Strategy):
    lots: i8
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.lots = 1_000  # <- width
