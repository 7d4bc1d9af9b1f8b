"""A helper that returns on one way only."""

from crosswire import Desk, Strategy, compiled, i64, on_book


class Mine(Strategy):
    working: i64


@compiled
def best(desk: Desk, instrument: int) -> int:  # <- return
    if desk.books[instrument].valid != 0:
        return desk.books[instrument].bid_ticks


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = best(desk, instrument)
