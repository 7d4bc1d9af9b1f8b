"""Funding as the captures of a run tell it, for perpetuals whose configuration has no schedule."""

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.money import MoneyTerms
from crosswire.engine.build.venue import venue_setup
from crosswire.engine.captures import open_captures
from crosswire.engine.config import RunConfig
from crosswire.engine.report.text import time_text
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.warning import DataWarning
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.payments import has_full_hour
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.money.told import ToldFunding

DIFFERENCE_MAX = Decimal("0.0001")  # between a schedule's and the feed's rate: 1 bp of the position's value in 8 h
SAME_PAYMENT_NS = 60 * NS_PER_S  # a venue's own files have a payment some milliseconds after its instant
STALE = "payments of funding whose rate was last told more than a minute before"
SILENT = "silences of the feed over a full hour, at which funding may have been due"


def add_feed_funding(
    money: MoneyTerms,
    config: RunConfig,
    config_path: Path,
    range_ns: tuple[int, int],
    counted: Mapping[str, Mapping[str, int]] | None,
) -> tuple[MoneyTerms, list[DataWarning]]:
    """Add what the captures say between two times (ns) to a run's terms; a schedule is kept, and held against it.

    `counted`: messages by venue and name, as the run's own feeds counted them; None: there was no run. Only captures
    that tell funding are read once more: to do so costs their whole length, and compiles what reads them.
    """
    holding = dict(money.holding)
    warnings: list[DataWarning] = []
    names = instrument_names(config)
    first = 0
    for number, venue in enumerate(config.venue):
        places = range(first, first + len(venue.instrument))
        first = places.stop
        perpetuals = [
            place
            for place, each in zip(places, venue.instrument, strict=True)
            if each.kind == "perpetual" and holding[names[place]].funding != []
        ]
        adapter = venue.adapter
        if not (venue.captures and adapter.read_funding and perpetuals):
            continue
        if counted is not None and not counted[venue.name].get(adapter.funding_message):
            continue
        market, _ = make_market(config)
        with open_captures(venue, config_path) as replay:
            told = adapter.read_funding(venue_setup(number, config, market, config_path), replay)
        warnings += left_out(told, venue.name)
        for place in perpetuals:
            rates = told.rates.get(place)
            terms = holding[names[place]]
            if rates is None:
                continue
            if terms.funding is not None:
                warnings += contradictions(terms, rates, names[place], told.is_continuous)
                continue
            if not told.is_continuous:  # what was told may be that none was due: then there is none
                rates = [rate for rate in rates if range_ns[0] <= rate.time_ns <= range_ns[1]]
            holding[names[place]] = msgspec.structs.replace(terms, funding=rates, is_continuous=told.is_continuous)
            warnings += doubts(told, place, names[place], range_ns)
    return msgspec.structs.replace(money, holding=holding).between(*range_ns), warnings


def contradictions(terms: HoldingTerms, told: list[FundingRate], name: str, is_continuous: bool) -> list[DataWarning]:
    """Say where a schedule's rate is not what the feed told then.

    `is_continuous`: each rate that the feed told holds until the next; else it is compared with that payment alone.
    """
    times_ns = [rate.time_ns for rate in told]
    planned = terms.funding or []
    ends_ns = [rate.time_ns for rate in planned[1:]] + [NEVER_NS]
    found = []
    for rate, end_ns in zip(planned, ends_ns, strict=True):
        # One that is paid continuously may have begun before the feed told any.
        time_ns = max(rate.time_ns, *times_ns[:1]) if terms.is_continuous and told else rate.time_ns
        place = bisect_right(times_ns, time_ns) - 1
        if place < 0 or not (is_continuous or time_ns - times_ns[place] <= SAME_PAYMENT_NS):
            continue
        if time_ns < end_ns and abs(told[place].rate - rate.rate) > DIFFERENCE_MAX:
            found.append((rate.rate, told[place].rate))
    if not found:
        return []
    planned_rate, told_rate = found[0]
    return [
        DataWarning(
            kind="funding rates that the feed contradicts",
            count=len(found),
            first_place=f"{name}: the schedule says {planned_rate}, the feed {told_rate}",
            what_to_do="the schedule was believed; correct it, or leave it out to be charged what the feed tells",
        )
    ]


def doubts(told: ToldFunding, place: int, name: str, range_ns: tuple[int, int]) -> list[DataWarning]:
    """Say what of an instrument's payments between two times (ns) the feed did not tell in time, or not at all."""
    first_ns, last_ns = range_ns
    stale = [
        f"{name} at {time_text(time_ns)}"
        for index, time_ns in told.stale
        if index == place and first_ns <= time_ns <= last_ns
    ]
    silent = [
        f"{name} after {time_text(each.begin_ns)}"
        for each in told.silences
        if each.instrument == place and has_full_hour(max(each.begin_ns, first_ns), min(each.end_ns, last_ns))
    ]
    found = (
        (STALE, stale, "they are charged at that rate and mark price; give a schedule (funding) to be sure"),
        (SILENT, silent, "what was due then is not charged; give a schedule (funding) that has it"),
    )
    return [
        DataWarning(kind=kind, count=len(places), first_place=places[0], what_to_do=what_to_do)
        for kind, places, what_to_do in found
        if places
    ]


def left_out(told: ToldFunding, venue: str) -> list[DataWarning]:
    if not told.left_out:
        return []
    return [
        DataWarning(
            kind="funding rates of the feed left out",
            count=told.left_out,
            first_place=f"venue {venue}",
            what_to_do="give a schedule (funding) for what its captures tell too much or too large rates of",
        )
    ]
