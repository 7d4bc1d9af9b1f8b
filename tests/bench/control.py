"""`crosswire bench control`: what an attack on the monitor costs the loop, by turns with and without.

    crosswire bench control [--rounds 5] [--seconds 20]

Each round is two live runs over AF_XDP on a network of its own, with its monitor and a client that asks for the status
each 100 ms. In one of them an attacker with a key of its own is on the exchange's core, where the monitor is too: it
opens connections as fast as it can, says things that are no request, asks too often and never reads. The figure is the
loop's own: from the poll that gave a frame to the order being handed to its ring. Medians over rounds, and the ratio of
both. Fails if the attacker was not refused, or the client not served. The last line is one JSON object.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.address import open_client
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.keys import make_keys
from crosswire.engine.monitor.messages import Role
from crosswire.nic.host.testbed import Testbed
from tests.bench.live import latency_us
from tests.support.live_setup import COMPILE_PATIENCE_S, LEAVING_S, PATIENCE_S, Outcome, make_config, started
from tests.support.paths import ROOT

GOAL = 1.1
SPARE_S = 10  # of captures, beyond what is traded
ASK_S = 0.1
FIGURE = "receive to send"


def one_run(folder: Path, testbed: Testbed, seconds: int, is_attacked: bool) -> dict[str, Any]:
    """Trade once; return the loop's latencies, and what the monitor has refused and answered."""
    config = make_config(folder, testbed, seconds=seconds + SPARE_S)
    text = config.read_text()
    if "[control]" not in text:
        config.write_text(f'{text}\n[control]\nkeys = "keys"\n')
    keys = folder / "keys"
    if not keys.exists():
        make_keys(keys, "good", Role.VIEWER)
        make_keys(keys, "bad", Role.VIEWER)
    runs, lasting = folder / "runs", ("--seconds", seconds + LEAVING_S)
    with (
        started(folder, "exchange", config, "--wait", "--seconds", seconds) as exchanges,
        started(folder, "monitor", config, "--output", runs) as monitor,
    ):
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        for process in (monitor.process, exchanges.process):
            os.sched_setaffinity(process.pid, {0})
        with started(folder, "live", config, "--output", runs, *lasting) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            monitor.wait_for("attached to run", PATIENCE_S)
            attack = [sys.executable, "-m", "tests.bench.control_attack", str(config), str(runs), str(seconds - 2)]
            attacker = subprocess.Popen(attack, cwd=ROOT) if is_attacked else None
            with open_client(config, runs, "good") as client:
                served = ask_until(client, seconds - 2)
                refused = {each.name: each.count for each in client.status().refused}
            if attacker is not None:
                attacker.wait(PATIENCE_S)
            live.finish(seconds + PATIENCE_S)
        at_exchange = json.loads(exchanges.finish().splitlines()[-1])
        monitor.process.send_signal(signal.SIGTERM)
        monitor.finish()
    summary = json.loads((runs / "synthetic" / "latest" / "summary.json").read_text())
    return {**latency_us(Outcome(at_exchange, summary), FIGURE), **served, "refused": refused}


def ask_until(client: Client, seconds: float) -> dict[str, Any]:
    """Ask for the status for so long; return how often it was given, and the longest wait."""
    answered, longest_s, begun = 0, 0.0, time.monotonic()
    while time.monotonic() - begun < seconds:
        asked = time.monotonic()
        assert isinstance(client.status(), m.Status)
        answered += 1
        longest_s = max(longest_s, time.monotonic() - asked)
        time.sleep(ASK_S)
    return {"answered": answered, "longest_answer_ms": round(longest_s * 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench control", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench control: needs root: it makes network namespaces")
    found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as data, Testbed("cwc", links=2) as testbed:
        for number in range(options.rounds):
            for is_attacked in (False, True) if number % 2 == 0 else (True, False):
                folder = Path(data) / f"{number}-{'attacked' if is_attacked else 'quiet'}"
                folder.mkdir()
                seen = one_run(folder, testbed, options.seconds, is_attacked)
                found[is_attacked].append(seen)
                print(json.dumps({"round": number, "attacked": is_attacked, **seen}), flush=True)
    medians = {
        name: {figure: statistics.median(each[figure] for each in found[is_attacked]) for figure in ("p50", "p99")}
        for name, is_attacked in (("quiet", False), ("attacked", True))
    }
    ratio = medians["attacked"]["p99"] / medians["quiet"]["p99"]
    refused = [sum(each["refused"].values()) for each in found[True]]
    print(
        f"p99 with the attacker {medians['attacked']['p99']:.1f} us, without {medians['quiet']['p99']:.1f}: {ratio:.3f}"
    )
    print(
        json.dumps(
            {
                "name": "control",
                "rounds": options.rounds,
                "figure": FIGURE,
                **medians,
                "ratio_p99": round(ratio, 3),
                "goal": GOAL,
                "refused": refused,
                "longest_answer_ms": max(each["longest_answer_ms"] for each in found[True]),
            }
        )
    )
    sys.exit(0 if min(refused) > 1000 else 1)


if __name__ == "__main__":
    main()
