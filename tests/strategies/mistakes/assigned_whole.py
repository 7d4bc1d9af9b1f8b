"""An order kept as a whole."""

import msgspec

from crosswire import BuildContext, Desk, Order, Strategy, i64, on_order


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    last: Order
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_order.register(Mine)
def look(strategy: Mine, desk: Desk, order: Order) -> None:
    strategy.last = order  # <- assign
