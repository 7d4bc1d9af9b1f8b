"""A keyword that submit does not have."""

import msgspec

from crosswire import BUY, IOC, BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, 100, 1, tif=IOC)  # <- argument
