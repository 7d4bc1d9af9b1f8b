"""A limit that belongs to the class."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    LOTS_MAX = 5

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    if desk.positions[instrument].position_lots < strategy.LOTS_MAX:  # <- state
        strategy.working = 1
