"""An order's state by its name."""

import msgspec

from crosswire import BuildContext, Desk, Order, Strategy, i64, on_order


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Mine(Strategy):
    working: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls()


@on_order.register(Mine)
def look(strategy: Mine, desk: Desk, order: Order) -> None:
    if order.state == "FILLED":  # <- text
        strategy.working = 0
