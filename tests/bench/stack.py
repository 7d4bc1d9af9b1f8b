"""`crosswire bench stack`: the standard network stack against each bypass ring, beside the C programs, in one run.

    crosswire bench stack [--packets 20000] [--rounds 3] [--fifo] [--only RING ...] [--gate]

Round trips of 74-byte UDP frames between two network namespaces joined by a veth pair, both ends of the same kind, each
pinned to a core. The C programs of tests/bench/stack_c are compiled and run in between, round by round, so that a noisy
minute touches all. On a shared machine tails are the scheduler's; `--fifo` takes the neighbours out (SCHED_FIFO).
`--gate` fails if a round trip over AF_XDP has a p50 above 1.1 times that of the C program, median over rounds.
The last line is one JSON object; runs/bench-stack.html is the plot.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.testbed import mac_text
from tests.bench.stack_end import HOSTS

C_FOLDER = Path(__file__).with_name("stack_c")
PROGRAMS = ("sock", "xsk", "pkt", "drain")
C_FLAGS = ("-std=c11", "-O2", "-march=native", "-Wall", "-Wextra", "-Werror")
ENDS = {"kbA": ("kbva", 0), "kbB": ("kbvb", 1)}
MEASURES = ("p50", "p90", "p99", "p999", "max", "jitter")
# What is measured -> the C program that does the same.
C_PAIRS: dict[str, list[str]] = {
    "C udp blocking": ["sock", "block"],
    "C udp spinning": ["sock", "spin"],
    "C af_packet": ["pkt"],
    "C af_xdp native": ["xsk", "-m", "native"],
    "C af_xdp generic": ["xsk", "-m", "generic"],
}
OURS = {
    "sockets": ("sockets", "C udp spinning"),
    "af_packet": ("af_packet", "C af_packet"),
    "af_xdp native": ("af_xdp_native", "C af_xdp native"),
    "af_xdp generic": ("af_xdp_generic", "C af_xdp generic"),
}
DRAINS = {"sockets": "recvmmsg", "af_packet": "packet", "af_xdp_native": "native", "af_xdp_generic": "generic"}
DRAIN_TURNS = 3  # a round: noise comes in phases of seconds, so ours and C's runs are short and take turns
DRAIN_BURSTS = 60
GATED = ("af_xdp native", "af_xdp generic")
GATE = 1.1


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def network_up() -> None:
    """Make both namespaces, a veth pair of one queue between them, and permanent neighbours: no ARP in between."""
    (left, _), (right, _) = ENDS.values()
    one_queue = ("numrxqueues", "1", "numtxqueues", "1")
    for namespace in ENDS:
        ip("netns", "add", namespace)
        ip("netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    ip("link", "add", left, *one_queue, "type", "veth", "peer", "name", right, *one_queue)
    for namespace, (interface, _) in ENDS.items():
        address, hardware = HOSTS[namespace]
        ip("link", "set", interface, "netns", namespace)
        ip("-n", namespace, "link", "set", interface, "address", mac_text(hardware))
        ip("-n", namespace, "addr", "add", f"{ip_text(address)}/24", "dev", interface)
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "set", interface, "up")
    for namespace, peer in zip(ENDS, reversed(ENDS), strict=True):
        address, hardware = HOSTS[peer]
        neighbour = (ip_text(address), "lladdr", mac_text(hardware), "dev", ENDS[namespace][0])
        ip("-n", namespace, "neigh", "replace", *neighbour, "nud", "permanent")


def network_down() -> None:
    """Remove what there is of it."""
    for namespace in ENDS:
        subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


class Bench:
    """One run: where the programs are, how often each is run, what came out."""

    def __init__(self, folder: Path, packets: int, fifo: bool) -> None:
        self.folder = folder
        self.packets = packets
        self.fifo = ["chrt", "-f", "50"] if fifo else []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.failures: list[str] = []

    def compile(self) -> None:
        """Compile the C programs."""
        for name in PROGRAMS:
            subprocess.run(["gcc", *C_FLAGS, "-o", self.folder / name, C_FOLDER / f"{name}.c"], check=True)

    def c_command(self, role: str, namespace: str, program: list[str]) -> list[str]:
        interface, core = ENDS[namespace]
        name, *options = program
        head = ["ip", "netns", "exec", namespace, *self.fifo, str(self.folder / name), role]
        if name == "sock":
            head += options
        else:
            head += [interface, *options]
        head += ["-c", str(core)]
        return [*head, "-n", str(self.packets)] if role == "ping" else head

    def our_command(self, role: str, namespace: str, kind: str, packets: int) -> list[str]:
        interface, core = ENDS[namespace]
        module = [sys.executable, "-m", "tests.bench.stack_end"]
        return [*self.fifo, *module, role, kind, namespace, interface, str(core), str(packets)]

    def round_trip(self, name: str, echo: list[str], ping: list[str]) -> None:
        """One echo, one ping; its percentiles in us."""
        server = subprocess.Popen(echo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            server.stdout.readline()
            done = subprocess.run(ping, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            self.failures.append(f"{name}: no answer in 120 s")
            return
        finally:
            server.terminate()
            server.communicate(timeout=20)
        if done.returncode != 0 or not done.stdout.strip():
            self.failures.append(f"{name}: {done.stderr.strip()[-200:]}")
            return
        self.results.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))

    def drain(self, kind: str, bursts: int) -> None:
        """The application's cost of a frame that is already there, ns: ours, then C's."""
        ours = subprocess.run(
            self.our_command("drain", "kbB", kind, bursts), capture_output=True, text=True, timeout=120, check=False
        )
        theirs = subprocess.run(
            [*self.fifo, str(self.folder / "drain"), DRAINS[kind], "-c", "1", "-n", str(bursts)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if ours.returncode or theirs.returncode:
            self.failures.append(f"drain {kind}: {ours.stderr.strip()[-200:]} {theirs.stderr.strip()[-200:]}")
            return
        in_c = {f"c_{key}": figure for key, figure in json.loads(theirs.stdout).items()}
        self.results.setdefault(f"drain {kind}", []).append(json.loads(ours.stdout.splitlines()[-1]) | in_c)

    def flood(self, kind: str) -> None:
        """A second of datagrams from the other core: what a ring took of them, and what was lost."""
        receiver = subprocess.Popen(
            self.our_command("receive", "kbB", kind, 0), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert receiver.stdout is not None
            receiver.stdout.readline()
            sender = subprocess.run(
                self.our_command("flood", "kbA", "sockets", 0), capture_output=True, text=True, timeout=60, check=False
            )
            output, errors = receiver.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.failures.append(f"flood {kind}: no end in 60 s")
            return
        finally:
            receiver.kill()
            receiver.wait()
        if sender.returncode or receiver.returncode:
            self.failures.append(f"flood {kind}: {sender.stderr.strip()[-200:]} {errors.strip()[-200:]}")
            return
        sent, got = json.loads(sender.stdout.splitlines()[-1])["sent"], json.loads(output.splitlines()[-1])
        figures = {**got, "sent": sent, "rate": got["received"] / got["seconds"], "loss": sent - got["received"]}
        self.results.setdefault(f"flood {kind}", []).append(figures)


def medians(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Of every figure over the rounds."""
    keys = [key for key in rounds[0] if isinstance(rounds[0][key], int | float)]
    return {key: statistics.median(each[key] for each in rounds) for key in keys}


