"""State that the struct does not declare."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.last_price_ticks = desk.books[instrument].bid_ticks  # <- field
