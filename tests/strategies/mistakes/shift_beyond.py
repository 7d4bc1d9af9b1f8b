"""A shift by more bits than a number has."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    seen: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.seen = (strategy.seen + 1) << 64  # <- width
