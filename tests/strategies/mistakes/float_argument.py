"""A size that a signal gave as a float."""

from crosswire import BUY, Desk, Strategy, f64, i64, on_book, submit


class Mine(Strategy):
    signal: f64
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.signal = float(desk.books[instrument].bid_lots)
    submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, strategy.signal)  # <- float
