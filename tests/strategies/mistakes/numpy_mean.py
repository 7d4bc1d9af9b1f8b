"""A mean of two prices, by NumPy."""

import numpy as np

from crosswire import Desk, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    strategy.working = int(np.mean(np.array((book.bid_ticks, book.ask_ticks))))  # <- numpy
