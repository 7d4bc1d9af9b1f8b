"""The last prices, in a list."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    prices = [desk.books[instrument].bid_ticks, desk.books[instrument].ask_ticks]  # <- container
    strategy.working = prices[0]
