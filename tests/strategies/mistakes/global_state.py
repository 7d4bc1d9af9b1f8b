"""A count outside the struct."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


seen = 0


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    global seen  # <- state
    seen += 1
    strategy.working = seen
