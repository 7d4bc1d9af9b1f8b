"""A function that calls itself."""

from crosswire import Desk, Strategy, compiled, i64, on_book


class Mine(Strategy):
    working: i64


@compiled
def halve(strategy: Mine, lots: int) -> int:
    if lots < 2:
        return lots
    return halve(strategy, lots // 2)  # <- loop


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = halve(strategy, desk.books[instrument].bid_lots)
