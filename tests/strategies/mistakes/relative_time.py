"""A timer in a second, as a time of 1970."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book, wake_at


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    wake_at(desk, 1_000_000_000)  # <- time
