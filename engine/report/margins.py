"""How near a run came to a margin call: each account's margin and equity at every sample, computed after the run.

The simulated exchanges ask for no margin: a run goes on where the venue would have refused an order, or taken the
position away. That is said, with the first such time. Spot is left out: what is bought there is paid in full.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.engine.report.text import time_text
from crosswire.nic.warning import DataWarning
from crosswire.venues.instrument import E9
from crosswire.venues.money.margin import liquidation_price, maintenance_amounts
from crosswire.venues.money.terms import HoldingTerms

Values = np.ndarray[Any, Any]


class MarginSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One account and settlement currency. Amounts are of that currency; ratios are fractions."""

    venue: str
    currency: str
    balance: Decimal  # at the start
    equity_min: Decimal  # balance, cash, fees, charges and positions at their mid
    initial_max: Decimal  # margin needed to open what was held
    usage_max: float | None  # initial margin / equity; above 1 the venue would have refused; None: no equity was left
    usage_max_ns: int
    # Of the instrument that was nearest to it, at that time; None: no price would have.
    liquidation_instrument: str | None = None
    liquidation_ns: int | None = None
    liquidation_price: Decimal | None = None
    liquidation_distance: float | None = None  # (price - mid) / mid, signed


@dataclass(frozen=True)
class AccountSamples:
    """The sampled positions of one account and settlement currency, on one grid of times."""

    time_ns: Values  # int64, sorted
    equity_change: Values  # float64: cash flows less fees and charges plus position values, since the start
    infos: list[InstrumentInfo]
    size: list[Values]  # of each instrument: float64, signed, in its size currency
    mid: list[Values]  # float64, quote currency; NaN: not known


def margin_of(
    samples: AccountSamples, terms: Mapping[int, HoldingTerms], venue: str, currency: str, balance: Decimal
) -> tuple[MarginSummary, list[DataWarning]]:
    """Hold an account's margin against its equity; `terms` by market index."""
    equity = float(balance) + samples.equity_change
    initial, maintenance = np.zeros(len(equity)), np.zeros(len(equity))
    unknown = []
    for info, size, mid in zip(samples.infos, samples.size, samples.mid, strict=True):
        known = terms.get(info.index)
        if known is None or not (known.margin_brackets or known.margin_by_size):
            if np.any(size):
                unknown.append(info.name)
            continue
        both = _margins(info, known, np.abs(size), np.where(size == 0, 1.0, mid))
        initial += np.where(size == 0, 0.0, both[0])
        maintenance += np.where(size == 0, 0.0, both[1])
    initial, maintenance = np.nan_to_num(initial), np.nan_to_num(maintenance)
    usage = np.where(initial > 0, initial / np.where(equity > 0, equity, np.nan), 0.0)
    usage = np.where(np.isnan(usage), np.inf, usage)
    worst = int(np.argmax(usage))
    summary = MarginSummary(
        venue=venue,
        currency=currency,
        balance=balance,
        equity_min=_amount(equity.min()),
        initial_max=_amount(initial.max()),
        usage_max=float(usage[worst]) if np.isfinite(usage[worst]) else None,
        usage_max_ns=int(samples.time_ns[worst]),
        **_nearest(samples, terms, equity, maintenance),
    )
    return summary, _warnings(samples, venue, unknown, initial > equity, (maintenance >= equity) & (initial > 0))


def _margins(info: InstrumentInfo, terms: HoldingTerms, size: Values, mid: Values) -> tuple[Values, Values]:
    """Compute initial and maintenance margin of sizes (not signed) at mids."""
    if terms.margin_by_size is not None:
        coins = size / mid if info.is_inverse else size
        into_settlement = 1.0 if info.is_inverse else mid
        growth = coins * float(terms.margin_by_size.per_coin)
        rates = (
            float(terms.margin_by_size.initial_base) + growth,
            float(terms.margin_by_size.maintenance_base) + growth,
        )
        return coins * rates[0] * into_settlement, coins * rates[1] * into_settlement
    value = size / mid if info.is_inverse else size * mid
    bounds = np.array([float(bracket.value_min) for bracket in terms.margin_brackets])
    place = np.maximum(np.searchsorted(bounds, value, side="left") - 1, 0)
    initial_rates = np.array([float(bracket.initial_rate) for bracket in terms.margin_brackets])
    maintenance_rates = np.array([float(bracket.maintenance_rate) for bracket in terms.margin_brackets])
    amounts = np.array([float(amount) for amount in maintenance_amounts(terms.margin_brackets)])
    return value * initial_rates[place], value * maintenance_rates[place] - amounts[place]


def _nearest(
    samples: AccountSamples, terms: Mapping[int, HoldingTerms], equity: Values, maintenance: Values
) -> dict[str, Any]:
    """Find the price nearest to the mid, of all instruments and samples, at which the venue takes a position away.

    Looked for where the equity left above the maintenance margin is the smallest share of the position's value: the
    others' positions stand still meanwhile.
    """
    nearest: dict[str, Any] = {}
    for info, size, mid in zip(samples.infos, samples.size, samples.mid, strict=True):
        brackets = terms[info.index].margin_brackets if info.index in terms else []
        held = np.flatnonzero((size != 0) & ~np.isnan(mid))
        if not brackets or not len(held):
            continue
        value = np.abs(size[held]) / mid[held] if info.is_inverse else np.abs(size[held]) * mid[held]
        place = held[int(np.argmin((equity[held] - maintenance[held]) / value))]
        own = _margins(info, terms[info.index], np.abs(size[place : place + 1]), mid[place : place + 1])[1][0]
        # What is there for this position alone. Its gain is in the equity, so it counts as entered at the mid.
        balance = equity[place] - (maintenance[place] - own)
        price = liquidation_price(
            brackets, _amount(balance), _amount(size[place]), _amount(mid[place]), info.is_inverse
        )
        if price is None:
            continue
        distance = float(price) / mid[place] - 1
        if not nearest or abs(distance) < abs(nearest["liquidation_distance"]):
            nearest = {
                "liquidation_instrument": info.name,
                "liquidation_ns": int(samples.time_ns[place]),
                "liquidation_price": round(price, 9),
                "liquidation_distance": float(distance),
            }
    return nearest


def _amount(value: float) -> Decimal:
    return Decimal(round(float(value) * E9)) / E9


def _warnings(
    samples: AccountSamples, venue: str, unknown: Sequence[str], refused: Values, liquidated: Values
) -> list[DataWarning]:
    warnings = []
    if unknown:
        advice = "give margin_brackets or margin_by_size in its [venue.instrument.money]; margin is told without it"
        warnings.append(
            DataWarning(
                kind="instruments held whose margin is not known",
                count=len(unknown),
                first_place=unknown[0],
                what_to_do=advice,
            )
        )
    for kind, places, advice in (
        ("samples with more margin needed than there was", refused, "the venue would have refused orders: lower"),
        ("samples at which the venue would have liquidated", liquidated, "do not believe what follows: lower"),
    ):
        if np.any(places):
            first_place = f"venue {venue} at {time_text(int(samples.time_ns[int(np.argmax(places))]))}"
            warnings.append(
                DataWarning(
                    kind=kind,
                    count=int(np.count_nonzero(places)),
                    first_place=first_place,
                    what_to_do=f"{advice} the limits, or raise the balance in [venue.account]",
                )
            )
    return warnings
