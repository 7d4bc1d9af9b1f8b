"""`crosswire bench tick-to-trade`: from a received frame to the order on its ring, inside the loop, by the TSC.

    crosswire bench tick-to-trade [--triggers 100000] [--rounds 3] [--fifo]

The loop of `engine.loop`, unchanged, runs `cross_spread` and the risk gate over two venues on shared-memory rings, on a
core of its own; two made-up exchanges (`tick_to_trade_exchange`) run in a thread on another. A trigger is a delta of
four level changes that makes both legs go out. A latency starts when `poll` has given that frame and ends when the
order's descriptor is visible to the other core: the first leg's, and in rounds of their own the second's. Nothing is
subtracted; on AMD the counter moves in steps of 10 ns. The first WARM_UP triggers of a round do not count.

The budget comes from one more round, with stamps at the stages' borders too, each less the cost of a stamp. On a shared
machine the tail is the scheduler's: `--fifo` takes the neighbours out (SCHED_FIFO). Figures are medians over rounds, of
which each one's p50 and p99 are printed too. The last line is one JSON object.
"""

import argparse
import ctypes
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from crosswire.engine.build.run import Run, build_core
from crosswire.engine.build.venue import order_flow, venue_setup
from crosswire.engine.config import load_config
from crosswire.engine.loop import Status
from crosswire.engine.seat import set_seat
from crosswire.engine.venue import VenueParts
from crosswire.nic.clock import RATE_BITS, ClockKeeper, LiveClock
from crosswire.nic.host.process import pin_thread, run_first_in_first_out
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import elements, read_memory
from crosswire.nic.memory.struct import Struct, array, i64, one
from crosswire.nic.rings.shared import SharedMemory
from crosswire.nic.unit.call import call_unit, machine_code
from crosswire.nic.unit.kinds import kind_of
from crosswire.nic.unit.unit import load_units
from crosswire.risk.gate import Veto
from crosswire.risk.records import VERSION, OrderRecord, RecordKind
from crosswire.strategies.cross_spread import CrossSpread
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.exchange.order_entry import make_session
from crosswire.venues.order import Applied, OrderState
from tests.bench.tick_to_trade_exchange import EXCHANGES, Exchanges, run_exchanges, set_exchange
from tests.bench.tick_to_trade_stamps import (
    DECIDED,
    DECODED,
    DECODING,
    FIRST_CHECKED,
    FIRST_SENT,
    LAST_CHECKED,
    LAST_SENT,
    LEGS,
    LOOKING,
    MARKS,
    POLLED,
    WALKED,
    WALKED_AGAIN,
    StampFeed,
    StampRing,
    Stamps,
    StampSession,
    StampSpread,
    mark_costs,
    stamp_costs,
)

WARM_UP = 2_000  # triggers: caches, branch predictors, the first drains
WIRE_FRAMES = 64  # each way: few enough to stay in a cache
QUIET_FRAMES_MAX = 4
PAUSE_NS_MAX = 2_000
PATIENCE_S = 5.0
KEEP_CLOCK_S = 0.5
FIFO_PRIORITY = 50
COST_ROUNDS = 10_000
GOAL_P50_NS, GOAL_P99_NS = 500, 1_000
STAGES = ("decode", "book", "signal", "risk", "frame", "loop and ring")

RUN = """
name = "tick-to-trade"
[strategy]
use = "cross_spread"
[strategy.parameters]
instruments = ["first/BTCUSDT", "second/BTCUSDT"]
threshold_bps = 0.1
depth = 3
size_max = 0.05
position_max = 5
unwind_loss_max_bps = 10
[limits]
loss_max = 1_000_000
self_trade_prevention = true

[limits.account]
gross_max = 10_000_000
net_max = 10_000_000
orders_per_second = 1_000_000
burst = 1_000_000
[limits.underlying.BTC]
gross_max = 1_000_000
net_max = 1_000_000
delta_max = 1_000
"""
VENUE = """
[[venue]]
name = "NAME"
feed = "bridge"
captures = ["none.pcap"]
limits = { orders_per_second = 1_000_000, burst = 1_000_000, open_orders_max = 16, notional_max = 10_000_000 }
[venue.simulation]
feed_latency = { model = "constant", us = 0 }
order_latency = { model = "constant", us = 0 }
response_latency = { model = "constant", us = 0 }
orders_per_second = 1
burst = 1
[[venue.instrument]]
symbol = "BTCUSDT"
kind = "perpetual"
payoff = "linear"
underlying = "BTC"
base = "BTC"
quote = "USDT"
settlement = "USDT"
tick = 0.1
lot = 0.001
contract = 1
maker_fee_bps = 0
taker_fee_bps = 0.1
[venue.instrument.limits]
order_max = 0.5
order_notional_max = 30_000
position_max = 5
price_max = 1_000_000
price_collar_bps = 20
book_age_max_ms = 2_000
mark_age_max_ms = 60_000
"""


