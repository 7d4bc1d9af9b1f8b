"""The book in place of its price."""

from crosswire import BUY, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, desk.books[instrument], 1)  # <- argument
