"""A helper as a lambda."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    half = lambda lots: lots // 2  # <- python
    strategy.working = half(desk.books[instrument].bid_lots)
