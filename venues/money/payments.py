"""Funding that is paid at set times, out of a feed that says all along when the next payment is, and at which rate.

The payment at an instant has the rate and the mark price that were told last before it. It is due when the feed names a
later one, or goes past it. One that was put off more than a minute before it is not paid.
"""

from decimal import Decimal
from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Pointer, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import E9
from crosswire.venues.money.borrow import NS_PER_HOUR
from crosswire.venues.money.funding import RATE_E9_MAX, FundingRate
from crosswire.venues.money.told import Silence, ToldFunding

WORD_AGE_NS_MAX = 60 * NS_PER_S  # of the last word before a payment; a venue tells one a second or two
AHEAD_NS_MAX = 24 * NS_PER_HOUR  # of the next payment: venues pay every 8, 4 or 1 h
PAYMENTS_MAX = 1 << 17  # of one venue's captures: 14 years of one instrument paid each hour
SILENCES_MAX = 1 << 12  # of one venue's captures


class Word(Struct):
    """What was told last of one instrument."""

    time_ns: i64  # by the exchange's clock; 0: nothing yet
    next_ns: i64  # of the next payment; 0: there is none
    rate_e9: i64
    mark_e9: i64
    paid_ns: i64  # the last payment that is in the table, or that was over before anything was told of it


class Payment(Struct):
    """One payment."""

    instrument: i64  # market index
    time_ns: i64
    rate_e9: i64  # 1e-9 of the position's value
    mark_e9: i64  # 1e-9 of the quote currency
    told_ns: i64


class SilenceRow(Struct):
    """A `Silence`."""

    instrument: i64
    begin_ns: i64
    end_ns: i64


class Payments(Struct):
    """All of a venue's captures, in their order. `dropped` counts what had no room."""

    instruments: i64
    count: i64
    silence_count: i64
    dropped: i64
    bad: i64  # words beyond what any venue can mean
    first_ns: i64  # when the captures begin; 0: nothing was read
    last_ns: i64
    words: Annotated[Pointer, Word]  # by market index
    rows: Annotated[Pointer, Payment]
    silences: Annotated[Pointer, SilenceRow]


def make_payments(instruments: int) -> Payments:
    """Make room for what one venue's captures tell of so many instruments."""
    return Payments(
        instruments=instruments,
        words=Word.array(instruments),
        rows=Payment.array(PAYMENTS_MAX),
        silences=SilenceRow.array(SILENCES_MAX),
    )


@compiled
def has_full_hour(begin_ns: int, end_ns: int) -> bool:
    """Tell whether a full hour, at which venues pay, lies behind one time, and at or before the other."""
    return end_ns // NS_PER_HOUR * NS_PER_HOUR > begin_ns


@compiled
def note_word(payments: Payments, instrument: int, time_ns: int, rate_e9: int, mark_e9: int, next_ns: int) -> None:
    """Take what was told of an instrument's next payment. Copies of a word, and older ones, change nothing."""
    word = payments.words[instrument]
    if time_ns <= word.time_ns:
        return
    is_far = next_ns != 0 and not -WORD_AGE_NS_MAX <= next_ns - time_ns <= AHEAD_NS_MAX
    if is_far or mark_e9 <= 0 or not -RATE_E9_MAX <= rate_e9 <= RATE_E9_MAX:
        payments.bad += 1
        return
    pay_due(payments, instrument, time_ns, next_ns)
    note_silence(payments, instrument, time_ns)
    word.time_ns = time_ns
    word.next_ns = next_ns
    word.rate_e9 = rate_e9
    word.mark_e9 = mark_e9
    if next_ns <= time_ns:  # it is over: what is told now is not what was paid
        word.paid_ns = max(word.paid_ns, next_ns)


@compiled
def pay_due(payments: Payments, instrument: int, time_ns: int, next_ns: int) -> None:
    """Enter the payment that the last word told of, once it is over, or is about to be and a later one is told."""
    word = payments.words[instrument]
    is_moved = next_ns > word.next_ns and word.next_ns - time_ns <= WORD_AGE_NS_MAX
    if word.next_ns <= word.paid_ns or not (time_ns >= word.next_ns or is_moved):
        return
    word.paid_ns = word.next_ns
    if payments.count == PAYMENTS_MAX:
        payments.dropped += 1
        return
    row = payments.rows[payments.count]
    row.instrument = instrument
    row.time_ns = word.next_ns
    row.rate_e9 = word.rate_e9
    row.mark_e9 = word.mark_e9
    row.told_ns = word.time_ns
    payments.count += 1


@compiled
def note_silence(payments: Payments, instrument: int, end_ns: int) -> None:
    """Note that nothing was told until a time, if another payment than the one told may have been due: a full hour."""
    word = payments.words[instrument]
    since_ns = word.time_ns if word.time_ns != 0 else payments.first_ns
    begin_ns = max(since_ns, word.next_ns)
    if end_ns - since_ns <= WORD_AGE_NS_MAX or not has_full_hour(begin_ns, end_ns):
        return
    if payments.silence_count == SILENCES_MAX:
        payments.dropped += 1
        return
    row = payments.silences[payments.silence_count]
    row.instrument = instrument
    row.begin_ns = begin_ns
    row.end_ns = end_ns
    payments.silence_count += 1


def end_payments(payments: Payments) -> None:
    """Enter what was due and not told when the captures ended."""
    for instrument in range(payments.instruments):
        if payments.words[instrument].time_ns != 0:
            pay_due(payments, instrument, payments.last_ns, 0)
            note_silence(payments, instrument, payments.last_ns)


def told_at_times(payments: Payments) -> ToldFunding:
    """List what was told, as schedules would; the payments of one instrument are in order of time."""
    told = [instrument for instrument in range(payments.instruments) if payments.words[instrument].time_ns != 0]
    rates: dict[int, list[FundingRate]] = {instrument: [] for instrument in told}
    stale = []
    for place in range(payments.count):
        row = payments.rows[place]
        rate = FundingRate(time_ns=row.time_ns, rate=Decimal(row.rate_e9) / E9, mark_e9=row.mark_e9)
        rates[row.instrument].append(rate)
        if row.time_ns - row.told_ns > WORD_AGE_NS_MAX:
            stale.append((row.instrument, row.time_ns))
    rows = [payments.silences[place] for place in range(payments.silence_count)]
    return ToldFunding(
        rates=rates,
        is_continuous=False,
        left_out=payments.dropped + payments.bad,
        stale=tuple(stale),
        silences=tuple(Silence(row.instrument, row.begin_ns, row.end_ns) for row in rows),
    )
