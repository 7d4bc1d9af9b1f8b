"""What a simulated exchange over captures measured, and what is doubtful about it."""

from collections.abc import Iterator
from datetime import UTC, datetime

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.histogram import count_above, percentile_ns
from crosswire.nic.rings.latency import Model
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import ExchangeFacts
from crosswire.venues.exchange.clock import CLOCKS_DIFFER_NS, ExchangeClock, is_measured
from crosswire.venues.exchange.simulated import SimulatedExchange


def replayed_facts(exchange: SimulatedExchange, name: str) -> ExchangeFacts:
    """Tell what the exchange of venue `name` measured."""
    clock = exchange.clock
    counters = {}
    if is_measured(clock):
        counters = {
            "packets without exchange time": clock.untimed,
            "packets behind later ones": clock.raised,
        }
    return ExchangeFacts(latencies={"feed": clock.measured}, counters=counters, warnings=[*_warnings(clock, name)])


def _warnings(clock: ExchangeClock, name: str) -> Iterator[DataWarning]:
    if clock.too_late != 0:
        yield DataWarning(
            kind="packets made after they were received",
            count=clock.too_late,
            first_place=_place(name, clock.first_too_late_ns),
            what_to_do="correct the receiver's clock by clock_offset_ms; they count as received when they were made",
        )
    if clock.too_early != 0:
        allow = f", or allow more than max_ms = {clock.latency_max_ns // NS_PER_MS}" if clock.differing == 0 else ""
        yield DataWarning(
            kind="packets longer under way than feed_latency allows",
            count=clock.too_early,
            first_place=_place(name, clock.first_too_early_ns),
            what_to_do=f"check clock_offset_ms{allow}; they count as made then",
        )
    if clock.differing != 0:
        seconds = abs(clock.first_difference_ns) / NS_PER_S
        when = "before" if clock.first_difference_ns > 0 else "after"
        yield DataWarning(
            kind=f"book changes timed by clocks that differ by more than {CLOCKS_DIFFER_NS // NS_PER_S} s",
            count=clock.differing,
            first_place=_place(name, clock.first_differing_ns),
            what_to_do=f"that one was made {seconds:,.1f} s {when} it was received, which is no latency: "
            "correct clock_offset_ms, or the times in the capture",
        )
    if clock.latency.model == Model.CONSTANT and clock.measured.count != 0:
        median_ns = percentile_ns(clock.measured, 50)
        # The wire's times are rounded down, so up to their resolution of what is measured may be nothing.
        if clock.constant_ns + clock.resolution_ns < median_ns <= CLOCKS_DIFFER_NS:
            yield DataWarning(
                kind="packets longer under way than feed_latency says",
                count=count_above(clock.measured, clock.constant_ns),
                first_place=name,
                what_to_do=f"{clock.constant_ns / NS_PER_MS:g} ms is configured, the median measured is "
                f'{median_ns / NS_PER_MS:.1f} ms: write feed_latency = "measured"',
            )


def _place(name: str, time_ns: int) -> str:
    at = datetime.fromtimestamp(time_ns // NS_PER_S, UTC)
    return f"{name}, received {at:%Y-%m-%d %H:%M:%S}.{time_ns % NS_PER_S:09} UTC"
