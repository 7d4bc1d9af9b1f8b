"""A price of a hundredth better, by a float."""

import msgspec

from crosswire import BUY, BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    price_ticks = desk.books[instrument].bid_ticks * 1.001  # <- float
    submit(desk, instrument, BUY, price_ticks, 1)
