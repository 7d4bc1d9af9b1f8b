"""What each callback of a strategy takes, compiled, over the whole of a configuration's data.

The strategy's class is wrapped: a subclass of it implements each callback by reading the counter, calling the author's
own function, and reading the counter again. So it sees the same books and sends the same orders as in any run.
"""

import functools
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from crosswire.engine.backtest import turn_until_finished
from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import build_run
from crosswire.engine.checking.sources import CALLBACKS, callbacks_of
from crosswire.engine.config import ConfigError, RunConfig, StrategyConfig, load_config
from crosswire.engine.data import prepare_data
from crosswire.engine.plugin import BUILT_IN, find_strategy_class
from crosswire.nic.histogram import Histogram, add_latency, percentile_ns
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.memory.raw import copy_bytes, cycle_count, cycle_count_in_order
from crosswire.nic.memory.struct import Array, StructMeta, address_of, one
from crosswire.nic.unit.compile import NO_JIT, compiled
from crosswire.nic.unit.source import resolved
from crosswire.strategies.desk import Desk
from crosswire.strategies.interface import Strategy
from crosswire.venues.order import Order, Report

SCALE = "cross_spread"  # what a strategy's times stand beside
TIMES = len(CALLBACKS) + 1
EMPTY = len(CALLBACKS)  # the place of what reading the counter twice takes by itself


@dataclass(frozen=True)
class CallbackTime:
    """One callback's times, ns."""

    strategy: str
    callback: str
    calls: int
    median_ns: float
    most_ns: float

    def facts(self) -> dict[str, str | int | float]:
        """Give them for JSON."""
        return asdict(self)


@compiled
def note(strategy: Any, place: int, begun: int) -> None:
    """Take in a callback that began at `begun`, and how long nothing takes."""
    ended = cycle_count_in_order()
    nothing = cycle_count_in_order() - ended
    add_latency(strategy.callback_times[place], ended - begun)
    add_latency(strategy.callback_times[EMPTY], nothing)


def timed(place: int, inner: Callable[..., Any], parameters: int) -> Callable[..., Any]:
    """Make the callback at `place` of CALLBACKS: it calls `inner`, of so many parameters, and notes the time."""

    def run_2(strategy: Any, desk: Desk) -> None:
        begun = cycle_count_in_order()
        inner(strategy, desk)
        note(strategy, place, begun)

    def run_3(strategy: Any, desk: Desk, third: Any) -> None:
        begun = cycle_count_in_order()
        inner(strategy, desk, third)
        note(strategy, place, begun)

    def run_4(strategy: Any, desk: Desk, order: Order, report: Report) -> None:
        begun = cycle_count_in_order()
        inner(strategy, desk, order, report)
        note(strategy, place, begun)

    def run_6(strategy: Any, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int) -> None:
        begun = cycle_count_in_order()
        inner(strategy, desk, instrument, side, price_ticks, qty_lots)
        note(strategy, place, begun)

    by_count: dict[int, Callable[..., Any]] = {2: run_2, 3: run_3, 4: run_4, 6: run_6}
    return by_count[parameters]


def timed_class(cls: type[Strategy]) -> type[Strategy]:
    """Make the subclass of a strategy that times its callbacks, as a name of its module; the same one again."""
    name, module = f"Timed{cls.__name__}", sys.modules[cls.__module__]
    if name in vars(module):
        found: type[Strategy] = vars(module)[name]
        return found
    plain: Any = inspect.getattr_static(cls, "build").__func__

    @functools.wraps(plain)
    def build(wrapped: type[Strategy], parameters: Any, context: Any) -> Strategy:
        made = cls.build(parameters, context)
        strategy = wrapped()
        copy_bytes(address_of(strategy), address_of(made), type(made).size)
        strategy.memory.targets[0] = one(made)  # what it points to lives as long
        return strategy

    fields = {"callback_times": Annotated[Array, Histogram, TIMES]}
    namespace = {
        "__annotations__": fields,
        "__module__": cls.__module__,
        "__qualname__": name,
        "build": classmethod(build),
    }
    wrapped: Any = StructMeta(name, (cls,), namespace)
    for generic, function in list(callbacks_of(cls)):
        parameters = len(inspect.signature(generic).parameters)
        generic.register(wrapped)(timed(CALLBACKS.index(generic), compiled(function), parameters))
    setattr(module, name, wrapped)
    return wrapped


