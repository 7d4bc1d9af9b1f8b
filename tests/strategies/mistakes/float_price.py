"""A price of a hundredth better, by a float."""

from crosswire import BUY, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    price_ticks = desk.books[instrument].bid_ticks * 1.001  # <- float
    submit(desk, instrument, BUY, price_ticks, 1)
