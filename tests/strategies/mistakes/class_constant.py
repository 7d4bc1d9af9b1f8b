"""A limit that belongs to the class."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64

    LOTS_MAX = 5


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.positions[instrument].position_lots < strategy.LOTS_MAX:  # <- state
        strategy.working = 1
