"""Binance's markets."""

from enum import IntEnum


class Market(IntEnum):
    """Which of Binance's markets something is of."""

    SPOT = 0
    USDM = 1
    COINM = 2
