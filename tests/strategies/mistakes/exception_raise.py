"""What can't be is raised."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.books[instrument].valid == 0:
        raise ValueError  # <- exception
    strategy.working = 1
