"""A callback with an argument too few."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)  # <- callback
def look(strategy: Mine, desk: Desk) -> None:
    strategy.working = 1
