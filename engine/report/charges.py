"""What positions cost beside their trades: computed after a run from its fills and sampled prices.

The loop does not know of it: no strategy is told a payment, and the loss limit does not count it. A charge is positive
where it is paid. Prices between fills are the mids that were sampled; where the venue's own mark is known it is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from crosswire.engine.report.recorder import InstrumentInfo, make_instrument
from crosswire.engine.report.text import time_text
from crosswire.nic.warning import DataWarning
from crosswire.venues.instrument import E9, Kind
from crosswire.venues.money.borrow import NS_PER_HOUR, hours_charged, interest_e9
from crosswire.venues.money.expiry import delivery_fee_e9, delivery_price_e9, delivery_value_e9
from crosswire.venues.money.funding import Accrual, funding_e9
from crosswire.venues.money.terms import HoldingTerms

Values = np.ndarray[Any, Any]
BPS = Decimal("0.0001")
FUNDING_UNKNOWN = "times of holding a perpetual whose funding is not known"
EXPIRY_UNKNOWN = "futures held whose expiry is not known"
EXPIRY_ADVICE = "give expiry in [[venue.instrument]], as 2026-12-25T08:00:00Z; until then none is delivered"


class ChargeKind(StrEnum):
    FUNDING = "funding"
    BORROW = "borrow"
    DELIVERY = "delivery"  # what the delivery price differs from the last mid, and then the position is gone
    DELIVERY_FEE = "delivery fee"
    FEE_TIER = "fee tier"  # what the fills' own fees differ from those of the tier that held


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One amount, in the settlement currency of its instrument."""

    time_ns: int
    instrument: int  # market index
    kind: ChargeKind
    amount_e9: int  # positive is paid
    position_lots: int
    price_e9: int  # that the amount was computed with; 0: none
    rate: Decimal


@dataclass(frozen=True)
class Held:
    """One instrument's position and price over a run. Arrays of int64; times are sorted."""

    info: InstrumentInfo
    first_ns: int
    last_ns: int
    changed_ns: Values  # when the position changed, by the exchange's clock
    position_lots: Values  # from then on
    start_lots: int  # before the first change
    mid_ns: Values  # of samples with a valid book
    mid_e9: Values

    def lots_at(self, time_ns: int) -> int:
        """Tell the position at a time, with what changed at that very time."""
        place = int(np.searchsorted(self.changed_ns, time_ns, side="right")) - 1
        return int(self.position_lots[place]) if place >= 0 else self.start_lots

    def mid_at(self, time_ns: int) -> int | None:
        """Tell the last sampled mid at a time, before the first one the first; None: there is none in the whole run."""
        if not len(self.mid_ns):
            return None
        place = int(np.searchsorted(self.mid_ns, time_ns, side="right")) - 1
        return int(self.mid_e9[max(place, 0)])

    def was_held(self) -> bool:
        """Tell whether there was ever a position."""
        return self.start_lots != 0 or bool(np.any(self.position_lots))

    def spans(self, *times_ns: int) -> Iterator[tuple[int, int, int]]:
        """List (start, end, lots) of the times with one position, cut at `times_ns` too, flat ones left out."""
        inside = np.concatenate([self.changed_ns, np.array(times_ns, np.int64)])
        inside = np.unique(inside[(inside > self.first_ns) & (inside < self.last_ns)])
        cuts_ns = np.concatenate([[self.first_ns], inside, [self.last_ns]])
        places = np.searchsorted(self.changed_ns, cuts_ns[:-1], side="right")
        lots = np.concatenate([[self.start_lots], self.position_lots])[places]
        held = np.flatnonzero(lots)
        yield from zip(cuts_ns[held].tolist(), cuts_ns[held + 1].tolist(), lots[held].tolist(), strict=True)


