"""A rate limit: tokens flow in at a steady rate up to a burst, and what is to pass takes some.

The risk gate's limit of orders, an exchange's own limit of requests, and that same limit counted at the client's end,
so that an order is held back rather than refused. Credit is counted in 1e-9 tokens, of which `per_second` flow in every
nanosecond, so nothing is ever rounded.
"""

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined

ORDERS_MAX = 1_000_000  # a second, and at once: of a limit of orders
REQUEST_TOKENS_MAX = 1_000_000_000  # a millisecond, and at once: where one request takes many


class TokenBucket(Struct):
    """`per_second` tokens on average, `burst` at once."""

    per_second: i64
    burst: i64
    full_e9: i64  # the credit of `burst` tokens
    full_after_ns: i64  # of silence it is full from its least, whatever the rounding: kept, as a division takes time
    credit_e9: i64  # 1e-9 tokens that may be taken now
    least_e9: i64  # how far `draw_tokens` lowers the credit: 0, or below it where debts are remembered
    updated_ns: i64


def make_token_bucket(per_second: int, burst: int) -> TokenBucket:
    """Make a full bucket; ValueError as `set_token_bucket`."""
    bucket = TokenBucket()
    set_token_bucket(bucket, per_second, burst)
    return bucket


def set_token_bucket(bucket: TokenBucket, per_second: int, burst: int) -> None:
    """Set the rate and fill the bucket; ValueError unless both are in 1 .. 1,000,000."""
    for name, value in (("per_second", per_second), ("burst", burst)):
        if not 1 <= value <= ORDERS_MAX:
            raise ValueError(f"token bucket: {name} must be in 1..{ORDERS_MAX}, not {value}")
    _set(bucket, per_second, burst, 0)


def set_request_bucket(bucket: TokenBucket, per_ms: int, burst: int, owes: bool = False) -> None:
    """Set a rate by the millisecond and fill the bucket; ValueError unless both are in 1 .. 1,000,000,000.

    With `owes` it can go as far below zero as it can be full.
    """
    for name, value in (("tokens per ms", per_ms), ("tokens at most", burst)):
        if not 1 <= value <= REQUEST_TOKENS_MAX:
            raise ValueError(f"{name} must be in 1..{REQUEST_TOKENS_MAX}, not {value}")
    _set(bucket, 1000 * per_ms, burst, -burst if owes else 0)


def _set(bucket: TokenBucket, per_second: int, burst: int, least: int) -> None:
    bucket.per_second = per_second
    bucket.burst = burst
    bucket.full_e9 = burst * NS_PER_S
    bucket.least_e9 = least * NS_PER_S
    bucket.full_after_ns = (bucket.full_e9 - bucket.least_e9) // per_second + 1
    # The largest sum that `_refill` makes: from the least credit to just past full.
    assert bucket.full_e9 - bucket.least_e9 + per_second < 1 << 63
    bucket.credit_e9 = bucket.full_e9
    bucket.updated_ns = 0


@inlined
def _refill(bucket: TokenBucket, now_ns: int) -> None:
    bucket.credit_e9 = _credit_e9(bucket, now_ns)
    bucket.updated_ns = max(bucket.updated_ns, now_ns)


@inlined
def _credit_e9(bucket: TokenBucket, now_ns: int) -> int:
    """Return the credit with what has flowed in."""
    elapsed_ns = now_ns - bucket.updated_ns
    if elapsed_ns <= 0:
        return bucket.credit_e9
    # Compared before the product, which overflows after a long silence.
    if elapsed_ns >= bucket.full_after_ns:
        return bucket.full_e9
    return min(bucket.full_e9, bucket.credit_e9 + elapsed_ns * bucket.per_second)


@inlined
def take_token(bucket: TokenBucket, now_ns: int) -> bool:
    """Take one token at `now_ns`, which never goes back; False, and nothing taken, if there is less."""
    return take_tokens(bucket, 1, now_ns)


@inlined
def take_tokens(bucket: TokenBucket, count: int, now_ns: int) -> bool:
    """Take `count` tokens; False, and nothing taken, if there are fewer."""
    if now_ns - bucket.updated_ns <= 0:
        return _take(bucket, bucket.credit_e9, count)
    if not _take(bucket, _credit_e9(bucket, now_ns), count):
        return False
    bucket.updated_ns = now_ns
    return True


@inlined
def _take(bucket: TokenBucket, credit_e9: int, count: int) -> bool:
    """Leave what `count` tokens leave of the credit; False, and nothing changed, if there are fewer."""
    left_e9 = credit_e9 - count * NS_PER_S
    if left_e9 < 0:
        return False
    bucket.credit_e9 = left_e9
    return True


@inlined
def give_tokens(bucket: TokenBucket, count: int) -> None:
    """Give back what `take_tokens` took just now: nothing was sent for it."""
    bucket.credit_e9 = min(bucket.full_e9, bucket.credit_e9 + count * NS_PER_S)


@compiled
def draw_tokens(bucket: TokenBucket, count: int, now_ns: int) -> None:
    """Take `count` tokens whether they are there or not, as cancels do, which are never refused."""
    _refill(bucket, now_ns)
    bucket.credit_e9 = max(bucket.least_e9, bucket.credit_e9 - count * NS_PER_S)


def empty_until(bucket: TokenBucket, until_ns: int) -> None:
    """Take all that is in it, and let nothing flow in before then."""
    bucket.credit_e9 = min(0, bucket.credit_e9)
    bucket.updated_ns = max(bucket.updated_ns, until_ns)
