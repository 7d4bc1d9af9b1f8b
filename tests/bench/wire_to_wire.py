"""`crosswire bench wire-to-wire`: from a market data frame on the wire to the order on it, by an outside observer.

    crosswire bench wire-to-wire [--triggers 2000] [--rounds 3] [--fifo] [--only PATH ...]

`crosswire live`, as a user starts it (Starbase L3, `cross_spread`, the gate, the journal), over each kind of ring, and
the C program of `bench order-entry` over the same kinds, in turn, on two veth pairs. Both stamps are the kernel's, on
one packet socket in the far end's namespace that neither side reads: the triggering frame as it leaves, whole, and the
first order's frame as it arrives. Nothing is subtracted: both ways through the kernel are in it.

Market data comes at a calm rate, then at ten times that, with the triggers in between. The first tenth of both does not
count. Beside the latencies stand the page faults and context switches of the engine's thread, from /proc, and with
`perf` installed its system calls, counted in a run of its own. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from crosswire.engine.config import parse_endpoint
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace, mac_text
from tests.bench.order_entry_c import why_not
from tests.bench.order_entry_stamps import LEGS, VENUES
from tests.bench.tick_to_trade import RUN, VENUE, percentiles
from tests.bench.wire_to_wire_c import any_order
from tests.bench.wire_to_wire_far import GATEWAY_PORT, GROUP_PORT, FarPlan
from tests.bench.wire_to_wire_seen import MISSED, Observer, ThreadCounts, latencies_ns, pinned_thread, thread_counts

PATHS = {  # what is measured: ring, its mode
    "af_xdp native": ("af_xdp", "native"),
    "af_xdp generic": ("af_xdp", "generic"),
    "af_packet": ("af_packet", ""),
    "sockets": ("sockets", ""),
}
PHASES = ("calm", "burst")
COLUMNS = ("p50", "p99", "p99.9", "max")
CALM_NS = 200_000  # between two steps, of which each gives both venues a frame: 10,000 frames a second
ATTEMPTS = 2
MISSED_SHARE = 20  # one in so many triggers may go without orders
PATIENCE_S = 240.0  # for a command that compiles first
LIVE = """
[live]
namespace = "{engine}"
core = {core}
scheduling = "{scheduling}"
"""
LIVE_VENUE = """
[venue.starbase]
tokens_per_ms = 1_000_000_000
token_burst = 1_000_000_000
[venue.live]
ring = "{ring}"
{require}
interface = "{interface}"
groups = ["{gateway}@{group}:{group_port}"]
gateway = "{gateway}:{gateway_port}"
[venue.simulation]
"""


def gateway_ip(number: int) -> str:
    """A peer's address: on the wire's subnet, on no interface."""
    return f"10.98.{number}.200"


def group_ip(number: int) -> str:
    return f"224.0.12.{192 + number}"


def ip_number(text: str) -> int:
    return parse_endpoint(f"{text}:1", "address")[0]


@dataclass
class Bench:
    """One run: the network, what was measured of each path, and what went wrong."""

    options: argparse.Namespace
    folder: Path
    testbed: Testbed
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: dict[str, float] = field(default_factory=dict)  # system calls a second, calm
    failures: list[str] = field(default_factory=list)

    @cached_property
    def message(self) -> str:
        """An order in hexadecimal digits, for the C program to fill in."""
        return any_order().hex()

    def add_gateways(self) -> None:
        """Tell the engine's namespace where the peers' addresses are."""
        for number, link in enumerate(self.testbed.links):
            where = ("lladdr", mac_text(link.exchange_mac), "dev", link.engine_interface, "nud", "permanent")
            command = ["ip", "-n", self.testbed.engine, "neigh", "replace", gateway_ip(number), *where]
            subprocess.run(command, check=True, capture_output=True)

    def write_config(self, path_name: str, fifo: bool) -> Path:
        """The engine's run over one kind of ring."""
        ring, mode = PATHS[path_name]
        text = RUN.replace('"tick-to-trade"', f'"w2w-{path_name.replace(" ", "-")}"').replace("depth = 3", "depth = 1")
        scheduling = "fifo" if fifo else "other"
        text += LIVE.format(engine=self.testbed.engine, core=self.options.engine_core, scheduling=scheduling)
        for number, name in enumerate(("first", "second")):
            table = LIVE_VENUE.format(
                ring=ring, require=f'require = "{mode}"' if mode else "", group=group_ip(number), group_port=GROUP_PORT,
                interface=self.testbed.links[number].engine_interface, gateway=gateway_ip(number),
                gateway_port=GATEWAY_PORT,
            )  # fmt: skip
            venue = VENUE.replace("NAME", name).replace('feed = "bridge"', 'feed = "starbase"')
            text += venue.replace('captures = ["none.pcap"]\n', "").replace("[venue.simulation]\n", table)
        path = self.folder / f"{path_name.replace(' ', '-')}.toml"
        path.write_text(text)
        return path

    def plan(self, config: Path, is_c: bool, has_kernel_tcp: bool, triggers: int, counts_calls: bool) -> FarPlan:
        links = self.testbed.links
        return FarPlan(
            config=str(config), namespace=self.testbed.exchange,
            interfaces=[link.exchange_interface for link in links],
            near_macs=[link.engine_mac for link in links], far_macs=[link.exchange_mac for link in links],
            near_ips=[ip_number(link.engine_ip) for link in links],
            gateway_ips=[ip_number(gateway_ip(number)) for number in range(VENUES)],
            group_ips=[ip_number(group_ip(number)) for number in range(VENUES)],
            triggers=triggers, calm_ns=self.options.calm_ns, core=self.options.far_core,
            fifo=self.options.fifo and not counts_calls,
            missed_max=triggers if counts_calls else 1 + triggers // MISSED_SHARE,
            is_c=is_c, has_kernel_tcp=has_kernel_tcp,
        )  # fmt: skip

    @contextmanager
    def started(self, name: str, command: list[str]) -> Iterator["Talking"]:
        """A process whose lines are read; killed at the end if it still runs."""
        errors = self.folder / f"{name}.err"
        with errors.open("w") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield Talking(name, process, errors)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def try_path(self, path_name: str, is_c: bool, counts_calls: bool) -> None:
        """Run it, once more if a busy machine was too slow for it: connecting has its own patience."""
        for attempt in range(ATTEMPTS):
            print(f"{'C' if is_c else 'crosswire'}: {path_name}", file=sys.stderr, flush=True)
            try:
                self.run_path(path_name, is_c, self.options.triggers, counts_calls)
                return
            except HostError as error:
                if attempt + 1 == ATTEMPTS:
                    self.failures.append(f"{'C' if is_c else 'crosswire'}, {path_name}: {error}")

    def run_path(self, path_name: str, is_c: bool, triggers: int, counts_calls: bool) -> None:
        """One engine over one kind of ring, from start to end."""
        # perf needs a core now and then: where it counts, nothing is timed.
        fifo = self.options.fifo and not counts_calls
        config = self.write_config(path_name, fifo)
        has_kernel_tcp = not path_name.startswith("af_xdp")
        plan = msgspec.json.encode(self.plan(config, is_c, has_kernel_tcp, 2 * triggers, counts_calls)).decode()
        if is_c:
            engine = [sys.executable, "-m", "tests.bench.wire_to_wire_c", plan, path_name, self.message]
            engine.append(self.testbed.engine)
            engine += [str(self.options.engine_core), *(link.engine_interface for link in self.testbed.links)]
        else:
            folder = tempfile.mkdtemp(dir=self.folder)
            engine = [sys.executable, "-m", "crosswire.engine.cli", "live", str(config), "--output", folder]
        far = [sys.executable, "-m", "tests.bench.wire_to_wire_far", plan]
        with in_namespace(self.testbed.exchange):
            observer = Observer()
        try:
            with self.started("far", far) as exchange, self.started("engine", engine) as trader:
                exchange.wait_for("ready")
                trader.wait_for("trading")
                if is_c:
                    exchange.tell("go")
                exchange.wait_for("connected")
                thread = pinned_thread(trader.process.pid, self.options.engine_core)
                kept = self.watch_phases(exchange, trader, thread, counts_calls)
                seen = observer.sightings()
                trader.end()
                exchange.leave()
        finally:
            observer.close()
        calm_calls = kept.pop("calls", None)
        name = f"{'C' if is_c else 'crosswire'}: {path_name}"
        if counts_calls:
            if calm_calls is not None:
                self.calls[name] = calm_calls
            return
        self.keep(name, latencies_ns(seen, LEGS), triggers, kept)

    def watch_phases(self, exchange: "Talking", trader: "Talking", thread: int, counts_calls: bool) -> dict[str, Any]:
        """From "calm" to "done": what the engine's thread was counted in each phase; its system calls a second."""
        kept: dict[str, Any] = {}
        counter = CallCounter(thread) if counts_calls else None
        exchange.wait_for("calm")
        before, begun = thread_counts(trader.process.pid, thread), time.monotonic()
        for phase, end in zip(PHASES, ("burst", "done"), strict=True):
            exchange.wait_for(end)
            if counter is not None and phase == "calm":
                kept["calls"] = counter.a_second()
            now, ended = thread_counts(trader.process.pid, thread), time.monotonic()
            kept[phase] = (now.since(before), ended - begun)
            before, begun = now, ended
        return kept

    def keep(self, name: str, latencies: list[int], triggers: int, kept: dict[str, tuple[ThreadCounts, float]]) -> None:
        """Both phases' figures of one round, without the first tenth of each."""
        if len(latencies) != 2 * triggers:
            raise HostError(f"{name}: {len(latencies)} triggers were seen of {2 * triggers}")
        for place, phase in enumerate(PHASES):
            own = latencies[place * triggers + triggers // 10 : (place + 1) * triggers]
            acted = [latency for latency in own if latency != MISSED]
            counts, seconds = kept[phase]
            figures = {f"{column}_us": ns / 1000 for column, ns in percentiles(acted).items() if column in COLUMNS}
            figures["missed"] = len(own) - len(acted)
            figures |= {each: count / seconds for each, count in vars(counts).items()}
            self.results.setdefault(f"{name}, {phase}", []).append(figures)


@dataclass
class Talking:
    """A started process and what it prints."""

    name: str
    process: subprocess.Popen[str]
    errors: Path
    lines: list[str] = field(default_factory=list)

    def wait_for(self, word: str) -> None:
        """Until a line begins with `word`. HostError with its last words if it ends before."""
        assert self.process.stdout is not None
        while not (self.lines and self.lines[-1].startswith(word)):
            line = self.process.stdout.readline()
            if not line:
                said = " ".join([*self.lines[-2:], self.errors.read_text().strip()[-600:]])
                raise HostError(f"{self.name} ended before it said {word!r}: {said}")
            self.lines.append(line.strip())
        self.lines.append("")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        """Close its standard input, which ends it."""
        self.process.communicate(timeout=PATIENCE_S)

    def end(self) -> None:
        """Interrupt it, as a user does; HostError unless it ends well."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        if self.process.returncode != 0:
            said = " ".join([output.strip()[-600:], self.errors.read_text().strip()[-600:]])
            raise HostError(f"{self.name} ended with {self.process.returncode}: {said}")


class CallCounter:
    """System calls of a thread, by the kernel's tracepoint: the thread is never stopped, as ptrace would."""

    def __init__(self, thread: int) -> None:
        command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-t", str(thread)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def a_second(self) -> float:
        """End counting: of a second that the thread ran."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        line = next((each for each in said.splitlines() if "sys_enter" in each), "")
        count, _, _, running_ns, *_ = [*line.split(","), "", "", "", ""]
        if not (count.isdigit() and running_ns.isdigit() and int(running_ns)):
            raise HostError(f"perf counts no system calls here: {said.strip()[-200:]}")
        return int(count) / int(running_ns) * NS_PER_S


def summarise(bench: Bench) -> dict[str, Any]:
    """Medians over rounds, and ours over C's, of each round."""
    figures = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in bench.results.items()
    }
    ratios = {}
    for name, rounds in bench.results.items():
        who, what = name.split(": ", 1)
        theirs = bench.results.get(f"C: {what}")
        if who == "crosswire" and theirs:
            pairs = list(zip(rounds, theirs, strict=False))
            ratios[what] = statistics.median(one["p50_us"] / other["p50_us"] for one, other in pairs)
    return {
        "triggers": bench.options.triggers, "rounds": bench.options.rounds, "fifo": bench.options.fifo,
        "throttled_us": throttled_us(),
        "frames_a_second": {"calm": 2e9 / bench.options.calm_ns, "burst": 2e10 / bench.options.calm_ns},
        "figures": figures, "calls_a_second": bench.calls, "ratios_p50": ratios, "failures": bench.failures,
    }  # fmt: skip