def median_ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], our_key: str, their_key: str) -> float:
    """Of runs made right after each other: what both suffered from cancels out."""
    return statistics.median(one[our_key] / other[their_key] for one, other in zip(ours, theirs, strict=False))


def summarise(bench: Bench) -> dict[str, Any]:
    """Medians, and the ratios that are claimed: to C doing the same, and of bypass to the standard stack."""
    figures = {name: medians(rounds) for name, rounds in bench.results.items()}
    ratios = {}
    for name, (kind, yardstick) in OURS.items():
        if name in figures and yardstick in figures:
            ratios[f"{name} / C, p50"] = median_ratio(bench.results[name], bench.results[yardstick], "p50", "p50")
        drained = figures.get(f"drain {kind}")
        if drained:
            rounds = bench.results[f"drain {kind}"]
            ratios[f"{name} / C, application cost a packet"] = median_ratio(rounds, rounds, "ns", "c_ns")
    for name in ("C udp blocking", "C udp spinning"):
        for ring in ("af_xdp native", "af_xdp generic"):
            if name in figures and ring in figures:
                ratios[f"{name} / {ring}, p50"] = figures[name]["p50"] / figures[ring]["p50"]
    return {"figures": figures, "ratios": ratios, "failures": bench.failures}


def print_tables(summary: dict[str, Any], console: Console) -> None:
    table = Table(title="round trip, us (medians over rounds)")
    columns = [*MEASURES, "switches", "calls", "lost"]
    for column in ("pair", *columns):
        table.add_column(column, justify="left" if column == "pair" else "right")
    for name, figures in summary["figures"].items():
        if "p50" in figures:
            table.add_row(name, *(f"{figures.get(column, 0):.2f}" for column in columns))
    console.print(table)
    if not any("c_ns" in figures for figures in summary["figures"].values()):
        print_ratios(summary, console)
        return
    drains = Table(title="application cost of a frame, ns")
    for column in ("ring", "crosswire", "C", "crosswire p10", "C p10"):
        drains.add_column(column, justify="right")
    for name, figures in summary["figures"].items():
        if "c_ns" in figures:
            drains.add_row(name, *(f"{figures[key]:.1f}" for key in ("ns", "c_ns", "p10_ns", "c_p10_ns")))
    console.print(drains)
    floods = Table(title="one way, frames")
    columns = ["sent", "received", "rate", "loss", "drops", "switches", "calls"]
    for column in ("ring", *columns):
        floods.add_column(column, justify="left" if column == "ring" else "right")
    for name, figures in summary["figures"].items():
        if "sent" in figures:
            floods.add_row(name, *(f"{figures[key]:.{4 if key in ('switches', 'calls') else 0}f}" for key in columns))
    console.print(floods)
    print_ratios(summary, console)


