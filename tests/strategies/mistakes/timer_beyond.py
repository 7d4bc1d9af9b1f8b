"""A timer by the number of its instrument."""

from crosswire import Desk, Strategy, i64, on_book, set_timer


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    set_timer(desk, instrument, desk.now_ns + 1_000_000)  # <- argument
