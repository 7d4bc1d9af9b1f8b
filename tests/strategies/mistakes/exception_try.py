"""What can't be is caught."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    try:  # <- exception
        strategy.working = 100 // strategy.working
    except ZeroDivisionError:
        strategy.working = 0
