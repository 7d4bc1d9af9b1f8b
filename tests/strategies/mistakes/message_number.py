"""A line for the log that is not declared, and one that is given a value too few."""

from crosswire import Desk, Strategy, i64, log, on_book

LOOKED, MOVED = 0, 1


class Mine(Strategy):
    working: i64

    @classmethod
    def messages(cls) -> list[str]:
        return ["looked at {instrument}, {} lots"]


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    log(desk, LOOKED, instrument)  # <- message
    log(desk, MOVED)  # <- message
