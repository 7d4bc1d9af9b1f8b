"""`crosswire exchange` and `crosswire live` as a user starts them, on network namespaces of the test's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosswire.engine.generate import generate_captures
from crosswire.nic.host.testbed import Testbed
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
COMPILE_PATIENCE_S = 300.0  # both commands compile their loops when they are not in the cache
PATIENCE_S = 60.0
LEAVING_S = 3  # after the market data, for the last answers


def make_config(
    folder: Path, testbed: Testbed, *, seconds: int, seed: int = 1, example: str = "synthetic", **changes: str
) -> Path:
    """An example on this network, over `seconds` of market; `changes` replace what stands there once."""
    data = folder / "data"
    if not data.exists():
        generate_captures(data, seed=seed, seconds=seconds)
    text = (EXAMPLES / f"{example}.toml").read_text()
    replacements = {
        "../data/synthetic": str(data),
        "seconds = 120": f"seconds = {seconds}",
        '"cw-engine"': f'"{testbed.engine}"',
        '"cw-exchange"': f'"{testbed.exchange}"',
        **{f'"cwe{n}"': f'"{link.engine_interface}"' for n, link in enumerate(testbed.links)},
        **{f'"cwx{n}"': f'"{link.exchange_interface}"' for n, link in enumerate(testbed.links)},
        **changes,
    }
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "run.toml"
    path.write_text(text)
    return path


@dataclass
class Command:
    """One started command and what it prints."""

    process: subprocess.Popen[str]
    output: Path

    def text(self) -> str:
        """All of it so far."""
        return self.output.read_text()

    def wait_for(self, pattern: str, patience_s: float) -> None:
        """Until it has printed a match; AssertionError with its output if it ends or takes too long."""
        deadline_s = time.monotonic() + patience_s
        while not re.search(pattern, self.text()):
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline_s, f"no {pattern!r} in: {self.text()}"
            time.sleep(0.05)

    def finish(self, patience_s: float = PATIENCE_S) -> str:
        """Until it ends, well; its output."""
        status = self.process.wait(patience_s)
        assert status == 0, self.text()
        return self.text()

    def resident_bytes(self) -> int:
        """Memory that it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def started(
    folder: Path, name: str, *arguments: object, module: str = "crosswire.engine.cli", namespace: str = ""
) -> Iterator[Command]:
    """`crosswire NAME ARGUMENTS`, in a network namespace if one is named; killed if it still runs at the end."""
    there = ["ip", "netns", "exec", namespace] if namespace else []
    output = folder / f"{name}-{time.monotonic_ns()}.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [*there, sys.executable, "-m", module, name, *map(str, arguments)],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Command(process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@dataclass
class Outcome:
    """What both sides say of one run."""

    exchanges: dict[str, Any]  # the simulation's JSON: by venue
    engine: dict[str, Any]  # the live run's summary.json

    def of_venue(self, name: str) -> dict[str, int]:
        """The engine's counters of one venue."""
        counters: dict[str, int] = self.engine["counters"]
        return {key.removeprefix(f"{name}: "): value for key, value in counters.items() if key.startswith(f"{name}: ")}

    def rows(self) -> list[tuple[str, str, int, int]]:
        """(venue, what, at the exchange, in the engine): what must be equal."""
        rows = []
        for name, exchange in self.exchanges.items():
            own = self.of_venue(name)
            received = own["market data frames"] + own["market data drops"] + own["interface drops"]
            rows.append((name, "market data frames", exchange["published"], received))
            rows.append((name, "new orders", exchange["new_orders"], own["orders sent"]))
            held = {key: each for key, each in self.engine["instruments"].items() if key.startswith(f"{name}/")}
            rows.append((name, "fills", exchange["fills"], sum(each["fills"] for each in held.values())))
            for key in held:
                rows.append((name, f"position {key}, lots", exchange["position_lots"][key], self.position_lots(key)))
        return rows

    def position_lots(self, name: str) -> int:
        """The engine's position at the end."""
        instrument = self.engine["instruments"][name]
        symbol = name.partition("/")[2]
        lot_e9 = next(each["lot_e9"] for each in self.engine["definitions"] if each["symbol"] == symbol)
        return round(instrument["position"] * 1e9 / lot_e9)


def outcome(simulation: Command, live: Command, folder: Path) -> Outcome:
    """Both sides' accounts, once both commands have ended."""
    live.finish()
    exchanges = json.loads(simulation.finish().splitlines()[-1])
    (summary,) = (folder / "runs").glob("*/latest/summary.json")
    return Outcome(exchanges, json.loads(summary.read_text()))


def trade(
    folder: Path,
    config: Path,
    seconds: float,
    *simulation: object,
    leaving_s: float = LEAVING_S,
    live_options: Sequence[object] = (),
) -> Outcome:
    """One simulation and one live run against it."""
    lasting = ("--seconds", seconds + leaving_s, *live_options)
    with started(folder, "exchange", config, "--wait", "--seconds", seconds, *simulation) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", folder / "runs", *lasting) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            live.process.wait(seconds + leaving_s + PATIENCE_S)
            return outcome(exchanges, live, folder)
