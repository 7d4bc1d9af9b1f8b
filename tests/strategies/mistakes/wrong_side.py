"""A side as plus and minus one."""

from crosswire import Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, -1, desk.books[instrument].bid_ticks, 1)  # <- argument