def staged(base: Struct, cls: Any, stamps: Stamps) -> Any:
    """A copy of `base` as its subclass `cls`, which stamps; the caller keeps `base` alive."""
    copy = cls(stamps=one(stamps))
    ctypes.memmove(copy.address, base.address, type(base).size)
    return copy


@dataclass
class Rig:
    """One round: the engine, its wires, the exchanges, what was measured."""

    run: Run
    strategy: CrossSpread
    clock: LiveClock
    exchange_clock: LiveClock  # its own: the loop writes into its clock's cache line at every turn
    stamps: Stamps
    exchanges: Exchanges
    wires: list[SharedMemory]
    kept: list[Struct]  # what compiled code points to
    journal: MemoryJournal
    drains: int = 0
    orders: dict[str, int] = field(default_factory=dict)  # by how they ended
    failures: list[str] = field(default_factory=list)

    def close(self) -> None:
        for wire in self.wires:
            wire.close()

    def drain(self) -> None:
        """Count the ended orders and begin the journal again."""
        self.drains += 1
        for batch in read_memory(self.journal).batches():
            states = elements(rows := batch.of(RecordKind.ORDER_ENDED, OrderRecord, VERSION), OrderRecord)
            for place in range(len(rows)):
                name = OrderState(states[place].state).name
                self.orders[name] = self.orders.get(name, 0) + 1
        self.journal.take()

    def ns_per_cycle(self) -> float:
        return float(self.clock.calibrations[self.clock.current].rate / (1 << RATE_BITS))


