"""A price that only one way gives."""

import msgspec

from crosswire import SELL, BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.positions[instrument].position_lots > 0:
        price_ticks = desk.books[instrument].bid_ticks
    submit(desk, instrument, SELL, price_ticks, 1)  # <- unassigned
