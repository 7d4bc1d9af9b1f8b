"""A ratio of two sides, one of which may be empty."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    strategy.working = book.bid_lots * 100 // book.ask_lots  # <- division
