"""`crosswire bench bridge-live`: Deribit against Binance, live, with faults on each side: do all accounts agree?

    crosswire bench bridge-live [--seconds 600] [--faults 20] [--seed 1] [--keep FOLDER]

The simulated Starbase, the stand-in for Binance, the bridge and the engine over AF_XDP, as the examples have them, but
with fees at which the strategy trades often. On each side so many connections are cut and so many sequences broken.
Then the books that the engine had are compared with those of both exchanges, the accounts of all four with each other,
and the run's capture is run again. The last line is one JSON object; exit code 1 if anything differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosswire.nic.host.testbed import Testbed
from tests.engine.live.test_recovery import run_folders
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Command
from tests.support.paths import ROOT
from tests.support.whole_line import WholeLine, exchanges
from tests.support.whole_line_judge import (
    BINANCE,
    STARBASE,
    Books,
    compare_accounts,
    follow_books,
    whole_times_ns,
    wrong_by_id,
    wrong_by_sample,
)

SPARE_S = 400  # of market beyond what is traded: processes compile before they begin
CALM_S = 4.0  # at either end without a fault
LOST_MS = 20  # of market data, on both lines
LOOK_S = 0.02
# A disconnect of the stand-in's, by turns: market and user data; orders; all of them.
HOSTS = ("usdm_stream", "usdm_api", "*")
# A broken sequence, by turns: of the market's, of the account's.
DROPS = (("stream", "depth"), ("stream", "depth"), ("user", "ORDER_TRADE_UPDATE"))


@dataclass
class Struck:
    """A fault, when it struck, and how long until what it cost was there again; None: it cost nothing."""

    kind: str
    at_ns: int
    recovered_ns: int | None = None


@dataclass
class Faults:
    """What goes wrong: so many times each kind, spread over the run by a seed."""

    line: WholeLine
    count: int
    seed: int
    struck: list[Struck] = field(default_factory=list)

    def play(self, seconds: float) -> None:
        """Let them happen over so many seconds."""
        kinds: list[tuple[str, Callable[[int], str]]] = [
            ("starbase gap", self._gap),
            ("starbase disconnect", self._cut),
            ("binance gap", self._drop),
            ("binance disconnect", self._disconnect),
        ]
        planned = [(name, act, turn) for turn in range(self.count) for name, act in kinds]
        chance = random.Random(self.seed)
        chance.shuffle(planned)
        begun, step_s = time.monotonic() + CALM_S, (seconds - 2 * CALM_S) / len(planned)
        for place, (name, act, turn) in enumerate(planned):
            time.sleep(max(0.0, begun + step_s * (place + 0.2 * chance.random()) - time.monotonic()))
            at_ns = time.time_ns()
            self.struck.append(Struck(f"{name}: {act(turn)}", at_ns))

    def _gap(self, _turn: int) -> str:
        self.line.ask("lose", ms=LOST_MS)
        return "market data"

    def _cut(self, turn: int) -> str:
        self.line.ask("cut", gateway=turn % 2)
        return "AB"[turn % 2]

    def _drop(self, turn: int) -> str:
        where, match = DROPS[turn % len(DROPS)]
        self.line.control("fault", where=where, kind="drop", match=match)
        return "depth" if where == "stream" else "user data"

    def _disconnect(self, turn: int) -> str:
        host = HOSTS[turn % len(HOSTS)]
        self.line.control("disconnect", host=host)
        return {"usdm_stream": "streams", "usdm_api": "orders"}.get(host, "all")


@dataclass
class Seen:
    """What was asked of the exchanges while they ran, and what the processes said."""

    account: dict[str, Any]
    samples: list[tuple[int, int]]
    returns: list[tuple[int, int, int]]
    differences: list[str]
    orders: int
    fills: int
    bridge_log: str
    live_log: str
    struck: list[Struck]


def trade(line: WholeLine, seconds: float, faults: int, seed: int) -> Seen:
    """Trade with faults, and have the engine leave; compare the accounts before the exchanges end."""
    happening = Faults(line, faults, seed)
    with exchanges(line), line.bridge() as bridge:
        bridge.wait_for("book proven", COMPILE_PATIENCE_S)
        options = ("--seconds", seconds, "--capture", line.folder / "captured")
        with line.noting_digests(), line.live(*options) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            happening.play(seconds)
            finish(live, bridge, seconds)
        account = line.ask("account")
        accounts = compare_accounts(line, account)
        accounts.expect("starbase: mistakes in the engine's messages", account["mistakes"], {})
        if live.process.returncode != 0:
            accounts.differences.append(f"the engine ended with exit code {live.process.returncode}")
        return Seen(
            account=account,
            samples=[(number, digest) for number, digest in line.ask("truth")],
            returns=[tuple(each) for each in line.ask("returns")],
            differences=accounts.differences,
            orders=accounts.orders,
            fills=accounts.fills,
            bridge_log=bridge.text(),
            live_log=live.text(),
            struck=happening.struck,
        )


def finish(live: Command, bridge: Command, seconds: float) -> None:
    """Wait for the engine's end; the bridge must live on."""
    live.process.wait(seconds + PATIENCE_S)
    assert bridge.process.poll() is None, bridge.text()


