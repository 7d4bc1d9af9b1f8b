import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.token_bucket import (
    REQUEST_TOKENS_MAX,
    TokenBucket,
    draw_tokens,
    make_token_bucket,
    set_request_bucket,
    take_token,
    take_tokens,
)


class BucketModel:
    """Token bucket in exact fractions of a token: 1e-9 each."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second, self.full = per_second, burst * NS_PER_S
        self.credit, self.time = self.full, 0

    def take(self, now_ns: int) -> bool:
        self.credit = min(self.full, self.credit + (now_ns - self.time) * self.per_second)
        self.time = now_ns
        if self.credit < NS_PER_S:
            return False
        self.credit -= NS_PER_S
        return True


@given(
    st.integers(1, 1_000_000),
    st.integers(1, 1_000_000),
    st.lists(st.one_of(st.integers(0, 3), st.integers(0, 1 << 31), st.integers(0, 1 << 55)), max_size=60),
)
def test_token_bucket_is_exact_and_never_overflows(per_second: int, burst: int, gaps_ns: list[int]) -> None:
    bucket, model = make_token_bucket(per_second, burst), BucketModel(per_second, burst)
    now_ns = 1_700_000_000 * NS_PER_S
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        assert take_token(bucket, now_ns) == model.take(now_ns)


def test_token_bucket_burst_then_rate() -> None:
    bucket = make_token_bucket(per_second=10, burst=3)
    assert [take_token(bucket, NS_PER_S) for _ in range(4)] == [True, True, True, False]
    assert not take_token(bucket, NS_PER_S + 99_999_999)
    assert take_token(bucket, NS_PER_S + 100_000_000)


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (1, 0), (1_000_001, 1), (1, 1_000_001)])
def test_token_bucket_wants_a_rate(per_second: int, burst: int) -> None:
    with pytest.raises(ValueError, match="token bucket"):
        make_token_bucket(per_second, burst)


@pytest.mark.parametrize(("owes", "least"), [(False, 0), (True, -5000)])
def test_what_is_drawn_without_credit_is_owed_or_forgiven(owes: bool, least: int) -> None:
    bucket = TokenBucket()
    set_request_bucket(bucket, per_ms=100, burst=5000, owes=owes)
    now_ns = 1_700_000_000 * NS_PER_S
    for _ in range(9):
        draw_tokens(bucket, 2000, now_ns)
    assert bucket.credit_e9 == least * NS_PER_S
    due_ns = now_ns + (2000 - least) * 10_000
    assert not take_tokens(bucket, 2000, due_ns - 1)
    assert take_tokens(bucket, 2000, due_ns)


@pytest.mark.parametrize("per_ms", [1, REQUEST_TOKENS_MAX])
def test_the_largest_bucket_never_overflows(per_ms: int) -> None:
    bucket = TokenBucket()
    set_request_bucket(bucket, per_ms, REQUEST_TOKENS_MAX, owes=True)
    draw_tokens(bucket, 2 * REQUEST_TOKENS_MAX, 0)
    assert not take_token(bucket, 0)
    assert not take_token(bucket, 1)
    now_ns = bucket.full_after_ns
    assert take_tokens(bucket, REQUEST_TOKENS_MAX, now_ns)
    assert not take_token(bucket, now_ns)


@pytest.mark.parametrize(
    ("per_ms", "burst"), [(0, 1), (1, 0), (REQUEST_TOKENS_MAX + 1, 1), (1, REQUEST_TOKENS_MAX + 1)]
)
def test_a_limit_of_requests_wants_a_rate(per_ms: int, burst: int) -> None:
    with pytest.raises(ValueError, match="must be in"):
        set_request_bucket(TokenBucket(), per_ms, burst)
