"""`crosswire bench scale`: what a frame costs against how much there is of everything, as one plot.

    crosswire bench scale [--frames 100000] [--rounds 5] [--fifo] [--only AXIS ...]

    instruments   2 to 256, half of them at each of two venues, two of them traded
    venues        2 to 8, one instrument at each, all of them traded against each other
    strategies    1 to 4, each of two instruments of its own; eight instruments at two venues in all runs
    book depth    10 to 10,000 levels a side, each change at any of them
    L3 orders     1,000 to 1,000,000 resting orders of one book: an update of the order queue, its L2 book with it

The first four are backtests of the whole loop over captures of quiet books: a frame changes two levels, is decoded by
the engine and by the simulated exchange, looked at by the strategies that have its instrument, and starts nothing. A
cost is the loop's processor time over its frames, beyond that of a shorter run that begins alike; medians of the
rounds, which go in turns, so that a busy minute hits all points alike. The last line is one JSON object;
runs/bench-scale.html is the plot. docs/scale.md explains each step in it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from crosswire.engine.backtest import turn_until_finished
from crosswire.engine.build.run import build_core, build_run
from crosswire.engine.config import load_config
from crosswire.engine.report.plots import VENUE_SHADES, axis, figure
from crosswire.nic.host.process import pin_thread, run_first_in_first_out
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.memory.struct import array
from crosswire.venues.book.book import make_books
from crosswire.venues.book.order_queue import make_order_queues
from crosswire.venues.side import BID
from tests.bench.l3_book import DELETE, PUT, REDUCE, Change, run_queue
from tests.bench.scale_market import write_capture
from tests.bench.tick_to_trade import RUN, VENUE, compiled_for

AXES: dict[str, tuple[int, ...]] = {
    "instruments": (2, 4, 8, 16, 32, 64, 128, 256),
    "venues": (2, 3, 4, 5, 6, 7, 8),
    "strategies": (1, 2, 3, 4),
    "book depth": (10, 30, 100, 300, 1_000, 3_000, 10_000),
    "L3 orders": (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
}
BOOK_DEPTH = 20
STRATEGIES_MAX = max(AXES["strategies"])
QUEUE_LEVELS = 2_000  # a side, over which L3 orders are spread
SHORT = "short"  # folder of the captures that have the same beginning and a tenth of the frames
UPDATES = 200_000
FIFO_PRIORITY = 50
SPARE_ORDERS = 64  # of a queue: as many come as go, but not in step


@dataclass(frozen=True)
class Shape:
    """How much there is of everything in one run."""

    venues: int = 2
    instruments: int = 2  # of all venues together
    strategies: int = 1
    traded: int = 2  # instruments of each strategy
    depth: int = BOOK_DEPTH


def shape_of(axis: str, value: int) -> Shape:
    """One point of an axis."""
    if axis == "instruments":
        return Shape(instruments=value)
    if axis == "venues":
        return Shape(venues=value, instruments=value, traded=value)
    if axis == "strategies":
        return Shape(instruments=2 * STRATEGIES_MAX, strategies=value)
    return Shape(depth=value)


def symbol(place: int) -> str:
    return f"I{place:03}"


def config_text(shape: Shape) -> str:
    """The run's configuration: instrument `place` of every venue is traded against that of the others."""
    head, rest = RUN.split("[strategy]\n")
    parameters, limits = rest.split("[limits]\n", 1)
    parameters = parameters.replace("depth = 3", "depth = 1")
    text = head.replace("tick-to-trade", "scale")
    for number in range(shape.strategies):
        names = [f'"v{place % shape.venues}/{symbol(number)}"' for place in range(shape.traded)]
        table = parameters.replace('["first/BTCUSDT", "second/BTCUSDT"]', f"[{', '.join(names)}]")
        table = table.replace("[strategy.parameters]", f'name = "s{number}"\n[strategy.parameters]')
        text += "[[strategy]]\n" + table
    text += "[limits]\n" + limits
    own, instrument = VENUE.split("[[venue.instrument]]\n")
    for number in range(shape.venues):
        text += own.replace("NAME", f"v{number}").replace("none.pcap", f"v{number}.pcap")
        for place in range(shape.instruments // shape.venues):
            table = instrument.replace("BTCUSDT", symbol(place))
            table = table.replace("contract = 1\n", f"contract = 1\nlevels_max = {max(64, 2 * shape.depth + 2)}\n")
            text += "[[venue.instrument]]\n" + table
    return text


@dataclass
class Point:
    """One shape, with its captures in a folder."""

    axis: str
    value: int
    config: Path
    costs_ns: list[float] = field(default_factory=list)  # of each round, a frame or an update

    def write(self, frames: int) -> None:
        """Write both captures, of all frames and of a tenth, and their configurations."""
        shape = shape_of(self.axis, self.value)
        for folder, count in ((self.config.parent, frames), (self.config.parent / SHORT, frames // 10)):
            folder.mkdir(parents=True)
            path = folder / self.config.name
            path.write_text(config_text(shape))
            market = build_core(load_config(path), path).engine.market
            each = shape.instruments // shape.venues
            for number in range(shape.venues):
                terms = [market.instruments[number * each + place] for place in range(each)]
                write_capture(folder / f"v{number}.pcap", terms, shape.depth, count // shape.venues, 1 + number)

    def measure(self) -> None:
        """Two backtests: what the longer one takes beyond the shorter one, over its frames beyond that one's.

        So what an instrument costs once is not in it: its definition, its first snapshot, its memory's first touch.
        """
        short_ns, short_frames = self.run(self.config.parent / SHORT / self.config.name)
        long_ns, long_frames = self.run(self.config)
        self.costs_ns.append((long_ns - short_ns) / (long_frames - short_frames))

    def run(self, path: Path) -> tuple[int, int]:
        """One backtest: the loop's processor time, its frames. SystemExit if a book was lost or an order sent."""
        run = build_run(load_config(path), path)
        run.load()
        kept = MemoryJournal(run.engine.journal)
        begun = time.thread_time_ns()
        turn_until_finished(run, kept)
        spent_ns = time.thread_time_ns() - begun
        state, market = run.engine.state, run.engine.market
        valid = sum(market.books[index].valid for index in range(market.count))
        run.close()
        if valid != market.count or state.orders_sent:
            sys.exit(
                f"bench scale: {self.axis} {self.value}: {valid} of {market.count} books, {state.orders_sent} orders"
            )
        return spent_ns, state.frames


class QueuePoint(Point):
    """An order queue that holds `value` orders, and changes of it that keep it so full."""

    def write(self, frames: int) -> None:
        """Draw the changes: as many orders put as deleted, and a few reduced."""
        random = np.random.default_rng(self.value)
        total = self.value + UPDATES
        self.changes = array(Change, total)
        rows = self.changes.numpy()
        rows["kind"][: self.value] = PUT
        rows["order_id"] = np.arange(1, total + 1)
        rows["side"] = random.integers(0, 2, total)
        ticks = random.integers(1, QUEUE_LEVELS + 1, total)
        rows["price_ticks"] = np.where(rows["side"] == BID, 600_000 - ticks, 600_000 + ticks)
        rows["qty_lots"] = random.integers(10, 1_000, total)
        rows["sort_order_id"] = rows["order_id"]
        alive = list(range(1, self.value + 1))
        lots = dict(zip(alive, rows["qty_lots"].tolist(), strict=False))
        for place in range(self.value, total):
            self.draw_change(rows, place, alive, lots, random)
        capacity = 1 << (self.value + SPARE_ORDERS).bit_length()
        self.queue = make_order_queues(1, capacity, min(capacity, 4 * QUEUE_LEVELS))[0]
        self.book = make_books(1, 4 * QUEUE_LEVELS)[0]
        self.change: Callable[..., int] = compiled_for(run_queue, self.queue, self.book, self.changes, 0, 0)
        if self.change(self.queue, self.book, self.changes, 0, self.value) < 0:
            sys.exit(f"bench scale: no room for {self.value} orders")
        self.done = self.value

    def draw_change(self, rows: Any, place: int, alive: list[int], lots: dict[int, int], random: Any) -> None:
        """Change `place`: an order comes, and the next change one goes; now and then one is reduced."""
        kind = place % 11
        row = rows[place]
        if kind == 0:
            row["kind"] = REDUCE
            row["order_id"] = chosen = alive[int(random.integers(len(alive)))]
            row["qty_lots"] = lots[chosen] = max(1, lots[chosen] - 1)
        elif kind % 2:
            row["kind"] = PUT
            alive.append(int(row["order_id"]))
            lots[int(row["order_id"])] = int(row["qty_lots"])
        else:
            row["kind"] = DELETE
            at = int(random.integers(len(alive)))
            alive[at], alive[-1] = alive[-1], alive[at]
            row["order_id"] = alive.pop()

    def measure(self) -> None:
        """A part of the changes; the queue stays as it is then."""
        part = UPDATES // self.rounds
        begun = time.thread_time_ns()
        if self.change(self.queue, self.book, self.changes, self.done, self.done + part) < 0:
            sys.exit(f"bench scale: L3 orders {self.value}: a change was refused")
        self.costs_ns.append((time.thread_time_ns() - begun) / part)
        self.done += part

    rounds = 1


def plot(summary: dict[str, Any], target: Path) -> None:
    """All axes in one plot, in the report's style."""
    import plotly.graph_objects as go

    traces = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": [int(value) for value in costs],
            "y": list(costs.values()), "line": {"color": VENUE_SHADES[place][0]},
            "hovertemplate": f"%{{x:,}} {name}: %{{y:.1f}} ns<extra></extra>",
        }
        for place, (name, costs) in enumerate(summary["costs_ns"].items())
    ]  # fmt: skip
    x = axis("how many", type="log", tickvals=[10**power for power in range(7)], tickformat=",d")
    y = axis("processor time a frame (L3 orders: an update), ns", rangemode="tozero")
    title = {"text": "What a frame costs against how much there is of everything", "font": {"size": 14}, "y": 0.98}
    drawn = figure(traces, x, y, height=560, title=title, margin={"l": 60, "r": 20, "t": 80, "b": 44})
    target.parent.mkdir(parents=True, exist_ok=True)
    go.Figure(drawn).write_html(target)


def print_table(summary: dict[str, Any], console: Console) -> None:
    table = Table(title="processor time a frame (L3 orders: an update), ns")
    table.add_column("")
    for _ in range(max(map(len, summary["costs_ns"].values()))):
        table.add_column(justify="right")
    for name, costs in summary["costs_ns"].items():
        table.add_row(name, *(f"{int(value):,}" for value in costs))
        table.add_row("", *(f"{cost:.1f}" for cost in costs.values()), end_section=True)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench scale", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--frames", type=int, default=100_000, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling: neighbours leave the caches alone")
    parser.add_argument("--only", nargs="+", choices=list(AXES), default=list(AXES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        points: list[Point] = []
        for axis in options.only:
            kind = QueuePoint if axis == "L3 orders" else Point
            points += [kind(axis, value, Path(folder) / f"{axis}-{value}" / "run.toml") for value in AXES[axis]]
        QueuePoint.rounds = options.rounds
        for point in points:
            point.write(options.frames)
        if options.fifo:
            pin_thread(max(os.sched_getaffinity(0)))
            run_first_in_first_out(FIFO_PRIORITY)
        for _ in range(options.rounds):
            for point in points:
                point.measure()
    costs: dict[str, dict[str, float]] = {axis: {} for axis in options.only}
    for point in points:
        costs[point.axis][str(point.value)] = round(statistics.median(point.costs_ns), 2)
    summary = {"name": "scale", "frames": options.frames, "rounds": options.rounds, "costs_ns": costs}
    print_table(summary, Console(width=130))
    plot(summary, Path("runs/bench-scale.html"))
    print("plot: runs/bench-scale.html")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
