"""A helper without @compiled."""

import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


def middle(bid_ticks: int, ask_ticks: int) -> int:
    return (bid_ticks + ask_ticks) // 2


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = middle(desk.books[instrument].bid_ticks, desk.books[instrument].ask_ticks)  # <- helper
