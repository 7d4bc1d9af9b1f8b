"""An order's state by its name."""

from crosswire import Desk, Order, Strategy, i64, on_order


class Mine(Strategy):
    working: i64


@on_order.register(Mine)
def look(strategy: Mine, desk: Desk, order: Order) -> None:
    if order.state == "FILLED":  # <- text
        strategy.working = 0
