"""A helper without @compiled."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


def middle(bid_ticks: int, ask_ticks: int) -> int:
    return (bid_ticks + ask_ticks) // 2


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = middle(desk.books[instrument].bid_ticks, desk.books[instrument].ask_ticks)  # <- helper
