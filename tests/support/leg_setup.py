"""A strategy of two legs on cheap "a" and dear "b", and the edge between them that starts a trade."""

from typing import Any

from crosswire.strategies.cross_spread import CrossSpread
from crosswire.testing import LEG_PARAMETERS, Harness, linear
from crosswire.venues.order import Order, OrderState

PARAMETERS = LEG_PARAMETERS | {
    "position_max": 1000,
    "retries": 2,
    "retry_window_us": 2_000,
    "unwind_ticks": 5,
    "unwind_interval_ms": 10,
    "give_up_ms": 100,
    "book_age_max_ms": 1_000_000,
}
MS = 1_000_000


def make(instruments: dict[str, Any] | None = None, **changes: Any) -> Harness:
    """A cross-spread strategy on cheap "a" and dear "b" (and, as given, more)."""
    instruments = instruments or {"a": linear(taker_fee_bps=1), "b": linear(taker_fee_bps=1)}
    return Harness(CrossSpread, PARAMETERS | {"instruments": list(instruments)} | changes, instruments)


def open_edge(harness: Harness) -> None:
    """Half a coin on either side: buy a at 100, sell b at 101; "c", if there is one, is a little worse than b."""
    if "c" in harness.names:
        harness.set_book("c", bids=[("100.0", 5)], asks=[("101.5", 5)])
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", "0.5")])
    harness.set_book("b", bids=[("101.0", "0.5")], asks=[("101.1", 5)])


def three() -> dict[str, Any]:
    """Linear instruments "a", "b" and "c", alike."""
    return {name: linear(taker_fee_bps=1) for name in "abc"}


def order_of(harness: Harness, number: int, **changes: int) -> Order:
    """The order that a leg sent as its `number`th, ended unfilled, as the strategy would be told of it."""
    sent = harness.orders[number]
    terms = {"trade_id": sent.trade_id, "tag": sent.tag, "instrument": sent.instrument, "side": sent.side}
    return Order(**(terms | {"state": OrderState.CANCELLED} | changes))