def build_rig(triggers: int, leg: int, with_stages: bool, run_text: str = RUN) -> Rig:
    """Everything for one round of `triggers`, warm-up included; `run_text`: the configuration above its venues."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tick-to-trade.toml"
        path.write_text(run_text + VENUE.replace("NAME", "first") + VENUE.replace("NAME", "second"))
        config = load_config(path)
        core = build_core(config, path)
    stamps = Stamps(leg=leg, capacity=triggers)
    stamps.latencies = array(i64, triggers)
    stamps.rows = array(i64, triggers * MARKS if with_stages else 1)
    exchanges = Exchanges(
        triggers=triggers,
        random=1,
        quiet_frames_max=QUIET_FRAMES_MAX,
        pause_ns_max=PAUSE_NS_MAX,
        patience_ns=round(PATIENCE_S * 1e9),
    )
    market = core.engine.market
    wires = [
        SharedMemory(f"crosswire-bench-{os.getpid()}-{number}", create=True, frames=WIRE_FRAMES)
        for number in range(EXCHANGES)
    ]
    kept: list[Struct] = []
    parts = []
    for number, wire in enumerate(wires):
        wire.path.unlink()  # both ends are here: nothing is left behind, however the process ends
        flow = order_flow(config.venue[number].name)
        session: Struct = make_session(venue_setup(number, config, market, path))
        near, far = wire.end(0), wire.end(1)
        kept += [session, near, far]
        if with_stages:
            session = staged(session, StampSession, stamps)
        feed = StampFeed(venue=number, stamps=one(stamps)) if with_stages else BridgeFeed(venue=number)
        parts.append(VenueParts(StampRing(inner=one(near), stamps=one(stamps)), feed, session))
        set_exchange(exchanges.items[number], number, far, market, flow)
    (strategy,) = core.strategies
    assert isinstance(strategy, CrossSpread)
    if with_stages:
        strategy = staged(strategy, StampSpread, stamps)
        set_seat(core.engine.seats[0], 0, strategy, core.linker)
    clock = LiveClock()
    run = Run(config, path, core, tuple(parts), clock, [])
    return Rig(run, strategy, clock, LiveClock(), stamps, exchanges, wires, kept, MemoryJournal(run.engine.journal))


def compiled_for(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """`function` as machine code, which is loaded for these arguments before its first call."""
    load_units([call_unit(function, tuple(map(kind_of, arguments)))])
    return machine_code(function)


def run_rig(rig: Rig, loop_core: int, exchange_core: int, fifo: bool, exchange_fifo: bool | None = None) -> None:
    """Both threads from start to end; what went wrong is in `rig.failures`. `exchange_fifo` None: as `fifo`."""
    rig.run.load()
    exchange = compiled_for(run_exchanges, rig.exchanges, rig.exchange_clock)
    state = rig.run.engine.state
    state.tells_turns = 1  # as in a live run
    # Not before: a clock that nobody keeps while the loop compiles comes to a stop.
    keepers = [ClockKeeper(clock) for clock in (rig.clock, rig.exchange_clock)]

    def guarded(name: str, core: int, is_first: bool, body: Callable[[], None]) -> threading.Thread:
        def work() -> None:
            try:
                pin_thread(core)
                if is_first:
                    run_first_in_first_out(FIFO_PRIORITY)
                body()
            except BaseException as error:  # a thread's error would be printed and forgotten
                rig.failures.append(f"{name}: {error}")
            finally:
                state.stop = 1

        return threading.Thread(target=work, name=name)

    def turn() -> None:
        status = Status.JOURNAL
        while status == Status.JOURNAL:
            status = rig.run.turn()
            rig.drain()

    def trade() -> None:
        result = exchange(rig.exchanges, rig.exchange_clock)
        if result:
            reason = ("", "no logon", f"no orders in {PATIENCE_S} s", "the wire is full")[result]
            rig.failures.append(f"trigger {rig.exchanges.done}: {reason}")

    exchange_first = fifo if exchange_fifo is None else exchange_fifo
    threads = [guarded("loop", loop_core, fifo, turn), guarded("exchanges", exchange_core, exchange_first, trade)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(KEEP_CLOCK_S)
            for keeper in keepers:
                keeper.keep(KEEP_CLOCK_S)


def problems(rig: Rig) -> list[str]:
    """Everything that makes a round's figures worthless."""
    engine, exchanges = rig.run.engine, rig.exchanges
    triggers = exchanges.triggers
    found = list(rig.failures)
    outcomes = engine.orders.outcomes
    accepted = sum(each.matching.accepted for each in exchanges.items)
    vetoes = {veto.name: engine.gate.vetoes[veto] for veto in Veto if veto != Veto.NONE and engine.gate.vetoes[veto]}
    for what, is_so in (
        (f"{rig.stamps.count} triggers were stamped of {triggers}", rig.stamps.count != triggers),
        (f"{accepted} orders were accepted of {LEGS * triggers}", accepted != LEGS * triggers),
        (f"orders ended {rig.orders}", rig.orders != {"FILLED": LEGS * triggers}),
        (f"vetoes {vetoes}", bool(vetoes)),
        (f"{sum(part.feed.sequence_gaps for part in rig.run.parts)} gaps",
         any(part.feed.sequence_gaps or part.feed.continuity_breaks for part in rig.run.parts)),
        (f"alarms {engine.gate.alarms}", bool(engine.gate.alarms or rig.strategy.legs.alarms)),
        (f"reports {list(outcomes)}", any(outcomes[outcome] for outcome in Applied if outcome > Applied.CLOSED)),
    ):  # fmt: skip
        if is_so:
            found.append(what)
    return found


def percentiles(latencies_ns: Any) -> dict[str, float]:
    """Exact, of all samples: the smallest value that so large a share does not exceed."""
    ordered = np.sort(latencies_ns)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: float(ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]) for name, share in shares.items()}


def measure(leg: int, with_stages: bool, options: argparse.Namespace) -> tuple[Rig, Any]:
    """One round; the rig, closed, and ns of each trigger that counts (rows of marks with the stages stamped)."""
    triggers = options.warm_up + options.triggers
    rig = build_rig(triggers, leg, with_stages)
    try:
        run_rig(rig, options.loop_core, options.exchange_core, options.fifo)
    finally:
        rig.close()
    found = problems(rig)
    if found:
        sys.exit("bench tick-to-trade: " + "; ".join(found))
    if with_stages:
        cycles = rig.stamps.rows.numpy().reshape(triggers, MARKS)
    else:
        cycles = rig.stamps.latencies.numpy()
    return rig, cycles[options.warm_up :] * rig.ns_per_cycle()