def time_callbacks(classes: list[type[Strategy]], config_path: Path) -> tuple[list[CallbackTime], str]:
    """Run a configuration once, its strategies that are of these classes timed, then the built-in one on its data.

    Return the times, and why the built-in one's are not among them; "" if they are, or are the only ones.
    ConfigError: none of the classes is in it, or it does not run.
    """
    if NO_JIT:
        raise ConfigError(f"{config_path}: times are those of compiled code; unset CROSSWIRE_NO_JIT")
    config = load_config(config_path)
    prepare_data(config, config_path, None)
    files = {(resolved(inspect.getfile(each)), each.__name__) for each in classes}
    strategies, found = [], False
    for each in config.strategies:
        cls = find_strategy_class(each.use, config_path.parent, str(config_path))
        if (resolved(inspect.getfile(cls)), cls.__name__) in files:
            wrapped, found = timed_class(cls), True
            each = msgspec.structs.replace(each, use=f"{wrapped.__module__}:{wrapped.__name__}")
        strategies.append(each)
    if not found:
        names = ", ".join(cls.__name__ for cls in classes)
        raise ConfigError(f"{config_path}: none of its strategies is {names}; name it in [strategy] use")
    times = run_timed(config, config_path, strategies)
    if any(cls.__module__.startswith("crosswire.") for cls in classes):
        return times, ""
    try:
        return times + built_in_times(config, config_path), ""
    except ConfigError as error:
        return times, f"{SCALE} is not beside them: it can't trade these instruments ({str(error).rpartition(': ')[2]})"


def built_in_times(config: RunConfig, config_path: Path) -> list[CallbackTime]:
    """Time the built-in strategy over the same instruments. ConfigError: it can't trade them."""
    cls = timed_class(find_strategy_class(SCALE, config_path.parent, str(config_path)))
    parameters = {"threshold_bps": 1, "size_max": "0.001", "position_max": "0.001", "unwind_loss_max_bps": 10}
    use = StrategyConfig(
        use=f"{cls.__module__}:{cls.__name__}", parameters={"instruments": instrument_names(config), **parameters}
    )
    return run_timed(config, config_path, [use])


def run_timed(config: RunConfig, config_path: Path, strategies: list[StrategyConfig]) -> list[CallbackTime]:
    """Run a configuration with these strategies, its records thrown away; the times of those that note them."""
    one_only = len(strategies) == 1
    run = build_run(msgspec.structs.replace(config, strategy=strategies[0] if one_only else strategies), config_path)
    try:
        run.load()
        begun_ns, begun = time.perf_counter_ns(), cycle_count()
        turn_until_finished(run, MemoryJournal(run.engine.journal))
        ns_a_cycle = (time.perf_counter_ns() - begun_ns) / (cycle_count() - begun)
    finally:
        run.close()
    return [each for strategy in run.core.strategies for each in times_of(strategy, ns_a_cycle)]


def times_of(strategy: Strategy, ns_a_cycle: float) -> Iterator[CallbackTime]:
    """List the times that a strategy has noted, without what reading the counter takes."""
    if "callback_times" not in type(strategy).fields:
        return
    histograms = strategy.callback_times  # type: ignore[attr-defined]
    empty = percentile_ns(histograms[EMPTY], 50)
    name = type(strategy).__name__.removeprefix("Timed")
    for place, generic in enumerate(CALLBACKS):
        histogram = histograms[place]
        if histogram.count:
            median = max(0, percentile_ns(histogram, 50) - empty) * ns_a_cycle
            most = max(0, histogram.max_ns - empty) * ns_a_cycle
            yield CallbackTime(name, generic.__name__, histogram.count, median, most)


assert SCALE in BUILT_IN
