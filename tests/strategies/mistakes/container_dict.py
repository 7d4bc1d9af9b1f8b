"""Positions by instrument, in a dictionary."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    held = {instrument: desk.positions[instrument].position_lots}  # <- container
    strategy.working = held[instrument]