def cost_ns(function: Callable[..., None], ns_per_cycle: float) -> float:
    """Median of what a pair of stamps measures when nothing is between them."""
    costs = array(i64, COST_ROUNDS)
    compiled_for(function, COST_ROUNDS, costs)(COST_ROUNDS, costs)
    return float(np.median(costs.numpy())) * ns_per_cycle


def budget(rows: Any, mark_ns: float) -> dict[str, float]:
    """ns of each stage up to both legs sent: medians, each interval less a stamp.

    Decoding is walked twice before it is done: the first walk is what decoding costs, frame bytes still in the other
    core's cache; what the second one takes is taken off what follows, and that is the book. Between two orders there is
    nothing but the order table and the gate, so that is the risk of each.
    """

    def between(start: int, end: int) -> float:
        return float(np.median(rows[:, end] - rows[:, start])) - mark_ns

    one_risk = between(FIRST_SENT, LAST_CHECKED)
    parts = {
        "decode": between(POLLED, DECODING) + between(DECODING, WALKED),
        "book": between(WALKED_AGAIN, DECODED) - between(WALKED, WALKED_AGAIN),
        "signal": between(LOOKING, DECIDED),
        "risk": LEGS * one_risk,
        "frame": between(FIRST_CHECKED, FIRST_SENT) + between(LAST_CHECKED, LAST_SENT),
        "loop and ring": between(DECODED, LOOKING) + between(DECIDED, FIRST_CHECKED) - one_risk,
    }
    assert tuple(parts) == STAGES
    return parts


def print_tables(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"frame received to order visible, ns, {figures['triggers']:,} triggers (medians over rounds)")
    columns = ("p50", "p90", "p99", "p99.9", "max")
    for column in ("", *columns, "p50 / p99 of every round"):
        table.add_column(column, justify="right" if column in columns else "left")
    for name in ("first leg", "both legs"):
        each = figures[name]
        rounds = ", ".join(f"{p50:.0f} / {p99:.0f}" for p50, p99 in each["rounds"])
        table.add_row(name, *(f"{each[column]:,.0f}" for column in columns), rounds)
    console.print(table)
    stages = Table(title="budget, ns: medians up to both legs sent")
    for column in ("stage", "ns", "share"):
        stages.add_column(column, justify="left" if column == "stage" else "right")
    total = sum(figures["budget"].values())
    for name, value in figures["budget"].items():
        stages.add_row(name, f"{value:.0f}", f"{100 * value / total:.0f} %")
    stages.add_row("sum", f"{total:.0f}", "")
    stages.add_row("measured without stage stamps", f"{figures['both legs']['p50']:.0f}", "")
    console.print(stages)
    pair_ns, mark_ns = figures["stamp_pair_ns"], figures["mark_ns"]
    console.print(f"in each latency: {pair_ns:.0f} ns of its own two stamps; a stage's stamp, {mark_ns:.0f} ns, is not")


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crosswire bench tick-to-trade", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--triggers", type=int, default=100_000)
    parser.add_argument("--warm-up", type=int, default=WARM_UP)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop-core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--exchange-core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling of both threads")
    return parser.parse_args(arguments)


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; figures in ns."""
    names = {1: "first leg", LEGS: "both legs"}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names.values()}
    for _ in range(options.rounds):
        for leg, name in names.items():
            rig, latencies = measure(leg, False, options)
            rounds[name].append(percentiles(latencies))
    figures: dict[str, Any] = {"triggers": options.triggers, "orders_filled": rig.orders["FILLED"]}
    for name, results in rounds.items():
        middle: dict[str, Any] = {column: float(np.median([each[column] for each in results])) for column in results[0]}
        figures[name] = middle | {"rounds": [(each["p50"], each["p99"]) for each in results]}
    rig, rows = measure(LEGS, True, options)
    figures["stamp_pair_ns"] = cost_ns(stamp_costs, rig.ns_per_cycle())
    figures["mark_ns"] = cost_ns(mark_costs, rig.ns_per_cycle())
    figures["budget"] = budget(rows, figures["mark_ns"])
    figures["ns_per_cycle"] = rig.ns_per_cycle()
    figures["goal_met"] = figures["first leg"]["p50"] < GOAL_P50_NS and figures["first leg"]["p99"] < GOAL_P99_NS
    return figures


def main() -> None:
    figures = bench(parse_options())
    print_tables(figures, Console(width=120))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