def charges_of(held: Held, terms: HoldingTerms) -> tuple[list[Charge], list[DataWarning]]:
    """Compute all that one instrument's position cost, in order of time, and say what of it is not known."""
    if not held.was_held():
        return [], []
    kind = held.info.kind
    if kind == Kind.PERPETUAL:
        return _continuous_funding(held, terms) if terms.is_continuous else _timed_funding(held, terms)
    if kind == Kind.SPOT:
        return _borrowing(held, terms)
    if kind == Kind.FUTURE and held.info.expiry_ns == 0:
        return [], _warning(held, [held.first_ns], EXPIRY_UNKNOWN, EXPIRY_ADVICE)
    if kind == Kind.FUTURE and held.first_ns < held.info.expiry_ns <= held.last_ns:
        return _delivery(held, terms)
    return [], []


def _timed_funding(held: Held, terms: HoldingTerms) -> tuple[list[Charge], list[DataWarning]]:
    """Charge each payment of the schedule on what is held at its instant.

    Venues pay at full hours, every 8, 4 or 1 h. Without a schedule a run that passes none misses nothing.
    """
    if terms.funding is None:
        first_hour_ns = -(-held.first_ns // NS_PER_HOUR) * NS_PER_HOUR
        passed = [time_ns for time_ns in range(first_hour_ns, held.last_ns + 1, NS_PER_HOUR) if held.lots_at(time_ns)]
        return [], _unknown(held, passed, FUNDING_UNKNOWN, 'funding = "FILE.csv", or "off",') if passed else []
    charges: list[Charge] = []
    unpriced: list[int] = []
    for payment in terms.funding:
        if not held.first_ns <= payment.time_ns <= held.last_ns:
            continue
        lots = held.lots_at(payment.time_ns)
        mark_e9 = payment.mark_e9 if payment.mark_e9 is not None else held.mid_at(payment.time_ns)
        if lots == 0:
            continue
        if mark_e9 is None:
            unpriced.append(payment.time_ns)
            continue
        amount_e9 = funding_e9(make_instrument(held.info), lots, mark_e9, payment.rate)
        charges.append(_charge(held, ChargeKind.FUNDING, payment.time_ns, amount_e9, lots, mark_e9, payment.rate))
    return charges, _unpriced(held, unpriced)


def _continuous_funding(held: Held, terms: HoldingTerms) -> tuple[list[Charge], list[DataWarning]]:
    """Charge each span of one position and one rate, at its mark or the mean of the mids sampled in it."""
    spans = list(held.spans(*(rate.time_ns for rate in terms.funding or [])))
    if terms.funding is None:
        starts_ns = [start_ns for start_ns, _, _ in spans]
        return [], _unknown(held, starts_ns, FUNDING_UNKNOWN, 'funding = "FILE.csv", or "off",')
    charges: list[Charge] = []
    unpriced: list[int] = []
    times_ns = np.array([rate.time_ns for rate in terms.funding], np.int64)
    accrual = Accrual(make_instrument(held.info))
    for start_ns, end_ns, lots in spans:
        place = int(np.searchsorted(times_ns, start_ns, side="right")) - 1
        if place < 0:
            if terms.funding:
                unpriced.append(start_ns)
            continue
        rate = terms.funding[place].rate
        mark_e9 = terms.funding[place].mark_e9 or _mean_mid(held, start_ns, end_ns)
        if mark_e9 is None:
            unpriced.append(start_ns)
            continue
        amount_e9 = accrual.add_e9(lots, mark_e9, rate, end_ns - start_ns)
        charges.append(_charge(held, ChargeKind.FUNDING, end_ns, amount_e9, lots, mark_e9, rate))
    return charges, _unpriced(held, unpriced)


def _mean_mid(held: Held, start_ns: int, end_ns: int) -> int | None:
    first, last = np.searchsorted(held.mid_ns, (start_ns, end_ns))
    return sum(held.mid_e9[first:last].tolist()) // int(last - first) if last > first else held.mid_at(start_ns)


def _borrowing(held: Held, terms: HoldingTerms) -> tuple[list[Charge], list[DataWarning]]:
    """Charge each time that spot was held short, from its start to its end, by its largest amount."""
    loans: list[list[int]] = []  # start, end, lots
    for start_ns, end_ns, lots in held.spans():
        if lots >= 0:
            continue
        if loans and loans[-1][1] == start_ns:
            loans[-1][1:] = [end_ns, max(loans[-1][2], -lots)]
        else:
            loans.append([start_ns, end_ns, -lots])
    if terms.borrow_rate_daily is None:
        starts_ns = [start_ns for start_ns, _, _ in loans]
        return [], _unknown(held, starts_ns, "times of borrowing whose interest is not known", "borrow_rate_daily")
    charges: list[Charge] = []
    unpriced: list[int] = []
    for start_ns, end_ns, lots in loans:
        hours = hours_charged(start_ns, end_ns)
        mid_e9 = held.mid_at(end_ns)
        if mid_e9 is None:
            unpriced.append(end_ns)
            continue
        # It is owed in coins, which have to be bought.
        owed_e9 = interest_e9(lots * held.info.lot_e9, terms.borrow_rate_daily, hours) * mid_e9
        charges.append(
            _charge(held, ChargeKind.BORROW, end_ns, -(-owed_e9 // E9), -lots, mid_e9, terms.borrow_rate_daily)
        )
    return charges, _unpriced(held, unpriced)


def _delivery(held: Held, terms: HoldingTerms) -> tuple[list[Charge], list[DataWarning]]:
    """Settle what is held at expiry: at a price that is not the last mid, and for a fee."""
    expiry_ns = held.info.expiry_ns
    lots = held.lots_at(expiry_ns)
    if lots == 0:
        return [], []
    mid_e9 = held.mid_at(held.last_ns)
    price_e9, warnings = terms.delivery_price_e9, []
    if price_e9 is None:
        mean_e9 = delivery_price_e9(held.mid_ns.tolist(), held.mid_e9.tolist(), expiry_ns)
        price_e9 = mean_e9 or held.mid_at(expiry_ns)
        warnings = _unknown(held, [expiry_ns], "futures settled at their own mid, not the index", "delivery_price")
    if price_e9 is None or mid_e9 is None:
        return [], _unpriced(held, [expiry_ns])
    instrument = make_instrument(held.info)
    gained_e9 = delivery_value_e9(instrument, lots, price_e9) - delivery_value_e9(instrument, lots, mid_e9)
    rate = terms.delivery_fee_bps * BPS
    fee_e9 = delivery_fee_e9(instrument, lots, price_e9, rate)
    return [
        _charge(held, ChargeKind.DELIVERY, expiry_ns, -gained_e9, lots, price_e9, Decimal(0)),
        _charge(held, ChargeKind.DELIVERY_FEE, expiry_ns, fee_e9, lots, price_e9, rate),
    ], warnings


def _charge(
    held: Held, kind: ChargeKind, time_ns: int, amount_e9: int, lots: int, price_e9: int, rate: Decimal
) -> Charge:
    return Charge(
        time_ns=time_ns,
        instrument=held.info.index,
        kind=kind,
        amount_e9=amount_e9,
        position_lots=lots,
        price_e9=price_e9,
        rate=rate,
    )


def _unknown(held: Held, times_ns: Sequence[int], kind: str, key: str) -> list[DataWarning]:
    """Say what was not charged since a key of the configuration is missing; nothing for no times."""
    return _warning(held, times_ns, kind, f"give {key} in its [venue.instrument.money]; until then P&L is without it")


def _unpriced(held: Held, times_ns: Sequence[int]) -> list[DataWarning]:
    """Say what was not charged for want of a price or a rate; nothing for no times."""
    advice = "give mark prices in its schedule, which must begin before the run; until then P&L is without them"
    return _warning(held, times_ns, "charges without a price or a rate, left out", advice)


def _warning(held: Held, times_ns: Sequence[int], kind: str, what_to_do: str) -> list[DataWarning]:
    if not times_ns:
        return []
    first_place = f"{held.info.name} at {time_text(times_ns[0])}"
    return [DataWarning(kind=kind, count=len(times_ns), first_place=first_place, what_to_do=what_to_do)]
