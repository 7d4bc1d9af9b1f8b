"""A mean of two prices, by NumPy."""

import msgspec
import numpy as np

from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    strategy.working = int(np.mean(np.array((book.bid_ticks, book.ask_ticks))))  # <- numpy
