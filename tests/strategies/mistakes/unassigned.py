"""A price that only one way gives."""

from crosswire import SELL, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.positions[instrument].position_lots > 0:
        price_ticks = desk.books[instrument].bid_ticks
    submit(desk, instrument, SELL, price_ticks, 1)  # <- unassigned
