"""Funding as the captures of a run tell it, for perpetuals whose configuration has no schedule."""

from bisect import bisect_right
from decimal import Decimal
from pathlib import Path

import msgspec

from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.money import MoneyTerms
from crosswire.engine.build.venue import venue_setup
from crosswire.engine.captures import open_captures
from crosswire.engine.config import RunConfig
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.warning import DataWarning
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.rates import FeedRates, rates_of
from crosswire.venues.money.terms import HoldingTerms

DIFFERENCE_MAX = Decimal("0.0001")  # between a schedule's and the feed's rate: 1 bp of the position's value in 8 h


def add_feed_funding(
    money: MoneyTerms, config: RunConfig, config_path: Path, range_ns: tuple[int, int]
) -> tuple[MoneyTerms, list[DataWarning]]:
    """Add what the captures say between two times (ns) to a run's terms; a schedule is kept, and held against it.

    Only venues whose adapter reads funding out of captures are read once more.
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
        if not (venue.captures and venue.adapter.read_funding and perpetuals):
            continue
        market, _ = make_market(config)
        with open_captures(venue, config_path) as replay:
            rates = venue.adapter.read_funding(venue_setup(number, config, market, config_path), replay)
        warnings += left_out(rates, venue.name)
        for place in perpetuals:
            told = rates_of(rates, place)
            terms = holding[names[place]]
            if terms.funding is not None:
                warnings += contradictions(terms, told, names[place])
            elif told:
                holding[names[place]] = msgspec.structs.replace(terms, funding=told, is_continuous=True)
    return msgspec.structs.replace(money, holding=holding).between(*range_ns), warnings


def contradictions(terms: HoldingTerms, told: list[FundingRate], name: str) -> list[DataWarning]:
    """Say where a schedule's rate is not what the feed told then."""
    times_ns = [rate.time_ns for rate in told]
    planned = terms.funding or []
    ends_ns = [rate.time_ns for rate in planned[1:]] + [NEVER_NS]
    found = []
    for rate, end_ns in zip(planned, ends_ns, strict=True):
        # One that is paid continuously may have begun before the feed told any.
        time_ns = max(rate.time_ns, *times_ns[:1]) if terms.is_continuous and told else rate.time_ns
        place = bisect_right(times_ns, time_ns) - 1
        if place >= 0 and time_ns < end_ns and abs(told[place].rate - rate.rate) > DIFFERENCE_MAX:
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


def left_out(rates: FeedRates, venue: str) -> list[DataWarning]:
    lost = rates.dropped + rates.bad
    advice = "give a schedule (funding) for what its captures tell too much or too large rates of"
    if not lost:
        return []
    return [
        DataWarning(
            kind="funding rates of the feed left out", count=lost, first_place=f"venue {venue}", what_to_do=advice
        )
    ]
