"""`crosswire bench live`: both simulated exchanges and the engine on one machine, and whether their accounts agree.

    crosswire bench live [--seconds 60] [--ring af_xdp] [--require generic]

Runs `crosswire testbed`, `sim` and `live` as a user would, over the synthetic example. Fails if a frame was lost or
anything differs. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosswire.engine.report.summary import LatencyFacts
from crosswire.nic.host.testbed import Testbed
from tests.support.live_setup import Outcome, make_config, trade

SPARE_S = 4  # of captures, beyond what is traded
PERCENTS = (50, 90, 99)


def latency_us(outcome: Outcome, name: str) -> dict[str, float]:
    """Percentiles (upper bounds of their buckets) and the largest."""
    raw = outcome.engine["latencies"][name]
    facts = LatencyFacts(buckets=[tuple(each) for each in raw["buckets"]], max_ns=raw["max_ns"])
    figures = {f"p{percent}": facts.percentile_ns(percent) / 1000 for percent in PERCENTS}
    return {"count": facts.count, **figures, "max": facts.max_ns / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench live", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--ring", default="af_xdp", choices=["af_xdp", "af_packet", "sockets"])
    parser.add_argument("--require", default="generic", choices=["generic", "native"])
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench live: needs root: it makes network namespaces")
    changes = {'"af_xdp"': f'"{options.ring}"', '"generic"': f'"{options.require}"'}
    with tempfile.TemporaryDirectory() as folder, Testbed("cwb", links=2) as testbed:
        config = make_config(Path(folder), testbed, seconds=options.seconds + SPARE_S, **changes)
        seen = trade(Path(folder), config, options.seconds)
    rows = seen.rows()
    lost = sum(
        seen.of_venue(name)["market data drops"] + seen.of_venue(name)["interface drops"] for name in seen.exchanges
    )
    latencies = {name: latency_us(seen, name) for name in ("receive to send", "order round trip")}
    show(rows, lost, latencies, options)
    agrees = all(at_exchange == in_engine for *_, at_exchange, in_engine in rows)
    print(json.dumps({"agrees": agrees, "lost": lost, "rows": rows, "latencies_us": latencies}))
    sys.exit(0 if agrees and lost == 0 else 1)


def show(rows: list[Any], lost: int, latencies: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """The accounts side by side, and the latencies."""
    console = Console(width=110)
    table = Table(title=f"{options.seconds} s over {options.ring}: {lost} frames lost")
    for column in ("venue", "", "exchange", "engine"):
        table.add_column(column, justify="right" if column in ("exchange", "engine") else "left")
    for venue, what, at_exchange, in_engine in rows:
        table.add_row(venue, what, f"{at_exchange:,}", f"{in_engine:,}")
    console.print(table)
    times = Table(title="latency inside the loop, us")
    columns = ("count", *(f"p{percent}" for percent in PERCENTS), "max")
    for column in ("", *columns):
        times.add_column(column, justify="right" if column else "left")
    for name, figures in latencies.items():
        times.add_row(name, *(f"{figures[column]:,.1f}" for column in columns))
    console.print(times)


if __name__ == "__main__":
    main()
