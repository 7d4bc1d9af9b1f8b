"""A name that nothing has."""

from crosswire import BUY, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, desk.books[instrument].ask_tick, 1)  # <- field
    submitt(desk, instrument, BUY, 100, 1)  # <- name
