"""A callback that nothing registers."""

import msgspec

from crosswire import BuildContext, Desk, Order, Report, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = 1


def on_fill(strategy: Mine, desk: Desk, order: Order, report: Report) -> None:  # <- callback
    strategy.working = 0
