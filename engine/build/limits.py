"""The gate's limits, set from a configuration."""

from collections.abc import Callable, Iterator
from functools import partial

from crosswire.engine.build.market import instrument_names
from crosswire.engine.config import RunConfig
from crosswire.risk.gate import Gate
from crosswire.risk.limits import (
    LimitError,
    set_instrument_limits,
    set_price_bands,
    set_strategy_limits,
    set_venue_limits,
)
from crosswire.venues.market import Market


def set_limits(gate: Gate, market: Market, config: RunConfig, underlyings: list[str]) -> Iterator[LimitError]:
    """Set the limits of instruments, venues, underlyings and strategies; say which of them can't be set."""
    names = instrument_names(config)
    terms = [each for venue in config.venue for each in venue.instrument]
    steps: list[Callable[[], None]] = [
        partial(set_instrument_limits, gate, market.instruments[index], each.limits, names[index])
        for index, each in enumerate(terms)
    ]
    steps += [
        partial(set_venue_limits, gate, number, venue.limits, venue.name) for number, venue in enumerate(config.venue)
    ]
    steps.append(partial(set_price_bands, gate, config.limits, underlyings))
    strategy_names = [each.name or each.use for each in config.strategies]
    steps.append(partial(set_strategy_limits, gate, [each.limits for each in config.strategies], strategy_names))
    for step in steps:
        try:
            step()
        except LimitError as error:
            yield error
