"""A cancel with an instrument."""

from crosswire import Desk, Strategy, cancel, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    cancel(desk, instrument, strategy.working)  # <- argument
