"""The gateway's rate limit, counted at our end, so that an order is held back rather than refused.

Each gateway gives a member so many tokens a millisecond up to a limit, and every request takes some (docs.deribit.com,
Starbase rate limits).
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled

ORDER_TOKENS = 2000  # of a new order, an amend, a cancel, a mass quote
PER_MS = 100  # the venue's defaults: 50 orders a second, 50 at once
TOKENS_MAX = 100_000
QUOTES_PER_MS = 20  # of mass quotes: 10 a second, 10 at once
QUOTE_TOKENS_MAX = 20_000
_SCALE = 1_000_000  # 1e-6 tokens, of which the refill is `per_ms` a nanosecond


class GatewayTokens(Struct):
    """A leaky bucket in 1e-6 tokens."""

    per_ms: i64
    full: i64
    full_after_ns: i64  # from the deepest debt, whatever the rounding
    credit: i64  # down to -full: the venue takes tokens for cancels that it has not
    updated_ns: i64


def set_tokens(tokens: GatewayTokens, per_ms: int, limit: int) -> None:
    """A full bucket; ValueError unless both are in 1 .. 1,000,000,000 (so that no product overflows)."""
    for name, value in (("tokens per ms", per_ms), ("tokens at most", limit)):
        if not 1 <= value <= 1_000_000_000:
            raise ValueError(f"{name} must be in 1..1000000000, not {value}")
    tokens.per_ms = per_ms
    tokens.full = limit * _SCALE
    tokens.full_after_ns = 2 * tokens.full // per_ms + 1
    tokens.credit = tokens.full


@compiled
def _refill(tokens: GatewayTokens, now_ns: int) -> None:
    elapsed_ns = max(0, now_ns - tokens.updated_ns)
    # Compared before the product, which overflows after a long silence.
    if elapsed_ns >= tokens.full_after_ns:
        tokens.credit = tokens.full
    else:
        tokens.credit = min(tokens.full, tokens.credit + elapsed_ns * tokens.per_ms)
    tokens.updated_ns = max(tokens.updated_ns, now_ns)


@compiled
def take_tokens(tokens: GatewayTokens, count: int, now_ns: int) -> bool:
    """Take `count` tokens; False, and nothing taken, if there are fewer."""
    _refill(tokens, now_ns)
    if tokens.credit < count * _SCALE:
        return False
    tokens.credit -= count * _SCALE
    return True


@compiled
def draw_tokens(tokens: GatewayTokens, count: int, now_ns: int) -> None:
    """Take `count` tokens whether they are there or not."""
    _refill(tokens, now_ns)
    tokens.credit = max(-tokens.full, tokens.credit - count * _SCALE)
