"""A count outside the struct."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


seen = 0


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    global seen  # <- state
    seen += 1
    strategy.working = seen
