"""A lead-lag strategy on the leader "l" and the follower "f", whose basis is soon known."""

from fractions import Fraction
from typing import Any

from crosswire.strategies.lead_lag import LeadLag
from crosswire.testing import Harness, linear

PARAMETERS: dict[str, Any] = {
    "leader": "l",
    "followers": ["f"],
    "half_life_s": 1_000,
    "sample_us": 1_000,
    "warmup_s": 1_000,
    "window_us": 5_000,
    "move_min_bps": 5,
    "act_within_us": 10_000,
    "edge_min_bps": 3,
    "size_max": 1,
    "position_max": 3,
    "unwind_loss_max_bps": 50,
    "book_age_max_ms": 1_000,
}
MS = 1_000_000
WARM_SAMPLES = 20


def make(**changes: Any) -> Harness:
    mix = changes.pop("mix", None) or {"l": linear(taker_fee_bps=1), "f": linear(taker_fee_bps=1)}
    harness = Harness(LeadLag, PARAMETERS | changes, mix)
    # A mean that hardly moves, known soon: the average of its first samples.
    harness.strategy.warmup_samples = WARM_SAMPLES
    return harness


def quote(harness: Harness, name: str, middle: Any, size: Any = 5) -> None:
    """A book one unit wide."""
    half = Fraction(1, 2)
    harness.set_book(name, bids=[(Fraction(middle) - half, size)], asks=[(Fraction(middle) + half, size)])


def warm(harness: Harness, leader: int = 10_000, follower: int = 10_000) -> None:
    """Let both stand until the basis is known."""
    quote(harness, "l", leader)
    quote(harness, "f", follower)
    harness.advance((WARM_SAMPLES + 1) * MS)
    assert harness.orders == []


def sent(harness: Harness) -> list[tuple[str, int, int, int]]:
    return [(order.name, order.side, order.price_ticks, order.qty_lots) for order in harness.orders]


def blocked(harness: Harness) -> list[int]:
    harness.finish()
    return [row["blocked_by"] for row in harness.opportunities]
