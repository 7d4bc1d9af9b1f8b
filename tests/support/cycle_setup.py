"""Three spot books that are a triangle, a strategy of cycles over them, and its account by currency from its fills."""

from collections import Counter
from fractions import Fraction
from typing import Any

from crosswire.strategies.cycles import Cycles
from crosswire.testing import Harness, linear
from crosswire.venues.instrument import E9, Instrument, Kind, text_of
from crosswire.venues.side import BUY

MS = 1_000_000
PARAMETERS: dict[str, Any] = {
    "instruments": ["btc", "eth", "ratio"],
    "threshold_bps": 1,
    "size_max": {"USDT": 15_000, "BTC": "0.25", "ETH": 5},
    "position_max": {"BTC": 2, "ETH": 40},
    "unwind_loss_max_bps": 20,
    "retries": 2,
    "retry_window_us": 2_000,
    "unwind_ticks": 5,
    "unwind_interval_ms": 10,
    "give_up_ms": 100,
    "book_age_max_ms": 1_000_000,
}
HELD = {"btc": 100_000, "eth": 100_000, "ratio": 10_000}  # lots: 1 BTC, 10 ETH, 10 ETH


def triangle(taker_fee_bps: int = 1) -> dict[str, Instrument]:
    """BTC at 60,000 USDT, ETH at 3,000 USDT and at 0.05 BTC, with lots of three sizes."""
    spot = {"taker_fee_bps": taker_fee_bps, "kind": Kind.SPOT}
    return {
        "btc": linear(tick="0.1", lot="0.00001", base="BTC", quote="USDT", **spot),  # type: ignore[arg-type]
        "eth": linear(tick="0.01", lot="0.0001", base="ETH", quote="USDT", **spot),  # type: ignore[arg-type]
        "ratio": linear(tick="0.000001", lot="0.001", base="ETH", quote="BTC", **spot),  # type: ignore[arg-type]
    }


def make(**changes: Any) -> Harness:
    """A strategy that holds some of each coin, so that it may sell."""
    harness = Harness(Cycles, PARAMETERS | changes, triangle())
    for name, lots in HELD.items():
        harness.desk.positions[harness.index(name)].position_lots = lots
    return harness


def open_edge(harness: Harness) -> None:
    """ETH is 10 bps dear in USDT: buy BTC, buy ETH for it, sell ETH; 0.1 BTC of it, for 2 ETH."""
    harness.set_book("btc", bids=[("59999.9", 1)], asks=[(60_000, 1)])
    harness.set_book("ratio", bids=[("0.049999", 10)], asks=[("0.05", 10)])
    harness.set_book("eth", bids=[(3_003, 2)], asks=[("3003.1", 2)])


def close_edge(harness: Harness) -> None:
    """The edge is gone: ETH is at 3,000 USDT."""
    harness.set_book("eth", bids=[(3_000, 2)], asks=[("3000.1", 2)])


def balances(harness: Harness) -> Counter[str]:
    """What all fills have changed of each currency, after fees: exact."""
    changes: Counter[str] = Counter()
    for order in harness.orders:
        instrument = harness.desk.instruments[order.instrument]
        sign = 1 if order.side == BUY else -1
        for price_ticks, lots in order.fills:
            price, size = Fraction(price_ticks * instrument.tick_e9, E9), Fraction(lots * instrument.lot_e9, E9)
            fee = price * size * instrument.taker_fee_e9 / E9
            changes[text_of(instrument.base)] += sign * size  # type: ignore[assignment]
            changes[text_of(instrument.quote)] -= sign * price * size + fee  # type: ignore[assignment]
    return changes
