"""Funding of perpetuals: what holders of one side pay to the other.

A positive rate is paid by long positions to short ones. Two schemes: at set times, on what is held at that instant
(Binance: https://www.binance.com/en/support/faq/360033525031, every 8 h unless the venue says otherwise), and
continuously, with the rate stated for 8 h (Deribit: https://support.deribit.com/hc/en-us/articles/31424939178397).
"""

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path

import msgspec

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.money.amount import PRECISION_DIGITS, owed_e9, value_at

CONTINUOUS_PERIOD_NS = 8 * 3_600 * NS_PER_S  # that Deribit's rate is stated for
DAMPER = Decimal("0.00025")  # of Deribit's premium: below it nothing is paid
RATE_MAX = Decimal(
    "0.1"
)  # of one payment, 10 %: venues cap it far below (Binance: 3 %), a file in percent is far above
RATE_E9_MAX = int(RATE_MAX * E9)
SCHEDULE_ROWS_MAX = 1_000_000  # a century of payments each hour
TIME_COLUMNS = ("calc_time", "funding_time", "fundingTime", "time")  # the first: of Binance's monthly files
RATE_COLUMNS = ("last_funding_rate", "funding_rate", "fundingRate", "rate")
MARK_COLUMNS = ("mark_price", "markPrice")
PUBLISHED_COLUMN = "published"
MS_DIGITS = 13  # of today's times in ms since the epoch; ns have 19
NS_DIGITS = 19


class FundingRate(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of a schedule."""

    time_ns: int  # since the epoch
    rate: Decimal  # fraction of the position's value
    mark_e9: int | None = None  # the venue's mark price then, 1e-9 of the quote currency; None: not told
    published_ns: int | None = None  # from when on the venue told this rate; None: with the payment itself

    @property
    def known_ns(self) -> int:
        """From when on it was known, by the venue's clock."""
        return self.time_ns if self.published_ns is None else self.published_ns


def funding_e9(instrument: Instrument, position_lots: int, mark_e9: int, rate: Decimal) -> int:
    """Compute one payment, 1e-9 of the settlement currency; positive is paid, negative received."""
    with localcontext(prec=PRECISION_DIGITS):
        return owed_e9(value_at(instrument, position_lots, mark_e9) * rate)


class Accrual:
    """What one instrument's position pays continuously: each part is small, so it is the sum so far that is rounded."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.exact = Decimal(0)  # settlement currency
        self.owed_e9 = 0  # the same, rounded as `funding_e9`

    def add_e9(self, position_lots: int, mark_e9: int, rate_8h: Decimal, elapsed_ns: int) -> int:
        """Add a time with one position, rate and mark; by how much more is owed then."""
        before_e9 = self.owed_e9
        with localcontext(prec=PRECISION_DIGITS):
            fraction = Decimal(elapsed_ns) / CONTINUOUS_PERIOD_NS
            self.exact += value_at(self.instrument, position_lots, mark_e9) * rate_8h * fraction
        self.owed_e9 = owed_e9(self.exact)
        return self.owed_e9 - before_e9


def continuous_rate(mark_e9: int, index_e9: int, cap: Decimal) -> Decimal:
    """Compute Deribit's 8 h rate from mark and index: the premium beyond +-0.025 %, at most +-`cap`."""
    with localcontext(prec=PRECISION_DIGITS):
        premium = Decimal(mark_e9 - index_e9) / index_e9
        beyond = max(DAMPER, premium) + min(-DAMPER, premium)
        return min(cap, max(-cap, beyond))


def read_funding(path: Path) -> list[FundingRate]:
    """Read a schedule: CSV with a heading, in order of time.

    Columns: a time in ms or ns since the epoch, a rate as a fraction, and if known the mark price, under the names of
    Binance's monthly files (`calc_time`, `last_funding_rate`), of its REST answer, or `time`, `rate`, `mark_price`. If
    a rate was told before it was paid, `published` says when: not before the payment before it. VenueError names the
    line that can't be.
    """
    rates: list[FundingRate] = []
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            time_name = _column(path, names, TIME_COLUMNS, "a time")
            rate_name = _column(path, names, RATE_COLUMNS, "a rate")
            mark_name = next((name for name in MARK_COLUMNS if name in names), None)
            for row in rows:
                here = f"{path}, line {rows.line_num}"
                if len(rates) >= SCHEDULE_ROWS_MAX:
                    raise VenueError(f"{here}: more than {SCHEDULE_ROWS_MAX:,} payments; give those of the run's time")
                mark = row[mark_name] if mark_name is not None else None
                rates.append(_payment(here, row[time_name], row[rate_name], mark, row.get(PUBLISHED_COLUMN)))
                if len(rates) > 1 and rates[-1].time_ns <= rates[-2].time_ns:
                    raise VenueError(f"{here}: not later than the payment before; sort the file by time")
                if len(rates) > 1 and rates[-1].known_ns < rates[-2].time_ns:
                    raise VenueError(f"{here}: published before the last payment; leave out what was told so early")
    except OSError as error:
        raise VenueError(f"{path}: {error.strerror or error}; name a readable funding schedule") from None
    except UnicodeDecodeError:
        raise VenueError(f"{path}: not text; give a funding schedule as CSV") from None
    if not rates:
        raise VenueError(f"{path}: no payment in it; give a funding schedule that covers the run")
    return rates


def _column(path: Path, names: Iterable[str], known: Sequence[str], what: str) -> str:
    for name in known:
        if name in names:
            return name
    raise VenueError(f"{path}, line 1: no column for {what}; name it {' or '.join(known)}")


def _payment(here: str, time: str | None, rate: str | None, mark: str | None, published: str | None) -> FundingRate:
    try:
        stamp, fraction = int(time or ""), Decimal(rate or "")
        mark_e9 = int(Decimal(mark) * E9) if mark else None
    except (ValueError, InvalidOperation, OverflowError):
        raise VenueError(f"{here}: {time!r}, {rate!r}, {mark!r} are no time, rate and mark price; correct it") from None
    time_ns = _time_ns(here, stamp)
    published_ns = None
    if published:
        if not published.isdecimal() or len(published) > NS_DIGITS:
            raise VenueError(
                f"{here}: published = {published!r} is no time; give it as the payment's own, or leave it out"
            )
        published_ns = _time_ns(here, int(published))
    if published_ns is not None and published_ns > time_ns:
        raise VenueError(f"{here}: published after it was paid; leave `published` empty where that is not known")
    if not (fraction.is_finite() and abs(fraction) <= RATE_MAX):
        raise VenueError(f"{here}: a rate of {rate}; give a fraction, as 0.0001 for 0.01 %")
    if mark_e9 is not None and mark_e9 <= 0:
        raise VenueError(f"{here}: a mark price of {mark}; it must be above 0, or be left out")
    return FundingRate(time_ns=time_ns, rate=fraction, mark_e9=mark_e9, published_ns=published_ns)


def _time_ns(here: str, stamp: int) -> int:
    digits = len(str(abs(stamp)))
    if stamp < 0 or digits not in (MS_DIGITS, NS_DIGITS):
        raise VenueError(
            f"{here}: a time of {digits} digits; give ms ({MS_DIGITS}) or ns ({NS_DIGITS}) since the epoch"
        )
    return stamp * NS_PER_MS if digits == MS_DIGITS else stamp
