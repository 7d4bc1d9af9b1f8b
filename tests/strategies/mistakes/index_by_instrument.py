"""A table of four, by the market index of any instrument."""

from typing import Annotated

import msgspec

from crosswire import Array, BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    prices: Annotated[Array, i64, 4]
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.prices[instrument] = desk.books[instrument].bid_ticks  # <- index
