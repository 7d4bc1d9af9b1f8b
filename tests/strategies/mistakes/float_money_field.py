"""A price kept as a float."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, f64, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    last_ticks: f64  # <- float
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.last_ticks = float(desk.books[instrument].bid_ticks)
