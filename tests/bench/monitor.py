"""`crosswire bench monitor`: what metrics cost the loop, by turns with Prometheus scraping and with nobody looking.

    crosswire bench monitor [--rounds 5] [--seconds 30] [--every 1]

The loop, its exchanges and the figure are those of `bench tick-to-trade`: from a received frame to the first leg's
order on its ring, by the TSC. In one of a round's two runs `crosswire monitor` serves
the run's metrics and a Prometheus (Debian's, or plain HTTP requests where it is not installed) scrapes them every
second, both on the exchanges' core; in the other there is neither. The loop has real-time scheduling, so that others on
the machine take no part in it. For ten minutes under scraping: --rounds 5 --seconds 120.

Medians over rounds, and the ratio of both p99. Fails if fewer scrapes were answered than there was time for by half.
The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.bench.by_turns import add_options, by_turns, compared
from tests.bench.control import CONTROL, latencies_ns, monitored, shared_rig
from tests.bench.tick_to_trade import WARM_UP, Rig, percentiles, run_rig
from tests.support.prometheus import free_port, prometheus

GOAL = 1.05
RATE_MAX = 60_000  # triggers a second
PAUSE_NS_MAX = 30_000  # before a trigger: so there are no more than that
MORE_TRIGGERS = 10_000  # once the time is up: the exchanges do not go past what they are told meanwhile
NAMES = ("alone", "scraped")
PATIENCE_S = 10.0
HTTP = "http"


@contextmanager
def scraping(folder: Path, metrics: str, every_s: int, core: int) -> Iterator[str]:
    """Scrape every so many seconds, on this core; give who does it."""
    if shutil.which("prometheus") is not None:
        with prometheus(folder / "prometheus", metrics, every_s) as watching:
            for thread in Path(f"/proc/{watching.process}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})
            watching.until("crosswire_up", 1)
            yield f"prometheus {watching.get('status/buildinfo')['version']}"
        return
    is_over = threading.Event()

    def ask() -> None:
        os.sched_setaffinity(0, {core})
        while not is_over.wait(every_s):
            page(metrics)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield HTTP
    finally:
        is_over.set()
        thread.join()


def page(metrics: str) -> str:
    """Scrape once."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def seen(metrics: str) -> dict[str, Any]:
    """Tell how many pages were given before this one, the longest that one took, and how large it is."""
    text = page(metrics)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    longest_ms = round(samples["crosswire_scrape_longest_seconds",] * 1000, 1)
    return {
        "scrapes": int(samples["crosswire_scrapes_total", "answered"]),
        "page_longest_ms": longest_ms,
        "page_bytes": len(text),
    }


def end_soon(rig: Rig) -> None:
    """Have the exchanges pull no more than a few triggers."""
    rig.exchanges.triggers = min(rig.exchanges.triggers, rig.exchanges.done + MORE_TRIGGERS)


def one_run(folder: Path, options: argparse.Namespace, is_scraped: bool) -> dict[str, Any]:
    """Measure once."""
    metrics = f"127.0.0.1:{free_port()}"
    triggers = WARM_UP + options.seconds * RATE_MAX
    facts: dict[str, Any] = {}
    with ExitStack() as closing:
        made = closing.enter_context(shared_rig(folder, triggers, f'{CONTROL}metrics = "{metrics}"\n'))
        rig, config_path, runs = made
        rig.exchanges.pause_ns_max = PAUSE_NS_MAX
        if is_scraped:
            closing.enter_context(monitored(config_path, runs, options.exchange_core))
            scraped = scraping(folder, metrics, options.every, options.exchange_core)
            facts["scraper"] = closing.enter_context(scraped)
        begun_s = time.monotonic()
        ending = threading.Timer(options.seconds, end_soon, (rig,))
        ending.start()
        closing.callback(ending.cancel)
        run_rig(rig, options.loop_core, options.exchange_core, options.fifo, exchange_fifo=False)
        facts["seconds"] = round(time.monotonic() - begun_s, 1)
        if is_scraped:
            facts |= seen(metrics)
        latencies = latencies_ns(rig, "monitor")
    return {**percentiles(latencies), **facts}


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench monitor", description=(__doc__ or "").split("\n", 1)[0])
    add_options(parser)
    parser.add_argument("--seconds", type=int, default=30, help="of each run")
    parser.add_argument("--every", type=int, default=1, help="seconds between two scrapes")
    options = parser.parse_args()
    found = by_turns(options.rounds, NAMES, lambda folder, is_scraped: one_run(folder, options, is_scraped))
    scraped = found[True]
    facts = {
        "goal": GOAL,
        "scraper": scraped[0]["scraper"],
        "scrapes": sum(each["scrapes"] for each in scraped),
        "scraped_seconds": round(sum(each["seconds"] for each in scraped), 1),
        "page_longest_ms": max(each["page_longest_ms"] for each in scraped),
        "page_bytes": scraped[0]["page_bytes"],
    }
    print(json.dumps({"name": "monitor", "rounds": options.rounds, **compared(found, NAMES), **facts}))
    sys.exit(0 if facts["scrapes"] * options.every >= facts["scraped_seconds"] / 2 else 1)


if __name__ == "__main__":
    main()
