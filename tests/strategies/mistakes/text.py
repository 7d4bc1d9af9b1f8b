"""A side by its name."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    side = "buy"  # <- text
    if side == "buy":  # <- text
        strategy.working = 1
