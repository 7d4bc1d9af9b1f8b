"""An order without a size."""

import msgspec

from crosswire import BUY, BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, desk.books[instrument].ask_ticks)  # <- argument
