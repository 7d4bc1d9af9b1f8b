"""Parameters that every strategy of several legs has, and their way into `Legs`."""

from decimal import Decimal
from typing import Annotated

import msgspec

from crosswire.nic.duration import NS_PER_MS, NS_PER_US
from crosswire.risk.limits import DURATION_MAX_MS, to_e9
from crosswire.strategies.interface import BuildContext
from crosswire.strategies.legs import NO_LISTING, Legs
from crosswire.strategies.listing import LISTINGS_MAX, set_listing
from crosswire.strategies.parameters import Parameter
from crosswire.venues.instrument import Instrument, Payoff
from crosswire.venues.market import MAP_INSTRUMENTS_MAX

TICKS_MAX = 1_000_000  # of a distance in a book
BPS_MAX = 5_000  # of any edge, loss or adjustment: rates stay well inside 64 bits


class RepairParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """When a trade starts, and what is done about a leg that does not fill."""

    unwind_loss_max_bps: Annotated[
        Decimal,
        Parameter(
            "bps",
            "how much worse than decided on a missing leg may still be done",
            least=0,
            most=BPS_MAX,
            field="legs.loss_max_e9",
            step=Decimal("1e-5"),
        ),
    ]
    quote_adjustment_bps: Annotated[
        dict[str, Decimal],
        Parameter(
            "bps", "by instrument: what its quote unit is worth above a common one", least=-BPS_MAX, most=BPS_MAX
        ),
    ] = {}
    slippage_ticks: Annotated[
        int,
        Parameter(
            "ticks",
            "of each leg: how far beyond the decided price an order may trade",
            least=0,
            most=TICKS_MAX,
            field="legs.slippage_ticks",
        ),
    ] = 0
    open_trades_max: Annotated[int, Parameter("trades", "in flight on the same instruments", least=1)] = 1
    cooldown_us: Annotated[
        int,
        Parameter(
            "us",
            "between two starts on the same instruments",
            least=0,
            most=DURATION_MAX_MS * 1_000,
            field="legs.cooldown_ns",
            step=Decimal("1e-3"),
        ),
    ] = 0
    book_age_max_ms: Annotated[
        int,
        Parameter(
            "ms",
            "no trade starts on an older book",
            least=1,
            most=DURATION_MAX_MS,
            field="legs.book_age_max_ns",
            step=Decimal("1e-6"),
        ),
    ] = 1_000
    retries: Annotated[int, Parameter("orders", "of a missing leg", least=0)] = 2
    retry_window_us: Annotated[
        int, Parameter("us", "for all retries: the first at once, the others evenly spread", least=0)
    ] = 20_000
    unwind_ticks: Annotated[
        int,
        Parameter(
            "ticks",
            "how far through the book an unwinding order may trade",
            least=0,
            most=TICKS_MAX,
            field="legs.unwind_ticks",
        ),
    ] = 10
    unwind_interval_ms: Annotated[int, Parameter("ms", "between two unwinding orders", least=1)] = 50
    give_up_ms: Annotated[int, Parameter("ms", "from a trade's start: not flat by then is an alarm", least=1)] = 5_000


class LegParameters(RepairParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Of two legs. Sizes are in the base coin; limits have no defaults."""

    size_max: Annotated[Decimal, Parameter("base coin", "of one trade", above=0)]
    position_max: Annotated[Decimal, Parameter("base coin", "of each instrument, long or short", above=0)]
    size_min: Annotated[Decimal, Parameter("base coin", "of one trade, when it starts", least=0)] = Decimal(0)


def fill_in_legs(legs: Legs, parameters: LegParameters, instruments: list[str], context: BuildContext) -> None:
    """Set up `legs` for these instruments; ValueError with one line on the first contradiction."""
    if parameters.size_min > parameters.size_max:
        raise ValueError(f"size_min = {parameters.size_min} is above size_max = {parameters.size_max}")
    if parameters.position_max < parameters.size_max:
        raise ValueError(f"position_max = {parameters.position_max} is below size_max = {parameters.size_max}")
    traded = fill_in_repairs(legs, parameters, instruments, context)
    for position, (name, instrument) in enumerate(zip(instruments, traded, strict=True)):
        _check_underlying(name, instrument, instruments[0], traded[0])
        adjustment = parameters.quote_adjustment_bps.get(name, Decimal(0))
        set_listing(legs.listings[position], instrument, adjustment, to_e9(parameters.position_max, "position_max"))


def fill_in_repairs(
    legs: Legs, parameters: RepairParameters, instruments: list[str], context: BuildContext
) -> list[Instrument]:
    """Set up all of `legs` but its listings, and find the instruments; ValueError as `fill_in_legs`."""
    _check_times(parameters)
    if not 2 <= len(instruments) <= LISTINGS_MAX:
        raise ValueError(f"instruments: 2 to {LISTINGS_MAX} are needed, not {len(instruments)}")
    if len(set(instruments)) != len(instruments):
        raise ValueError("instruments: one is named twice")
    for name in parameters.quote_adjustment_bps:
        if name not in instruments:
            raise ValueError(f"quote_adjustment_bps: {name!r} is not among the instruments")
    for position in range(MAP_INSTRUMENTS_MAX):
        legs.listing_of[position] = NO_LISTING
    legs.count = len(instruments)
    traded = [context.instruments[context.index_of(name)] for name in instruments]
    for position, (name, instrument) in enumerate(zip(instruments, traded, strict=True)):
        if instrument.payoff not in (Payoff.LINEAR, Payoff.INVERSE):
            raise ValueError(f"instruments: {name} is neither linear nor inverse")
        legs.listing_of[instrument.index] = position
    legs.slippage_ticks = parameters.slippage_ticks
    legs.retries = parameters.retries
    # Every try at a venue with a speed bump takes that much longer to be answered.
    held_ns = parameters.retries * max(instrument.speed_bump_ns for instrument in traded)
    legs.retry_window_ns = parameters.retry_window_us * NS_PER_US + held_ns
    legs.retry_interval_ns = legs.retry_window_ns // max(1, parameters.retries)
    legs.loss_max_e9 = bps_e9(parameters.unwind_loss_max_bps, "unwind_loss_max_bps")
    legs.unwind_ticks = parameters.unwind_ticks
    legs.unwind_interval_ns = parameters.unwind_interval_ms * NS_PER_MS
    legs.give_up_ns = parameters.give_up_ms * NS_PER_MS + held_ns
    legs.open_trades_max = parameters.open_trades_max
    legs.cooldown_ns = parameters.cooldown_us * NS_PER_US
    legs.book_age_max_ns = parameters.book_age_max_ms * NS_PER_MS
    return traded


def bps_e9(bps: Decimal, what: str) -> int:
    """Convert basis points to a fraction in 1e-9; ValueError beyond 1e-5 bps."""
    return to_e9(bps / 10_000, what)


def _check_times(parameters: RepairParameters) -> None:
    if parameters.retry_window_us * NS_PER_US > parameters.give_up_ms * NS_PER_MS:
        raise ValueError(
            f"retry_window_us = {parameters.retry_window_us} is longer than give_up_ms = {parameters.give_up_ms}"
        )
    if parameters.unwind_interval_ms > parameters.give_up_ms:
        raise ValueError(
            f"unwind_interval_ms = {parameters.unwind_interval_ms} is longer than give_up_ms = {parameters.give_up_ms}"
        )


def _check_underlying(name: str, instrument: Instrument, first_name: str, first: Instrument) -> None:
    if instrument.underlying != first.underlying:
        raise ValueError(f"instruments: {name} and {first_name} have different underlyings")
