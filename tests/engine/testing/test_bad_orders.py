"""The harness vetoes an order that is of no side, or of no time in force, as the gate does."""

import msgspec
import pytest

from crosswire import BUY, GTC, SELL, BuildContext, Desk, OrderState, Strategy, i64, on_book, submit
from crosswire.risk.gate import Veto
from crosswire.testing import Harness, linear


class Terms(msgspec.Struct):
    side: int
    time_in_force: int


class Asker(Strategy):
    side: i64
    time_in_force: i64

    @classmethod
    def build(cls, parameters: Terms, _context: BuildContext) -> "Asker":
        return cls(side=parameters.side, time_in_force=parameters.time_in_force)


@on_book.register(Asker)
def ask(strategy: Asker, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, strategy.side, 1000, 1, time_in_force=strategy.time_in_force)


@pytest.mark.parametrize(
    ("side", "time_in_force", "state", "held_lots"),
    [
        (BUY, GTC, OrderState.FILLED, 1),
        (SELL, GTC, OrderState.FILLED, -1),
        (-1, GTC, OrderState.VETOED, 0),
        (2, GTC, OrderState.VETOED, 0),
        (BUY, -1, OrderState.VETOED, 0),
        (BUY, 4, OrderState.VETOED, 0),
    ],
)
def test_an_order_of_no_known_kind_is_vetoed(side: int, time_in_force: int, state: OrderState, held_lots: int) -> None:
    harness = Harness(Asker, {"side": side, "time_in_force": time_in_force}, {"q": linear()})
    harness.set_book("q", bids=[(90, 1)], asks=[(110, 1)])
    harness.advance(1_000)
    (sent,) = harness.orders
    reason = Veto.BAD_ORDER if state == OrderState.VETOED else Veto.NONE
    assert (sent.order.state, sent.order.reason, harness.position_lots("q")) == (state, reason, held_lots)
