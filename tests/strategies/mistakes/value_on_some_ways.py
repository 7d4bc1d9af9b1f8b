"""A helper that returns on one way only."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, compiled, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@compiled
def best(desk: Desk, instrument: int) -> int:  # <- return
    if desk.books[instrument].valid != 0:
        return desk.books[instrument].bid_ticks


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = best(desk, instrument)