def note_recoveries(seen: Seen, books: dict[int, Books]) -> None:
    """Find out how long each fault's damage lasted."""
    whole = whole_times_ns(seen.bridge_log)
    cuts = sorted(seen.returns, key=lambda each: each[1])
    for place, each in enumerate(seen.struck):
        until_ns = seen.struck[place + 1].at_ns if place + 1 < len(seen.struck) else each.at_ns + 5_000_000_000
        if each.kind.startswith("starbase disconnect"):
            back = next((back_ns for _, cut_ns, back_ns in cuts if cut_ns >= each.at_ns), None)
            each.recovered_ns = None if back is None else back - each.at_ns
        elif each.kind.endswith(("orders", "all", "user data")):
            again = next((time_ns for time_ns in whole if time_ns > each.at_ns), None)
            each.recovered_ns = None if again is None or again > until_ns else again - each.at_ns
        else:
            venue = STARBASE if each.kind.startswith("starbase") else BINANCE
            each.recovered_ns = books[venue].recovery_ns(each.at_ns, until_ns)


def is_run_again(line: WholeLine) -> bool:
    """Run the capture again; whether it gives the same orders, byte for byte."""
    (run,) = run_folders(line.folder)
    command = [sys.executable, "-m", "crosswire.engine.cli", "explain", str(run), "--json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    replay = json.loads(result.stdout)["replay"]
    return bool(replay["is_same"] and replay["missing_frames"] == 0)


def measure(folder: Path, testbed: Testbed, seconds: int, faults: int, seed: int = 1) -> dict[str, Any]:
    """Run all of it in a network that is up; the figures."""
    line = WholeLine(folder, testbed, seconds + SPARE_S)
    seen = trade(line, seconds, faults, seed)
    captured = {name: sorted((folder / "captured").glob(f"{name}-*.pcap.zst")) for name in ("starbase", "binance")}
    books = {
        STARBASE: follow_books(line.config(), STARBASE, captured["starbase"], None),
        BINANCE: follow_books(line.config(), BINANCE, captured["binance"], set(line.digests)),
    }
    compared = {
        "starbase": wrong_by_sample(books[STARBASE], seen.samples),
        "binance": wrong_by_id(books[BINANCE], line.digests),
    }
    note_recoveries(seen, books)
    return {
        "seconds": seconds,
        "faults": len(seen.struck),
        "orders": seen.orders,
        "fills": seen.fills,
        "differences": seen.differences,
        "books_compared": {name: count for name, (count, _) in compared.items()},
        "books_wrong": {name: wrong for name, (_, wrong) in compared.items()},
        "is_same_again": is_run_again(line),
        "recoveries_ms": recoveries(seen.struck),
    }


def recoveries(struck: list[Struck]) -> dict[str, dict[str, float]]:
    """Sum up by kind: how many struck, how many cost something, p50 and longest in ms."""
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({each.kind for each in struck}):
        of_kind = [each for each in struck if each.kind == kind]
        times_ms = sorted(each.recovered_ns / 1e6 for each in of_kind if each.recovered_ns is not None)
        found[kind] = {"struck": len(of_kind), "cost": len(times_ms)}
        if times_ms:
            found[kind] |= {"p50": round(times_ms[len(times_ms) // 2], 1), "max": round(times_ms[-1], 1)}
    return found


def is_good(figures: dict[str, Any]) -> bool:
    """Tell whether nothing differs, and something was compared."""
    is_equal = not figures["differences"] and not any(figures["books_wrong"].values())
    return bool(is_equal and all(figures["books_compared"].values()) and figures["is_same_again"])


def show(figures: dict[str, Any]) -> None:
    """Print the recoveries, and what differs."""
    console = Console(width=120)
    table = Table(
        title=f"{figures['seconds']} s, {figures['orders']} orders, {figures['fills']} fills; ms until whole again"
    )
    for column in ("fault", "struck", "cost something", "p50", "max"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for kind, row in figures["recoveries_ms"].items():
        table.add_row(kind, *(f"{row.get(column, ''):}" for column in ("struck", "cost", "p50", "max")))
    console.print(table)
    for each in figures["differences"]:
        console.print(each, markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench bridge-live", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--faults", type=int, default=20, help="of each of the four kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder that everything is left in")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench bridge-live: needs root: it makes network namespaces")
    with tempfile.TemporaryDirectory() as made, Testbed("cwl", links=2) as testbed:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(folder, testbed, options.seconds, options.faults, options.seed)
    show(figures)
    print(json.dumps(figures))
    sys.exit(0 if is_good(figures) else 1)


if __name__ == "__main__":
    main()
