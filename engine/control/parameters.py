"""What may be changed while a run trades: limits, and what strategies have declared; by name, in their own units.

The table is made once, before the loop starts, and lies in the run's shared memory: the loop has numbers with their
ranges and rules, who asks has names, units and what one of each number is worth. Where a limit can be proven to be
safe (no sum or product overflows) depends on the others: `Rule`s are that proof, made for the largest values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from crosswire.engine.build.market import instrument_names, underlying_names
from crosswire.engine.build.run import Core
from crosswire.engine.config import ConfigError, FlattenConfig, RunConfig
from crosswire.engine.control.mailbox import NOBODYS, Parameter, ParameterText, Rule
from crosswire.engine.report.facts import strategy_names
from crosswire.engine.state import Engine
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import load_i64
from crosswire.nic.memory.struct import Array, Struct, address_of
from crosswire.risk.gate import NO_LIMIT, Gate
from crosswire.risk.limits import DEAD_MAN_MIN_MS, DURATION_MAX_MS, lots_provable
from crosswire.strategies.interface import Strategy, parameters_of
from crosswire.strategies.parameters import declared_parameters, has_number
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, text_of
from crosswire.venues.order import ORDERS_MAX

MONEY_MAX = (1 << 62) - 1
MS = Fraction(1, NS_PER_MS)
NANO = Fraction(1, E9)
BPS = Fraction(10_000, E9)
ONE = Fraction(1)


@dataclass(frozen=True)
class Changeable:
    """One number that may be changed."""

    name: str  # dotted, as in the configuration, with names of venues, instruments and strategies
    unit: str
    step: Fraction  # what one is worth
    address: int
    least: int
    most: int
    strategy: int  # NOBODYS: a limit's


@dataclass(frozen=True)
class Named:
    """A parameter as it is shown: in its unit."""

    place: int
    name: str
    unit: str
    least: Decimal
    most: Decimal
    now: Decimal


def field_address(struct: Struct, name: str) -> int:
    """Find where a field lies; "a.b" is one of a struct in place."""
    owner, _, rest = name.partition(".")
    if rest:
        return field_address(getattr(struct, owner), rest)
    return address_of(struct) + type(struct).fields[name].offset


class Table:
    """The parameters and rules of a run, being gathered."""

    def __init__(self) -> None:
        self.parameters: list[Changeable] = []
        self.rules: list[tuple[int, int, int, int, int, int]] = []  # as `Rule`

    def add(
        self,
        name: str,
        unit: str,
        step: Fraction,
        struct: Struct,
        field: str,
        least: int = 1,
        most: int = MONEY_MAX,
        strategy: int = NOBODYS,
    ) -> int:
        """Add a parameter, whose range holds what is configured; return its place. `strategy` is told of changes."""
        address = field_address(struct, field)
        now = load_i64(address)
        self.parameters.append(Changeable(name, unit, step, address, min(least, now), max(most, now), strategy))
        return len(self.parameters) - 1

    def add_ms(self, name: str, struct: Struct, field: str, least_ms: int = 1) -> None:
        """Add a duration."""
        self.add(name, "ms", MS, struct, field, least_ms * NS_PER_MS, DURATION_MAX_MS * NS_PER_MS)

    def add_bps(self, name: str, struct: Struct, field: str) -> None:
        """Add a fraction of a price, up to all of it."""
        self.add(name, "bps", BPS, struct, field, 1, E9)

    def at_most(self, lower: int, upper: int) -> None:
        """Have one parameter be no more than another."""
        self.rules.append((lower, 1, upper, -1, 0, 0))


def table_of(core: Core, config: RunConfig) -> Table:
    """Gather what may be changed in a run."""
    table, engine = Table(), core.engine
    add_run_limits(table, engine.gate, config)
    names = instrument_names(config)
    for number, venue in enumerate(config.venue):
        what, limits = f"venue.{venue.name}", engine.gate.venues[number]
        table.add(f"{what}.limits.open_orders_max", "orders", ONE, limits, "open_orders_max", 1, ORDERS_MAX)
        table.add(f"{what}.limits.notional_max", "quote", NANO, limits, "notional_max_e9")
        for each in venue.instrument:
            index = names.index(f"{venue.name}/{each.symbol}")
            add_instrument_limits(table, engine.gate, index, f"{what}.instrument.{each.symbol}.limits")
    for number, (name, strategy) in enumerate(zip(strategy_names(config), core.strategies, strict=True)):
        add_strategy(table, engine.gate, number, name, strategy)
    return table


def add_run_limits(table: Table, gate: Gate, config: RunConfig) -> None:
    """Add the limits of the whole run and of its underlyings."""
    profit_most = gate.profit_max_e9 - 1
    table.add("limits.loss_max", "quote", NANO, gate, "loss_max_e9", 1, profit_most)
    if gate.realised_loss_max_e9 != NO_LIMIT:
        table.add("limits.realised_loss_max", "quote", NANO, gate, "realised_loss_max_e9", 1, profit_most)
    if gate.dead_man_ns != 0:
        table.add_ms("limits.dead_man_ms", gate, "dead_man_ns", DEAD_MAN_MIN_MS)
    table.add("limits.account.gross_max", "quote", NANO, gate, "gross_max_e9")
    table.add("limits.account.net_max", "quote", NANO, gate, "net_max_e9")
    for number, name in enumerate(underlying_names(config)):
        what, limits = f"limits.underlying.{name}", gate.underlyings[number]
        table.add(f"{what}.gross_max", "quote", NANO, limits, "gross_max_e9")
        table.add(f"{what}.net_max", "quote", NANO, limits, "net_max_e9")
        table.add(f"{what}.delta_max", "base", NANO, limits, "delta_max_e9")
        if limits.unhedged_max_e9 != 0:
            most = table.add(f"{what}.leg_risk.unhedged_max", "base", NANO, limits, "unhedged_max_e9")
            hedged = table.add(f"{what}.leg_risk.hedged_within", "base", NANO, limits, "hedged_within_e9")
            table.at_most(hedged, most)
            table.add_ms(f"{what}.leg_risk.unhedged_ms_max", limits, "unhedged_max_ns")


def add_instrument_limits(table: Table, gate: Gate, index: int, what: str) -> None:
    """Add the limits of an instrument. Its price_max is what everything else was proven with: that stays."""
    limits, instrument = gate.limits[index], gate.instruments[index]
    lot, unit = Fraction(instrument.lot_e9, E9), size_unit(instrument)
    provable = lots_provable(gate, instrument, limits)
    order = table.add(f"{what}.order_max", unit, lot, limits, "order_lots_max", 1, provable)
    position = table.add(f"{what}.position_max", unit, lot, limits, "position_lots_max", 1, provable)
    table.at_most(order, position)
    # What the sums of exposures are proven for.
    table.rules.append((position, 2, order, 1, provable, field_address(gate.exposures[index], "lots_proven")))
    if instrument.kind == Kind.SPOT and limits.short_lots_max != 0:
        table.add(f"{what}.borrow_max", unit, lot, limits, "short_lots_max", 0, provable)
    table.add(f"{what}.order_notional_max", "quote", NANO, limits, "order_notional_max_e9")
    table.add_bps(f"{what}.price_collar_bps", limits, "collar_e9")
    table.add_ms(f"{what}.book_age_max_ms", limits, "book_age_max_ns")
    table.add_ms(f"{what}.mark_age_max_ms", limits, "mark_age_max_ns")


def size_unit(instrument: Instrument) -> str:
    """Name what an instrument's sizes are in."""
    return text_of(instrument.quote if instrument.payoff == Payoff.INVERSE else instrument.base)


