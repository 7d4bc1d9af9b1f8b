"""Half of what is offered, by the wrong division."""

from crosswire import BUY, Desk, Strategy, i64, on_book, submit


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, desk.books[instrument].ask_lots / 2)  # <- float
