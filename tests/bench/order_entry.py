"""`crosswire bench order-entry`: an order onto the transmit ring, and from a market data frame to it, beside C.

    crosswire bench order-entry [--orders 20000] [--triggers 20000] [--rounds 5] [--fifo] [--no-c]

Two measures, the engine's and the C program's (`order_entry.c`) in turn in the same process, round by round:

send            from the call that sends a new order on a logged-on Starbase session until its descriptor is visible in
                the transmit ring: session, user-space TCP with its retransmit store, AF_XDP ring
tick to trade   from a frame of Starbase market data (one transaction: the best ask deleted, a bid put through the other
                venue) being in the receive ring until the first order's descriptor is visible, and the second's: the
                loop of `engine.loop`, unchanged, with `cross_spread` and the risk gate

The rings are AF_XDP's in plain memory, without a kernel (`order_entry_bed`). Everything runs in one thread, the
exchanges between the loop's turns, for both alike: two spinning threads on a shared machine of two cores would measure
its scheduler, and the frame's way from another core's cache, which is the card's business and the same for both (`bench
tick-to-trade` has it). A measurement begins when the descriptor is published and the loop's turn has not begun; nothing
is subtracted. The counter moves in steps of 10 ns on AMD, so ratios are also given of means below the p99.

The first tenth of a round does not count. Figures are medians over rounds. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from crosswire.nic.host.process import pin_thread, run_first_in_first_out
from crosswire.nic.memory.struct import array, i64
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from tests.bench.order_entry_c import load_library, why_not
from tests.bench.order_entry_peer import last_order
from tests.bench.order_entry_rig import NO_LEG, CRig, OurRig, Rig
from tests.bench.order_entry_stamps import LEGS, MARKS
from tests.bench.tick_to_trade import compiled_for
from tests.bench.tick_to_trade_stamps import mark_costs, stamp_costs

BURST = 8  # orders between two stamps: fewer than TCP's first window takes
FIFO_PRIORITY = 50
COST_ROUNDS = 10_000
GOAL_SEND_NS, GOAL_TRADE_NS, GOAL_RATIO = 100, 500, 1.5
COLUMNS = ("p50", "p90", "p99", "mean")
SEND, SEND_BURST, FIRST_LEG, BOTH_LEGS = "send", "send, a burst", "tick to trade, first leg", "tick to trade, both legs"
STAGES = ("poll and parse", "decode and book", "to the strategy", "signal", "requests and risk", "send")


def figures_of(cycles: Any, rig: Rig, divisor: int = 1) -> dict[str, float]:
    """ns, of all but the first tenth; `mean` is of what is below the p99."""
    ordered = np.sort(cycles[len(cycles) // 10 :]) * rig.ns_per_cycle() / divisor
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {name: float(ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]) for name, share in shares.items()}
    found["mean"] = float(ordered[: max(1, len(ordered) * 99 // 100)].mean())
    return found


def checked(found: list[str]) -> None:
    if found:
        sys.exit("bench order-entry: " + "; ".join(found))


class Bench:
    """All rounds of one run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.message = b""  # the last new order that the engine's session sent
        self.results: dict[str, list[dict[str, float]]] = {}
        self.budgets: dict[str, list[list[float]]] = {}
        self.libraries = {}
        if options.with_c:
            self.libraries = {stages: load_library(folder, stages) for stages in (False, True)}

    def keep(self, who: str, what: str, figures: dict[str, float]) -> None:
        self.results.setdefault(f"{who}: {what}", []).append(figures)

    def send(self, what: str, burst: int) -> None:
        count = self.options.orders // burst
        ours = OurRig(0)
        cycles, sent = ours.send(burst, count)
        checked([*ours.peer_problems(count * burst), *([] if sent == count * burst else [f"{sent} orders went out"])])
        self.message = last_order(ours.script.peers[0])[TCP_FRAME_HEADER_BYTES:]
        self.keep("ours", what, figures_of(cycles, ours, burst))
        if self.libraries:
            theirs = CRig(self.libraries[False], self.message, 0)
            cycles, sent = theirs.send(burst, count)
            checked(theirs.peer_problems(count * burst))
            self.keep("C", what, figures_of(cycles, theirs, burst))
            theirs.close()

    def trade(self, what: str, leg: int) -> None:
        triggers = self.options.triggers
        ours = OurRig(triggers, leg)
        ours.run()
        checked(ours.problems())
        self.keep("ours", what, figures_of(ours.script.latencies.numpy(), ours))
        if self.libraries:
            theirs = CRig(self.libraries[False], self.message, triggers, leg)
            theirs.run()
            checked(theirs.problems())
            self.keep("C", what, figures_of(theirs.script.latencies.numpy(), theirs))
            theirs.close()

    def budget(self) -> None:
        """One round more of each with the stages stamped."""
        triggers = self.options.triggers
        ours = OurRig(triggers, NO_LEG, True)
        rigs: list[tuple[str, OurRig | CRig]] = [("ours", ours)]
        if self.libraries:
            rigs.append(("C", CRig(self.libraries[True], self.message, triggers, NO_LEG, True)))
        for who, rig in rigs:
            rig.run()
            checked(rig.problems())
            mark_ns = cost_ns(mark_costs, rig)
            rows = rig.script.rows.numpy().reshape(triggers, 1 + MARKS)[triggers // 10 :]
            spans = np.sort(np.diff(rows, axis=1), axis=0)[: max(1, len(rows) * 99 // 100)] * rig.ns_per_cycle()
            self.budgets.setdefault(who, []).append([float(ns) for ns in spans.mean(axis=0) - mark_ns])

    def run(self) -> dict[str, Any]:
        for _ in range(self.options.rounds):
            self.send(SEND, 1)
            self.send(SEND_BURST, BURST)
            self.trade(FIRST_LEG, 1)
            self.trade(BOTH_LEGS, LEGS)
            self.budget()
        rig = Rig(0, 1, False, True)
        rig.keep_clock()
        return self.summary(cost_ns(stamp_costs, rig))

    def summary(self, stamp_pair_ns: float) -> dict[str, Any]:
        figures = {
            name: {column: statistics.median(each[column] for each in rounds) for column in COLUMNS}
            for name, rounds in self.results.items()
        }
        ratios = {}
        for name, rounds in self.results.items():
            who, what = name.split(": ")
            theirs = self.results.get(f"C: {what}")
            if who == "ours" and theirs:
                for column in ("p50", "mean"):
                    each = (one[column] / other[column] for one, other in zip(rounds, theirs, strict=True))
                    ratios[f"{what}, {column}"] = statistics.median(each)
        budget = {
            who: dict(zip(STAGES, (float(ns) for ns in np.median(rounds, axis=0)), strict=True))
            for who, rounds in self.budgets.items()
        }
        goals = {
            f"send p50 < {GOAL_SEND_NS} ns": figures[f"ours: {SEND}"]["p50"] < GOAL_SEND_NS,
            f"tick to trade p50 < {GOAL_TRADE_NS} ns": figures[f"ours: {FIRST_LEG}"]["p50"] < GOAL_TRADE_NS,
        }
        if ratios:
            goals |= {f"{what} ratio < {GOAL_RATIO}": ratios[f"{what}, p50"] < GOAL_RATIO for what in (SEND, FIRST_LEG)}
        return {
            "orders": self.options.orders, "triggers": self.options.triggers, "rounds": self.options.rounds,
            "figures": figures, "ratios": ratios, "budget": budget, "stamp_pair_ns": stamp_pair_ns, "goals": goals,
        }  # fmt: skip


def cost_ns(function: Any, rig: Rig) -> float:
    """Median of what a pair of stamps measures when nothing is between them."""
    costs = array(i64, COST_ROUNDS)
    compiled_for(function, COST_ROUNDS, costs)(COST_ROUNDS, costs)
    return float(np.median(costs.numpy())) * rig.ns_per_cycle()


def print_tables(summary: dict[str, Any], console: Console) -> None:
    table = Table(title=f"ns (medians over {summary['rounds']} rounds)")
    for column in ("", *COLUMNS):
        table.add_column("mean below p99" if column == "mean" else column, justify="right" if column else "left")
    for name, figures in sorted(summary["figures"].items(), key=lambda item: item[0].split(": ")[1]):
        table.add_row(name, *(f"{figures[column]:.1f}" for column in COLUMNS))
    console.print(table)
    stages = Table(title="budget of the first leg, ns: means below the p99, each less a stamp")
    stages.add_column("stage")
    for who in summary["budget"]:
        stages.add_column(who, justify="right")
    for stage in STAGES:
        stages.add_row(stage, *(f"{budget[stage]:.0f}" for budget in summary["budget"].values()))
    console.print(stages)
    console.print(f"in every figure of the first table: {summary['stamp_pair_ns']:.0f} ns of its own two stamps")
    for name, ratio in summary["ratios"].items():
        console.print(f"ours / C, {name}: {ratio:.2f}")
    for name, met in summary["goals"].items():
        console.print(f"goal {name}: {'met' if met else 'not met'}")


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crosswire bench order-entry", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--triggers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling")
    parser.add_argument("--no-c", dest="with_c", action="store_false", help="without the C program")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_options()
    if options.with_c and why_not():
        sys.exit(f"bench order-entry: {why_not()}; or --no-c")
    pin_thread(options.core)
    if options.fifo:
        run_first_in_first_out(FIFO_PRIORITY)
    with tempfile.TemporaryDirectory() as folder:
        summary = Bench(options, Path(folder)).run()
    print_tables(summary, Console(width=120))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