def add_strategy(table: Table, gate: Gate, number: int, name: str, strategy: Strategy) -> None:
    """Add a strategy's own limits, and the parameters that its class declares."""
    limits = gate.strategies[number]
    if limits.is_limited != 0:
        table.add(f"strategy.{name}.limits.notional_max", "quote", NANO, limits, "notional_max_e9")
        most = gate.profit_max_e9 - 1
        table.add(f"strategy.{name}.limits.loss_max", "quote", NANO, limits, "loss_max_e9", 1, most)
    for parameter, each in declared_parameters(parameters_of(type(strategy))).items():
        if not each.field:
            continue
        if not has_number(type(strategy), each.field):
            raise ConfigError(f"strategy {name}: parameter {parameter}: {each.field} is no number of its struct")
        step = Fraction(each.step)
        assert each.least is not None, "as `Parameter` checks"
        assert each.most is not None, "as above"
        least, most = ceil(Fraction(each.least) / step), floor(Fraction(each.most) / step)
        what = f"strategy.{name}.parameters.{parameter}"
        table.add(what, each.unit, step, strategy, each.field, least, most, number)


def set_control(core: Core, config: RunConfig) -> None:
    """Give the loop what commands need. ConfigError: a name is too long, or a strategy declares what is not there."""
    control, flatten = core.engine.control, config.control.flatten if config.control else FlattenConfig()
    control.flatten.interval_ns = flatten.interval_ms * NS_PER_MS
    control.flatten.tries_max = flatten.tries
    control.flatten.band_e9 = int(flatten.band_bps / 10_000 * E9)
    table = table_of(core, config)
    control.parameter_count, control.rule_count = len(table.parameters), len(table.rules)
    control.parameters = Parameter.array(max(1, len(table.parameters)))
    control.texts = ParameterText.array(max(1, len(table.parameters)))
    control.rules = Rule.array(max(1, len(table.rules)))
    for place, each in enumerate(table.parameters):
        parameter, text = control.parameters[place], control.texts[place]
        parameter.address, parameter.least, parameter.most = each.address, each.least, each.most
        parameter.strategy = each.strategy
        text.numerator, text.denominator = each.step.numerator, each.step.denominator
        for field, value in ((text.name, each.name), (text.unit, each.unit)):
            data = value.encode()
            if len(data) > len(field):
                raise ConfigError(f"{value}: longer than {len(field)} bytes, which no command can name")
            field.numpy()[: len(data)] = list(data)
    for place, values in enumerate(table.rules):
        for field_name, number in zip(Rule.fields, values, strict=True):
            setattr(control.rules[place], field_name, number)


