"""A wait for a free place."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64
    waits: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    while strategy.working != 0:  # <- loop
        strategy.waits = desk.now_ns
