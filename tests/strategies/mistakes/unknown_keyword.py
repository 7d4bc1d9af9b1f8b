"""A keyword that submit does not have."""

from crosswire import BUY, IOC, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, 100, 1, tif=IOC)  # <- argument