def throttled_us() -> int:
    """Read for how long of each period the kernel keeps a core from real-time threads (sched(7)); 0: never."""
    period, runtime = (int(Path(f"/proc/sys/kernel/sched_rt_{name}_us").read_text()) for name in ("period", "runtime"))
    return 0 if runtime < 0 else period - runtime


def place_of(name: str) -> tuple[int, int, str]:
    """Where a row stands: by path, then phase, ours before C's."""
    who, what = name.split(": ", 1)
    path_name, phase = what.rsplit(", ", 1)
    return list(PATHS).index(path_name), PHASES.index(phase), "" if who == "crosswire" else who


def print_tables(summary: dict[str, Any], console: Console) -> None:
    rates = summary["frames_a_second"]
    title = f"trigger's frame to first order's, us: {rates['calm']:,.0f} frames a second, then {rates['burst']:,.0f}"
    table = Table(title=title)
    counted = {
        "missed": "missed", "voluntary_switches": "waits/s", "involuntary_switches": "preempted/s",
        "minor_faults": "faults/s", "major_faults": "major/s",
    }  # fmt: skip
    for column in ("", *COLUMNS, *counted.values(), "calls/s"):
        table.add_column(column, justify="right" if column else "left")
    for name, figures in sorted(summary["figures"].items(), key=lambda item: place_of(item[0])):
        calls = summary["calls_a_second"].get(name.removesuffix(", calm"))
        own = [f"{figures[f'{column}_us']:,.1f}" for column in COLUMNS]
        own += [f"{figures[key]:,.0f}" for key in counted]
        table.add_row(name, *own, "" if calls is None else f"{calls:,.0f}")
    console.print(table)
    for name, ratio in summary["ratios_p50"].items():
        console.print(f"crosswire / C, {name}, p50: {ratio:.2f}")
    if summary["fifo"] and summary["throttled_us"] > 0:
        console.print(
            f"the kernel takes real-time threads off their cores for {summary['throttled_us'] / 1000:.0f} ms"
            " a second (kernel.sched_rt_runtime_us): largest latencies are that"
        )
    for failure in summary["failures"]:
        console.print(f"failed: {failure}", markup=False)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crosswire bench wire-to-wire", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--triggers", type=int, default=2_000, help="of each phase")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument("--calm-ns", type=int, default=CALM_NS, help="between two frames of a venue; a tenth in bursts")
    parser.add_argument("--engine-core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--far-core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling of both sides")
    parser.add_argument("--no-c", dest="with_c", action="store_false", help="without the C program")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_options()
    if os.geteuid() != 0:
        sys.exit("bench wire-to-wire: needs root: it makes network namespaces")
    if options.with_c and why_not():
        sys.exit(f"bench wire-to-wire: {why_not()}; or --no-c")
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("bench wire-to-wire: ended"))  # the network goes too
    who = (False, True) if options.with_c else (False,)
    counting = [True] if shutil.which("perf") else []
    with tempfile.TemporaryDirectory() as folder, Testbed(f"cww{os.getpid() % 100_000}", links=VENUES) as testbed:
        bench = Bench(options, Path(folder), testbed)
        bench.add_gateways()
        for counts_calls in (*[False] * options.rounds, *counting):
            for path_name in options.only:
                for is_c in who:
                    bench.try_path(path_name, is_c, counts_calls)
        summary = summarise(bench)
    print_tables(summary, Console(width=150))
    print(json.dumps(summary))
    if bench.failures:
        sys.exit(f"bench wire-to-wire: {bench.failures[0]}")


if __name__ == "__main__":
    main()
