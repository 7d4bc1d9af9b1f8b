"""A line with a price as Python formats it."""

from crosswire import Desk, Strategy, i64, log, on_book


class Mine(Strategy):
    working: i64

    @classmethod
    def messages(cls) -> list[str]:  # <- message
        return ["bid at {:.2f}"]


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    log(desk, 0, desk.books[instrument].bid_ticks)
