"""A function that calls itself."""

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
def halve(strategy: Mine, lots: int) -> int:
    if lots < 2:
        return lots
    return halve(strategy, lots // 2)  # <- loop


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = halve(strategy, desk.books[instrument].bid_lots)
