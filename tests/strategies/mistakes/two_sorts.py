"""A name that is a price on one way and a book on the other."""

import msgspec

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
    best = desk.books[instrument]
    if best.valid != 0:
        best = best.bid_ticks
    strategy.working = best  # <- kind
