"""Funding paid at set times, out of what was told of the next payment: against a plain reckoning, and by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.unit.call import machine_code
from crosswire.venues.instrument import E9
from crosswire.venues.money import payments as payments_module
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.payments import Payments, end_payments, make_payments, note_word, told_at_times
from crosswire.venues.money.told import Silence, ToldFunding

S = 10**9
MINUTE, HOUR = 60 * S, 3_600 * S
MIDNIGHT = 1_771_977_600 * S  # 2026-02-25
RATE, MARK = 100_000, 64_240_382_728_640  # 1 bp

Words = list[tuple[int, int, int, int]]  # time, rate, mark, next payment
take = machine_code(note_word)


def payment(time_ns: int, rate_e9: int = RATE, mark_e9: int = MARK) -> FundingRate:
    return FundingRate(time_ns=time_ns, rate=Decimal(rate_e9) / E9, mark_e9=mark_e9)


def heard(first_ns: int, last_ns: int, words: Words, instrument: int = 0) -> Payments:
    payments = make_payments(2)
    payments.first_ns, payments.last_ns = first_ns, last_ns
    for time_ns, rate_e9, mark_e9, next_ns in words:
        take(payments, instrument, time_ns, rate_e9, mark_e9, next_ns)
    end_payments(payments)
    return payments


def told(first_ns: int, last_ns: int, words: Words) -> ToldFunding:
    return told_at_times(heard(first_ns, last_ns, words))


def each_second(begin_ns: int, end_ns: int, next_ns: int, rate_e9: int = RATE) -> Words:
    return [(time_ns, rate_e9, MARK, next_ns) for time_ns in range(begin_ns, end_ns, S)]


EIGHT, SIXTEEN = MIDNIGHT + 8 * HOUR, MIDNIGHT + 16 * HOUR


def test_a_payment_has_what_was_told_last_before_it() -> None:
    words = [
        *each_second(EIGHT - 5 * S, EIGHT - S, EIGHT, -7),
        (EIGHT - S // 2, -60_420, MARK + 1, EIGHT),
        (EIGHT, 500, MARK + 2, EIGHT),  # that it is over is told a moment late
        (EIGHT + S, 600, MARK + 3, SIXTEEN),
    ]
    found = told(EIGHT - 6 * S, EIGHT + 2 * S, words)
    assert found == ToldFunding(rates={0: [payment(EIGHT, -60_420, MARK + 1)]}, is_continuous=False)


def test_a_capture_that_goes_past_a_payment_has_it_and_one_that_ends_before_has_not() -> None:
    words = each_second(EIGHT - 5 * S, EIGHT, EIGHT)
    assert told(EIGHT - 5 * S, EIGHT, words).rates == {0: [payment(EIGHT)]}
    before = told(EIGHT - 5 * S, EIGHT - 1, words)
    assert (before.rates, before.silences) == ({0: []}, ())  # there was none, which is known


def test_several_payments_and_a_gap_over_one() -> None:
    """The payment in the gap has an old rate, and says so; what may have been due besides is a silence."""
    ends = MIDNIGHT + 24 * HOUR
    words = [
        *each_second(EIGHT - 5 * S, EIGHT, EIGHT, 1),
        *each_second(EIGHT, EIGHT + 5 * S, SIXTEEN, 2),
        *each_second(ends - 5 * S, ends, ends, 3),
        *each_second(ends, ends + 5 * S, ends + 8 * HOUR, 4),
    ]
    found = told(EIGHT - 5 * S, ends + 5 * S, words)
    assert found.rates == {0: [payment(EIGHT, 1), payment(SIXTEEN, 2), payment(ends, 3)]}
    assert found.stale == ((0, SIXTEEN),)
    assert found.silences == (Silence(0, SIXTEEN, ends - 5 * S),)


def test_a_minute_is_not_too_old_and_no_full_hour_is_no_silence() -> None:
    words: Words = [(EIGHT - MINUTE, RATE, MARK, EIGHT), (EIGHT + 59 * MINUTE, RATE, MARK, SIXTEEN)]
    found = told(EIGHT - HOUR + S, EIGHT + HOUR - S, words)
    assert (len(found.rates[0]), found.stale, found.silences) == (1, (), ())
    words[0] = (EIGHT - MINUTE - 1, RATE, MARK, EIGHT)
    found = told(EIGHT - HOUR - S, EIGHT + HOUR - S, words)
    assert found.stale == ((0, EIGHT),)
    assert found.silences == (Silence(0, EIGHT - HOUR - S, EIGHT - MINUTE - 1),)
    found = told(EIGHT - HOUR + S, SIXTEEN + HOUR, words)  # silent at the end
    assert found.silences == (Silence(0, SIXTEEN, SIXTEEN + HOUR),)


def test_a_payment_that_is_moved_is_paid_only_when_it_is() -> None:
    """As when the venue begins to pay every four hours: nothing is paid at the time that was named before."""
    four = MIDNIGHT + 4 * HOUR
    words = [(MIDNIGHT + S, 1, MARK, EIGHT), (MIDNIGHT + 2 * S, 2, MARK, four), *each_second(four - S, four, four, 3)]
    words += [(four + S, 4, MARK, EIGHT), *each_second(EIGHT - S, EIGHT, EIGHT, 5), (EIGHT, 6, MARK, EIGHT + 4 * HOUR)]
    assert told(MIDNIGHT, EIGHT, words).rates == {0: [payment(four, 3), payment(EIGHT, 5)]}
    words = [(MIDNIGHT + S, 1, MARK, four), (MIDNIGHT + 2 * S, 2, MARK, EIGHT)]
    assert told(MIDNIGHT, four, words).rates == {0: []}  # put off long before
    words = [(four - 2 * S, 1, MARK, four), (four - S, 2, MARK, EIGHT)]
    assert told(MIDNIGHT, four, words).rates == {0: [payment(four, 1)]}  # the next one is named a moment early


def test_words_that_nobody_means_are_counted_and_of_a_dated_future_there_is_no_funding() -> None:
    words: Words = [
        (EIGHT - 9 * S, 100_000_001, MARK, EIGHT),
        (EIGHT - 8 * S, -100_000_001, MARK, EIGHT),
        (EIGHT - 7 * S, RATE, 0, EIGHT),
        (EIGHT - 6 * S, RATE, MARK, EIGHT - 67 * S),
        (EIGHT - 5 * S, RATE, MARK, EIGHT + 25 * HOUR),
    ]
    assert told(EIGHT - 10 * S, EIGHT, words) == ToldFunding(rates={}, is_continuous=False, left_out=5)
    dated: Words = [(EIGHT - S, 0, MARK, 0), (EIGHT + S, 0, MARK, 0)]
    assert told(EIGHT - 10 * S, EIGHT + S, dated).rates == {0: []}


def test_what_was_over_before_the_first_word_is_not_paid_with_a_later_rate() -> None:
    words: Words = [(EIGHT + S, RATE, MARK, EIGHT), (EIGHT + 2 * S, RATE, MARK, SIXTEEN)]
    assert told(EIGHT + S, EIGHT + 3 * S, words).rates == {0: []}


def test_what_has_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    payments = make_payments(1)
    payments.first_ns = MIDNIGHT
    payments.count, payments.silence_count = payments_module.PAYMENTS_MAX, payments_module.SILENCES_MAX
    take(payments, 0, EIGHT - S, RATE, MARK, EIGHT)
    take(payments, 0, EIGHT, RATE, MARK, SIXTEEN)
    assert (payments.count, payments.silence_count, payments.dropped) == (
        payments_module.PAYMENTS_MAX,
        payments_module.SILENCES_MAX,
        2,
    )


@given(
    offsets=st.lists(st.integers(0, 40 * 3_600), min_size=1, max_size=60),
    hours=st.sampled_from([1, 4, 8]),
    lag_s=st.integers(0, 60),
    edges=st.tuples(st.integers(0, 7_200), st.integers(0, 36_000)),
    copies=st.booleans(),
)
def test_payments_are_those_of_a_plain_reckoning(
    offsets: list[int], hours: int, lag_s: int, edges: tuple[int, int], copies: bool
) -> None:
    """A venue that pays every so many hours, heard at random times, and tells of each next payment a little late."""
    interval = hours * HOUR
    times = sorted(MIDNIGHT + 2 * HOUR + offset * S for offset in set(offsets))
    nexts = [((time_ns - lag_s * S) // interval + 1) * interval for time_ns in times]
    words = [(time_ns, place + 1, MARK + place, nexts[place]) for place, time_ns in enumerate(times)]
    first_ns, last_ns = times[0] - edges[0] * S, times[-1] + edges[1] * S
    found = told(first_ns, last_ns, [word for word in words for _ in range(1 + copies)])
    last_words = {next_ns: word for word in words if (next_ns := word[3]) > word[0]}
    due = {next_ns: word for next_ns, word in last_words.items() if next_ns <= last_ns}
    assert found.rates == {0: [payment(next_ns, word[1], word[2]) for next_ns, word in due.items()]}
    assert found.stale == tuple((0, next_ns) for next_ns, word in due.items() if next_ns - word[0] > MINUTE)
    sinces = [(first_ns, first_ns), *((word[0], max(word[0], word[3])) for word in words)]
    assert found.silences == tuple(
        Silence(0, begin_ns, end_ns)
        for (since_ns, begin_ns), end_ns in zip(sinces, [*times, last_ns], strict=True)
        if end_ns - since_ns > MINUTE and any(begin_ns < hour_ns <= end_ns for hour_ns in hours_of(since_ns, end_ns))
    )
    assert found.left_out == 0


def hours_of(begin_ns: int, end_ns: int) -> range:
    """The full hours from one before a time to another."""
    return range(begin_ns // HOUR * HOUR, end_ns + 1, HOUR)
