"""A price kept as a float."""

from crosswire import Desk, Strategy, f64, i64, on_book


class Mine(Strategy):
    last_ticks: f64  # <- float
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.last_ticks = float(desk.books[instrument].bid_ticks)
