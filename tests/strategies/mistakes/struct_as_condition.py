"""A book taken for true."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.books[instrument]:  # <- compare
        strategy.working = 1
