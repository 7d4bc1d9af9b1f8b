"""A callback that nothing registers."""

from crosswire import Desk, Order, Report, Strategy, i64, on_book


class Mine(Strategy):
    working: i64


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.working = 1


def on_fill(strategy: Mine, desk: Desk, order: Order, report: Report) -> None:  # <- callback
    strategy.working = 0
