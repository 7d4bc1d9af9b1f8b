"""A size in eight bits."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i8, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    lots: i8
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.lots = 1_000  # <- width