def named_parameters(engine: Engine) -> Iterator[Named]:
    """List what may be changed, as it is now; of this process's run, or of one that it is attached to."""
    control = engine.control
    for place in range(control.parameter_count):
        parameter, text = control.parameters[place], control.texts[place]
        control.memory.check(parameter.address, 8)
        now = load_i64(parameter.address)
        values = [decimal_of(number, text) for number in (parameter.least, parameter.most, now)]
        yield Named(place, _text(text.name), _text(text.unit), *values)


def numbers_of(engine: Engine, values: Sequence[tuple[str, Decimal]]) -> list[tuple[int, int]]:
    """Make the items of a SET from names and values. ValueError: one line about the first that can't be."""
    places = {named.name: named for named in named_parameters(engine)}
    items = []
    for name, value in values:
        if name not in places:
            raise ValueError(f"{name}: can't be changed while the run trades")
        named = places[name]
        text = engine.control.texts[named.place]
        number = Fraction(value) * text.denominator / text.numerator
        if number.denominator != 1:
            raise ValueError(f"{name} = {value}: must be a multiple of {decimal_of(1, text)} {named.unit}")
        if not named.least <= value <= named.most:
            raise ValueError(f"{name} = {value}: must be {named.least} to {named.most} {named.unit}")
        items.append((named.place, int(number)))
    return items


def decimal_of(number: int, text: ParameterText) -> Decimal:
    """Value a number in its unit; exact, as steps are decimals."""
    return (Decimal(number) * text.numerator / text.denominator).normalize() + 0


def _text(field: Array) -> str:
    return bytes(field).rstrip(b"\0").decode()
