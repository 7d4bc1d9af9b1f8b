"""A level put into a book by the function that decoders use."""

from crosswire import Desk, Strategy, i64, on_book
from crosswire.venues.book.book import set_level
from crosswire.venues.side import BID


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    set_level(desk.books[instrument], BID, 100, 5)  # <- shown