def print_ratios(summary: dict[str, Any], console: Console) -> None:
    for name, ratio in summary["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")
    for failure in summary["failures"]:
        console.print(f"failed: {failure}", markup=False)


def plot(bench: Bench, target: Path) -> None:
    """Latency distribution curves, one line each; the C programs tell a few points of theirs."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, rounds in bench.results.items():
        curves = [each["quantiles"] for each in rounds if "quantiles" in each]
        if curves:
            share = [99.9 * number / (len(curves[0]) - 1) for number in range(len(curves[0]))]
            middle = [statistics.median(points) for points in zip(*curves, strict=True)]
            figure.add_scatter(x=middle, y=share, name=name, mode="lines")
        elif "p50" in rounds[0]:
            known = medians(rounds)
            points = [known[key] for key in ("p50", "p90", "p99", "p999")]
            figure.add_scatter(x=points, y=[50, 90, 99, 99.9], name=name, mode="lines+markers", line={"dash": "dot"})
    figure.update_xaxes(type="log", title="round trip, us")
    figure.update_yaxes(title="share of round trips, %")
    figure.update_layout(title="Round trip between two namespaces, both ends of the same kind")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(target)


def check_gate(summary: dict[str, Any], names: list[str]) -> None:
    """Exit with one line if a ratio that is gated is too high."""
    ratios = {f"{name} / C, p50": summary["ratios"][f"{name} / C, p50"] for name in names}
    too_high = [f"{name} is {ratio:.3f}" for name, ratio in ratios.items() if ratio > GATE]
    if too_high:
        sys.exit(f"bench stack: gate: {', '.join(too_high)}; at most {GATE}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench stack", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fifo", action="store_true", help="real-time scheduling of every program")
    parser.add_argument("--only", nargs="+", choices=list(OURS), help="these rings' round trips beside C's, no more")
    parser.add_argument("--gate", action="store_true", help=f"fail if a p50 over AF_XDP is above {GATE} times C's")
    options = parser.parse_args()
    ours = {name: OURS[name] for name in options.only or OURS}
    theirs = {name: C_PAIRS[name] for name in ([pair for _, pair in ours.values()] if options.only else C_PAIRS)}
    kinds = [] if options.only else list(DRAINS)
    if os.geteuid() != 0:
        sys.exit("bench stack: needs root: it makes network namespaces")
    if shutil.which("gcc") is None:
        sys.exit("bench stack: needs gcc, for the C programs that it compares with")
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.packets, options.fifo)
        bench.compile()
        network_up()
        try:
            for _ in range(options.rounds):
                for name, program in theirs.items():
                    echo, ping = (bench.c_command(*end, program) for end in (("echo", "kbB"), ("ping", "kbA")))
                    bench.round_trip(name, echo, ping)
                    # Right after its yardstick: the machine's pace changes within minutes.
                    for our_name, (kind, yardstick) in ours.items():
                        if yardstick == name:
                            echo = bench.our_command("echo", "kbB", kind, 0)
                            ping = bench.our_command("ping", "kbA", kind, options.packets)
                            bench.round_trip(our_name, echo, ping)
                for kind in kinds:
                    for _ in range(DRAIN_TURNS):
                        bench.drain(kind, DRAIN_BURSTS)
                    bench.flood(kind)
        finally:
            network_down()
        summary = summarise(bench)
        print_tables(summary, console)
        if not options.only:
            plot(bench, Path("runs/bench-stack.html"))
            console.print("plot: runs/bench-stack.html")
        print(json.dumps(summary))
    if bench.failures:
        sys.exit(f"bench stack: {bench.failures[0]}")
    if options.gate:
        check_gate(summary, [name for name in GATED if name in ours])


if __name__ == "__main__":
    main()
