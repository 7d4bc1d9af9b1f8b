"""The parameters of `cycles`, and what is made of them: the currencies, and what may be used of each."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from crosswire.risk.gate import NO_LIMIT
from crosswire.risk.limits import to_e9
from crosswire.risk.records import LEGS_MAX
from crosswire.strategies.cycle_plan import Means
from crosswire.strategies.interface import BuildContext
from crosswire.strategies.leg_parameters import BPS_MAX, RepairParameters
from crosswire.strategies.listing import LISTINGS_MAX
from crosswire.strategies.parameters import Parameter
from crosswire.venues.instrument import Instrument, Kind, text_of


class CyclesParameters(RepairParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Parameters of `cycles`, described in docs/strategies/cycles.md."""

    instruments: Annotated[list[str], Parameter("", f'"venue/symbol", 2 to {LISTINGS_MAX}')]
    threshold_bps: Annotated[
        Decimal,
        Parameter("bps", "least edge of a whole cycle after taker fees", least=-BPS_MAX, most=BPS_MAX),
    ]
    size_max: Annotated[
        dict[str, Decimal], Parameter("the currency", "by currency: what one leg may spend or bring of it", above=0)
    ]
    position_max: Annotated[
        dict[str, Decimal], Parameter("base coin", "by base coin: of each of its instruments, long or short", above=0)
    ]
    legs_max: Annotated[int, Parameter("legs", "of a cycle", least=2, most=LEGS_MAX)] = 3
    derivatives: Annotated[
        bool, Parameter("", "perpetuals and futures exchange their base coin for their quote currency, as spot does")
    ] = False
    one_currency: Annotated[
        tuple[str, ...],
        Parameter("", "currencies taken for one, named as the first: dollars and the coins that stand for them"),
    ] = ()


def currencies_of(
    parameters: CyclesParameters, instruments: Sequence[Instrument]
) -> tuple[list[str], list[tuple[int, int]]]:
    """Number the currencies in the order in which instruments name them, quote first; give (base, quote) of each.

    ValueError with one line: an instrument that is no edge.
    """
    same = parameters.one_currency
    names: list[str] = []
    pairs = []
    for name, instrument in zip(parameters.instruments, instruments, strict=True):
        if instrument.kind != Kind.SPOT and not parameters.derivatives:
            raise ValueError(f"instruments: {name} is no spot: it moves no currency unless derivatives = true")
        if instrument.kind not in (Kind.SPOT, Kind.PERPETUAL, Kind.FUTURE):
            raise ValueError(f"instruments: {name} is neither spot, a perpetual nor a future")
        quote, base = (
            same[0] if text in same else text for text in (text_of(instrument.quote), text_of(instrument.base))
        )
        if base == quote:
            raise ValueError(f"instruments: {name} exchanges two currencies of one_currency, {', '.join(same)}")
        names += [text for text in (quote, base) if text not in names]
        pairs.append((names.index(base), names.index(quote)))
    return names, pairs


def fill_in_means(
    means: Means,
    parameters: CyclesParameters,
    names: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    instruments: Sequence[Instrument],
    context: BuildContext,
) -> None:
    """Set what may be used of each currency and instrument; ValueError with one line."""
    bases = list(dict.fromkeys(names[base] for base, _quote in pairs))
    _check_keys("size_max", parameters.size_max, names)
    _check_keys("position_max", parameters.position_max, bases)
    for number, name in enumerate(names):
        means.currencies[number].size_max_e9 = to_e9(parameters.size_max[name], f"size_max of {name}")
    for name in bases:
        if parameters.position_max[name] < parameters.size_max[name]:
            most, size = parameters.position_max[name], parameters.size_max[name]
            raise ValueError(f"position_max of {name} = {most} is below size_max of {name} = {size}")
    for listing, instrument in enumerate(instruments):
        bounds = means.bounds[listing]
        bounds.order_lots_max = bounds.order_notional_max_e9 = bounds.position_lots_max = NO_LIMIT
        bounds.short_lots_max = 0 if instrument.kind == Kind.SPOT else NO_LIMIT
        if context.limits:
            limits = context.limits[instrument.index]
            bounds.order_lots_max = limits.order_lots_max
            bounds.order_notional_max_e9 = limits.order_notional_max_e9
            bounds.position_lots_max = limits.position_lots_max
            bounds.short_lots_max = min(limits.short_lots_max, limits.position_lots_max)


def _check_keys(key: str, given: dict[str, Decimal], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in given:
            raise ValueError(f"{key} of {name} is missing: every currency that is traded needs one")
    for name in given:
        if name not in wanted:
            raise ValueError(f"{key}: {name} is not among the currencies of it, {', '.join(wanted)}")
