"""A helper as a method of the class."""

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64

    def reset(self) -> None:
        self.working = 0


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.reset()  # <- field
