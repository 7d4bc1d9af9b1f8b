"""A look at a price by print."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    print(desk.books[instrument].bid_ticks)  # <- python
    strategy.working = 1
