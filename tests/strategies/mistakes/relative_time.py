"""A timer in a second, as a time of 1970."""

from crosswire import Desk, Strategy, i64, on_book, wake_at


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    wake_at(desk, 1_000_000_000)  # <- time
