"""A loss in whole lots, rounded the other way than a gain."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    lost = desk.positions[instrument].position_lots
    strategy.working = -lost // 3  # <- division
