"""How a strategy is written: a `Strategy` struct, its parameters, and plain functions registered for it.

    class Parameters(msgspec.Struct, forbid_unknown_fields=True):
        edge_bps: Annotated[Decimal, Parameter("bps", "least edge that starts a trade", least=0, most=100)]

    class Mine(Strategy):
        edge_e9: i64                                    # its state: fixed-size fields only

        @classmethod
        def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
            return cls(edge_e9=int(parameters.edge_bps * 100_000))

    @on_book.register(Mine)
    def act(strategy: Mine, desk: Desk, instrument: int) -> None:
        ...

`build` runs once, in plain Python; the registered functions are compiled into the loop. What a strategy does not
register does nothing. `parameters_of` finds the class of `build`'s first argument, which validates the configuration.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from crosswire.nic.memory.struct import Struct
from crosswire.nic.unit.compile import generic, inlined
from crosswire.risk.gate import InstrumentLimits
from crosswire.strategies.desk import Desk
from crosswire.strategies.parameters import out_of_range
from crosswire.venues.instrument import Instrument
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.order import Order, Report


class Strategy(Struct):
    """Base of all strategies."""

    @classmethod
    def build(cls, parameters: Any, context: "BuildContext") -> Self:
        """Make the strategy from its validated parameters; raise ValueError with one clear line on contradictions."""
        raise TypeError(f"{cls.__qualname__} has no build()")

    def counters(self) -> dict[str, int]:
        """Return what the strategy counted and the run's summary should show, by name."""
        return {}

    def series(self) -> list[str]:
        """Name the series that `record_value` writes, by their numbers; say the unit, as "basis, bps"."""
        return []

    @classmethod
    def messages(cls) -> list[str]:
        """List the lines that `log` says, by their numbers; {} is the place of a value (`strategies/messages.py`)."""
        return []


@dataclass(frozen=True)
class BuildContext:
    """What `build` may know: the instruments by market index and by their names, and what holding them costs."""

    instruments: list[Instrument]
    names: dict[str, int]  # "venue/symbol" -> market index
    holding: dict[str, HoldingTerms] = field(default_factory=dict)  # by "venue/symbol"
    limits: list[InstrumentLimits] = field(default_factory=list)  # the gate's, by market index; []: there is no gate

    def index_of(self, name: str) -> int:
        """Find the market index of "venue/symbol"; ValueError naming what there is."""
        if name not in self.names:
            raise ValueError(f"no instrument {name!r}; configured are {', '.join(sorted(self.names))}")
        return self.names[name]

    def holding_of(self, name: str) -> HoldingTerms:
        """Tell what [venue.instrument.money] says of "venue/symbol"; what is None in it is not known.

        A schedule has the whole of its file, what lies ahead of the run's clock included: see `strategies.funding`.
        """
        return self.holding.get(name, HoldingTerms())


def parameters_of(cls: type[Strategy]) -> type[msgspec.Struct]:
    """Find the msgspec class that validates a strategy's parameters: the annotation of build()'s first argument."""
    signature = inspect.signature(cls.build, eval_str=True)
    annotation = next(iter(signature.parameters.values())).annotation
    if not (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)):
        raise TypeError(f"{cls.__qualname__}.build(parameters: ...) must name a msgspec.Struct class")
    return annotation


def make_strategy(cls: type[Strategy], parameters: msgspec.Struct, context: BuildContext) -> Strategy:
    """Build a strategy from parameters that are all in range; ValueError: one line, with all that are not."""
    if wrong := [said for _, said in out_of_range(parameters)]:
        raise ValueError("; ".join(wrong))
    return cls.build(parameters, context)


@generic
def on_book(strategy: Strategy, desk: Desk, instrument: int) -> None:
    """Act on a changed, proven book; `desk.books[...]` are all up to date. Called once per packet and book."""


@generic
def on_trade(strategy: Strategy, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int) -> None:
    """Act on a trade of the market; `side` is the aggressor's. Called before on_book of the same packet."""


@generic
def on_book_lost(strategy: Strategy, desk: Desk, instrument: int) -> None:
    """Act on a book that became invalid: a gap or a halt. No on_book follows until it is proven again."""


@generic
def on_fill(strategy: Strategy, desk: Desk, order: Order, report: Report) -> None:
    """Act on one execution of an own order; `order` and the position already include it."""


@generic
def on_order(strategy: Strategy, desk: Desk, order: Order) -> None:
    """Act on an own order whose `state` changed (vetoed, live, rejected, cancelled, filled), or its `amend_state`."""


@generic
def on_timer(strategy: Strategy, desk: Desk) -> None:
    """Act on the time asked for with `wake_at`; ask again for the next."""


@generic
def on_named_timer(strategy: Strategy, desk: Desk, timer: int) -> None:
    """Act on the time asked for of `timer` with `set_timer`; it is set no more.

    What is due in one turn is called in this order: on_timer, then timers by their times, those of one time by their
    numbers; what one asks for is sent before the next is called.
    """


@generic
def on_parameters(strategy: Strategy, desk: Desk) -> None:
    """Derive what depends on the parameters: an operator has changed some, all at once, between two turns."""


@generic
def on_flattened(strategy: Strategy, desk: Desk) -> None:
    """Forget what was under way: an operator has had the account's positions traded away, and that has ended.

    `desk.positions` has what is left: nothing, or what the operator knows of. What was held for a trade is not there.
    """


@generic
def catch_up(strategy: Strategy, desk: Desk) -> None:
    """Do what an order need not wait for: called if `desk.catch_up_due` was set, once what was asked for has been sent.

    Nothing else of the strategy is called in between, and no book changes.
    """


@inlined
def catch_up_if_due(strategy: Strategy, desk: Desk) -> None:
    """Call `catch_up` if it is due: before anything else of the strategy is called."""
    if desk.catch_up_due != 0:
        desk.catch_up_due = 0
        catch_up(strategy, desk)


@generic
def on_finish(strategy: Strategy, desk: Desk) -> None:
    """Close open records: the run ends. Requests are no longer sent."""


@on_book.register(Strategy)
def _ignore_book(strategy: Strategy, desk: Desk, instrument: int) -> None:
    pass


@on_trade.register(Strategy)
def _ignore_trade(strategy: Strategy, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int) -> None:
    pass


@on_book_lost.register(Strategy)
def _ignore_book_lost(strategy: Strategy, desk: Desk, instrument: int) -> None:
    pass


@on_fill.register(Strategy)
def _ignore_fill(strategy: Strategy, desk: Desk, order: Order, report: Report) -> None:
    pass


@on_order.register(Strategy)
def _ignore_order(strategy: Strategy, desk: Desk, order: Order) -> None:
    pass


@on_timer.register(Strategy)
def _ignore_timer(strategy: Strategy, desk: Desk) -> None:
    pass


@on_named_timer.register(Strategy)
def _ignore_named_timer(strategy: Strategy, desk: Desk, timer: int) -> None:
    pass


@on_parameters.register(Strategy)
def _ignore_parameters(strategy: Strategy, desk: Desk) -> None:
    pass


@on_flattened.register(Strategy)
def _ignore_flattened(strategy: Strategy, desk: Desk) -> None:
    pass


@catch_up.register(Strategy)
def _ignore_catch_up(strategy: Strategy, desk: Desk) -> None:
    pass


@on_finish.register(Strategy)
def _ignore_finish(strategy: Strategy, desk: Desk) -> None:
    pass
