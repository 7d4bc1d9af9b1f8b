"""An order kept as a whole."""

from crosswire import Desk, Order, Strategy, i64, on_order


class Mine(Strategy):
    last: Order
    working: i64


@on_order.register(Mine)
def look(strategy: Mine, desk: Desk, order: Order) -> None:
    strategy.last = order  # <- assign
