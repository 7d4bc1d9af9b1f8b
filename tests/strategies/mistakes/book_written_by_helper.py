"""The same behind a helper."""

from crosswire import Book, Desk, Strategy, compiled, i64, on_book


class Mine(Strategy):
    working: i64


@compiled
def improve(book: Book) -> None:
    book.bid_lots = 1_000  # <- shown


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    improve(desk.books[instrument])
