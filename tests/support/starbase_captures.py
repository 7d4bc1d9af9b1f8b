"""A capture of Starbase's multicast, as `live --capture` would take it: what the simulated exchange publishes.

`python -m tests.support.starbase_captures CONFIG CAPTURE` writes the market data of the configuration's first venue,
and prints the exchange's own books at the end.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from crosswire.engine.build.market import make_market
from crosswire.engine.build.venue import make_exchange
from crosswire.engine.config import load_config
from crosswire.engine.inspect import book_row
from crosswire.engine.live.warm_up import market_frames
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.unit.link import Linker
from crosswire.venues.book.book import refresh_top
from crosswire.venues.instrument import text_of
from tests.support.paths import ROOT

TEXT = (ROOT / "examples" / "starbase.toml").read_text()


def standing_alone(seconds: int) -> str:
    """The example's Starbase venue without the one that it follows."""
    head, _, rest = TEXT.partition("[[venue]]")
    venue = rest.partition("[[venue]]")[0].replace("seconds = 120", f"seconds = {seconds}")
    prices = "first_price = { BTC-PERPETUAL = 60_000, BTC_USDC-PERPETUAL = 60_003 }\n"
    venue = venue.replace('follow = "bridge/BTCUSDT"\nfollow_delay_ms = 40\n', prices)
    head = head.partition("[generate]")[0] + "[strategy]" + head.partition("[strategy]")[2]
    return head.replace(', "bridge/BTCUSDT"]', "]") + "[[venue]]" + venue


def replaying(text: str, *captures: Path) -> str:
    """The configuration with these captures instead of the exchange that makes its own market."""
    names = json.dumps([str(capture) for capture in captures])
    text = text.replace('orders = "starbase"', f'orders = "bridge"\ncaptures = {names}')
    return text.replace('gateway_b = "10.98.0.2:4211"\n', "")


def write_capture(config: Path, capture: Path) -> dict[str, Any]:
    """Write the capture in a process without compilation: a few thousand packets take less time than compiling.

    Returns the exchange's own books by symbol.
    """
    command = [sys.executable, "-m", "tests.support.starbase_captures", str(config), str(capture)]
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(result.stdout))


def main(config_path: Path, capture: Path) -> None:
    config = load_config(config_path)
    market, _ = make_market(config)
    linker = Linker()
    exchange = make_exchange(0, config, market, config_path, [], linker)
    linker.load()
    with CaptureWriter(capture) as writer:
        for time_ns, frame in market_frames(exchange):
            writer.write(time_ns, frame)
    books = {}
    for index in range(market.count):
        instrument, book = market.instruments[index], exchange.matching.market.books[index]
        book.valid = 1  # the exchange itself needs no proof of its books
        refresh_top(book)
        books[text_of(instrument.symbol)] = book_row(instrument, book)
    print(json.dumps(books))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
