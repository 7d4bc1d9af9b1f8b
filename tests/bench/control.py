"""`crosswire bench control`: what an attack on the monitor costs the loop, by turns with and without.

    crosswire bench control [--rounds 5] [--triggers 100000]

The loop, its exchanges and the figure are those of `bench tick-to-trade`: from a received frame to the first leg's
order on its ring, by the TSC. Its structs lie in shared memory as a live run's do, its mailbox is looked at, and
`crosswire monitor` serves it, with a client that asks for the status each 100 ms. All but the loop is on the exchanges'
core. In one of a round's two runs an attacker is there, too, with a key of its own: it opens connections as fast as it
can, says things that are no request, asks too often and never reads. The loop has real-time scheduling, so that others
on the machine take no part in it.

Medians over rounds, and the ratio of both p99. Fails if the attacker was not refused. The last line is one JSON object.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from crosswire.engine.control.parameters import set_control
from crosswire.engine.control.share import SharedRun
from crosswire.engine.journal.description import write_description
from crosswire.engine.monitor.address import open_client
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.keys import make_keys
from crosswire.engine.monitor.messages import Role
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import make_run_folder
from crosswire.nic.journal.files import FOLDER, SharedJournal, make_journal
from crosswire.nic.rings.ring import Frame
from tests.bench.by_turns import add_options, by_turns, compared
from tests.bench.tick_to_trade import RUN, VENUE, WARM_UP, Rig, build_rig, percentiles, problems, run_rig
from tests.support.live_setup import PATIENCE_S, Command, started
from tests.support.paths import ROOT

GOAL = 1.1
ASK_S = 0.1
REFUSED_MIN = 1000
CONTROL = '[control]\nkeys = "keys"\n'
FIRST_LEG = 1
NAMES = ("quiet", "attacked")


class Good:
    """A client that asks for the status now and then, in a thread."""

    def __init__(self, client: Client, core: int) -> None:
        self.client, self.core = client, core
        self.answered, self.longest_s = 0, 0.0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self) -> None:
        os.sched_setaffinity(0, {self.core})
        while not self.is_over.wait(ASK_S):
            asked = time.monotonic()
            self.client.status()
            self.answered += 1
            self.longest_s = max(self.longest_s, time.monotonic() - asked)

    def end(self) -> dict[str, Any]:
        """Stop asking; return what was refused to others, how often it was answered, and its longest wait."""
        self.is_over.set()
        self.thread.join()
        refused = {each.name: each.count for each in self.client.status().refused}
        return {"answered": self.answered, "longest_ms": round(self.longest_s * 1000, 1), "refused": refused}


def share(rig: Rig, shared: SharedRun, config_path: Path, runs: Path) -> None:
    """Let a monitor find the rig, as a live run lets it."""
    run = rig.run
    with shared.arena.allocating():
        set_control(run.core, run.config)
    folder = make_run_folder(runs, run.config.name, config_path.read_text())
    journal = make_journal()  # of its own: the rig reads its own from memory
    kept = SharedJournal(journal, folder / FOLDER)
    write_description(journal, describe_run(run.core, run.config, config_path, "live"))
    kept.keep()
    kept.close()
    shared.publish(run, [Frame() for _ in run.parts], folder)


@contextmanager
def shared_rig(folder: Path, triggers: int, control: str) -> Iterator[tuple[Rig, Path, Path]]:
    """Make a rig whose run a monitor finds; with the files of its configuration, and of its runs."""
    folder.mkdir()
    config_path, runs = folder / "run.toml", folder / "runs"
    # [control] stands before the tables of venues, where the run's own keys end.
    config_path.write_text(RUN + control + VENUE.replace("NAME", "first") + VENUE.replace("NAME", "second"))
    for name in ("good", "bad"):
        make_keys(folder / "keys", name, Role.VIEWER)
    with ExitStack() as closing:
        shared = SharedRun(closing)
        with shared.arena.allocating():
            rig = build_rig(triggers, FIRST_LEG, False, RUN + control)
        closing.callback(rig.close)
        share(rig, shared, config_path, runs)
        yield rig, config_path, runs


@contextmanager
def monitored(config_path: Path, runs: Path, core: int) -> Iterator[Command]:
    """Have a monitor serve the rig's run, on this core."""
    with started(config_path.parent, "monitor", config_path, "--output", runs) as monitor:
        monitor.wait_for("attached to run", PATIENCE_S)
        os.sched_setaffinity(monitor.process.pid, {core})
        for thread in Path(f"/proc/{monitor.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        yield monitor
        monitor.process.send_signal(signal.SIGTERM)
        monitor.finish()


def latencies_ns(rig: Rig, bench: str) -> Any:
    """Give what was measured. Ends the process if it is worth nothing."""
    found = problems(rig)
    if found:
        sys.exit(f"bench {bench}: " + "; ".join(found))
    return rig.stamps.latencies.numpy()[WARM_UP : rig.stamps.count] * rig.ns_per_cycle()


def one_run(folder: Path, options: argparse.Namespace, is_attacked: bool) -> dict[str, Any]:
    """Measure once."""
    with ExitStack() as closing:
        made = closing.enter_context(shared_rig(folder, WARM_UP + options.triggers, CONTROL))
        rig, config_path, runs = made
        closing.enter_context(monitored(config_path, runs, options.exchange_core))
        client = closing.enter_context(open_client(config_path, runs, "good"))
        client.status()
        good = Good(client, options.exchange_core)
        attacker = start_attack(config_path, runs, options.exchange_core) if is_attacked else None
        try:
            run_rig(rig, options.loop_core, options.exchange_core, options.fifo, exchange_fifo=False)
        finally:
            if attacker is not None:
                attacker.kill()
                attacker.wait()
            seen = good.end()
        latencies = latencies_ns(rig, "control")
    return {**percentiles(latencies), **seen}


def start_attack(config_path: Path, runs: Path, core: int) -> "subprocess.Popen[bytes]":
    """Begin to attack."""
    command = [sys.executable, "-m", "tests.bench.control_attack", str(config_path), str(runs), str(core)]
    attacker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert attacker.stdout is not None
    attacker.stdout.readline()
    return attacker


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench control", description=(__doc__ or "").split("\n", 1)[0])
    add_options(parser)
    parser.add_argument("--triggers", type=int, default=100_000)
    options = parser.parse_args()
    found = by_turns(options.rounds, NAMES, lambda folder, is_attacked: one_run(folder, options, is_attacked))
    refused = min(sum(each["refused"].values()) for each in found[True])
    facts = {"goal": GOAL, "refused_least": refused}
    facts |= {"longest_answer_ms": max(each["longest_ms"] for each in found[True])}
    print(json.dumps({"name": "control", "rounds": options.rounds, **compared(found, NAMES), **facts}))
    sys.exit(0 if refused > REFUSED_MIN else 1)


if __name__ == "__main__":
    main()
