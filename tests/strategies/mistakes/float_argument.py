"""A size that a signal gave as a float."""

import msgspec

from crosswire import BUY, BuildContext, Desk, Strategy, f64, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    signal: f64
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.signal = float(desk.books[instrument].bid_lots)
    submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, strategy.signal)  # <- float
