"""A side as plus and minus one."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, -1, desk.books[instrument].bid_ticks, 1)  # <- argument
