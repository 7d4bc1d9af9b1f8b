"""The harness's FLATTEN: what rests goes, what is asked for meanwhile is refused, and then the strategy is told."""

import msgspec

from crosswire import (
    BUY,
    SELL,
    BuildContext,
    Desk,
    Order,
    OrderState,
    Strategy,
    i64,
    on_book,
    on_flattened,
    on_order,
    quote,
    submit,
)
from crosswire.risk.gate import Veto
from crosswire.testing import Harness, fill, linear
from crosswire.venues.order import POST_ONLY


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class Insistent(Strategy):
    """Rests a bid and asks anew, and for a quote, when it is cancelled; sells a lot when it was flattened."""

    held_lots: i64  # when it was told
    told: i64
    asked: i64

    @classmethod
    def build(cls, _parameters: Nothing, _context: BuildContext) -> "Insistent":
        return cls()


@on_book.register(Insistent)
def begin(strategy: Insistent, desk: Desk, instrument: int) -> None:
    submit(desk, instrument, BUY, 1_000, 5, time_in_force=POST_ONLY)


@on_order.register(Insistent)
def ask_anew(strategy: Insistent, desk: Desk, order: Order) -> None:
    if order.state == OrderState.CANCELLED:
        strategy.asked += 1
        submit(desk, order.instrument, BUY, 1_000, 5, time_in_force=POST_ONLY)
        quote(desk, order.instrument, 999, 1, 1_001, 1)


@on_flattened.register(Insistent)
def note(strategy: Insistent, desk: Desk) -> None:
    strategy.told += 1
    strategy.held_lots = desk.positions[0].position_lots
    submit(desk, 0, SELL, 1_000, 1)


def test_it_ends_everything_refuses_the_rest_and_tells_once() -> None:
    harness = Harness(Insistent, {}, {"a": linear()})
    harness.set_book("a", bids=[(100, 1)], asks=[(101, 1)])
    harness.advance(1_000)
    (bid,) = harness.resting("a")
    harness.fill(bid, lots=2)
    harness.otherwise = fill()
    harness.flatten()
    assert bid.order.state == OrderState.CANCELLED
    again, bid_side, ask_side, sold = harness.orders[1:]
    refused = [(each.order.state, each.order.reason) for each in (again, bid_side, ask_side)]
    assert refused == [(OrderState.VETOED, Veto.FLATTENING)] * 3
    assert (harness.strategy.told, harness.strategy.asked, harness.strategy.held_lots) == (1, 1, 0)
    assert (sold.side, sold.order.state) == (SELL, OrderState.PENDING_NEW)
    harness.advance(1_000)
    assert harness.position_lots("a") == -1
    assert (harness.desk.positions[0].open_orders, harness.desk.positions[0].open_buy_lots) == (0, 0)
