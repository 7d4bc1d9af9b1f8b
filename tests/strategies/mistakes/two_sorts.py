"""A name that is a price on one way and a book on the other."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    best = desk.books[instrument]
    if best.valid != 0:
        best = best.bid_ticks
    strategy.working = best  # <- kind
