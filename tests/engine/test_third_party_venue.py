"""A venue of somebody else's package, outside the repository: found, configured, traded, and its mistakes told."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet
import pytest

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.struct import address_of, array, u8
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, seal_udp_frame, write_udp_frame_header
from tests.support.paths import ROOT
from tests.support.third_party import offer

SOURCE = ROOT / "tests" / "data" / "acme"
TOPS = 100
STEP_NS = 10_000_000
EVERY, LOTS, LOTS_PER_UNIT = 10, 7, 10
START_NS = 1_767_225_600_000_000_000

STRATEGY = f"""
import msgspec
from crosswire.nic.memory.struct import i64
from crosswire.strategies.desk import Desk, submit
from crosswire.strategies.interface import BuildContext, Strategy, on_book
from crosswire.venues.order import TimeInForce
from crosswire.venues.side import BUY


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Nibbler(Strategy):
    seen: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Nibbler":
        return cls()


@on_book.register(Nibbler)
def nibble(strategy: Nibbler, desk: Desk, instrument: int) -> None:
    strategy.seen += 1
    if strategy.seen % {EVERY} == 0:
        ask = desk.books[instrument].ask_ticks
        submit(desk, instrument, BUY, ask, {LOTS})
"""

CONFIG = f"""
name = "acme"
[limits]
loss_max = 1_000_000
self_trade_prevention = true

[limits.account]
gross_max = 10_000_000
net_max = 10_000_000
orders_per_second = 1_000_000
burst = 1_000_000
[limits.underlying.BTC]
gross_max = 10_000_000
net_max = 10_000_000
delta_max = 1_000
[strategy]
use = "nibbler.py:Nibbler"
[[venue]]
name = "acme"
feed = "acme"
captures = ["acme.pcap"]
limits = {{ orders_per_second = 1000, burst = 1000, open_orders_max = 16, notional_max = 10_000_000 }}
[venue.acme]
lots_per_unit = {LOTS_PER_UNIT}
[venue.simulation]
feed_latency = {{ model = "constant", us = 1000 }}
order_latency = {{ model = "constant", us = 1000 }}
response_latency = {{ model = "constant", us = 1000 }}
orders_per_second = 1000
burst = 1000
[[venue.instrument]]
symbol = "BTC-USD"
kind = "perpetual"
payoff = "linear"
underlying = "BTC"
base = "BTC"
quote = "USD"
settlement = "USD"
tick = 1
lot = 0.001
contract = 1
maker_fee_bps = 0
taker_fee_bps = 0
[venue.instrument.limits]
order_max = 1
order_notional_max = 1_000_000
position_max = 10
price_max = 1_000_000
price_collar_bps = 100
book_age_max_ms = 5000
mark_age_max_ms = 60_000
"""


def tops() -> list[tuple[int, int, int]]:
    """(sequence, bid, ask) of each packet; before the last ten one is missing."""
    return [(number + (number > TOPS - 10), 50_000 + number, 50_001 + number) for number in range(1, TOPS + 1)]


def write_capture(path: Path) -> None:
    """Each packet tells the top of the book: five units either side."""
    flow = Flow(destination_ip=0xEF_01_01_01, source_ip=0x0A_00_00_01, source_port=1, destination_port=1)
    with CaptureWriter(path) as writer:
        for sequence, bid, ask in tops():
            time_ns = START_NS + sequence * STEP_NS
            payload = struct.pack("<IBB8sqqqqq", sequence, 1, 48, b"BTC-USD", time_ns, bid, 5, ask, 5)
            frame = array(u8, UDP_FRAME_HEADER_BYTES + len(payload))
            write_udp_frame_header(address_of(frame), flow, len(payload))
            frame.numpy()[UDP_FRAME_HEADER_BYTES:] = list(payload)
            seal_udp_frame(address_of(frame), len(payload))
            writer.write(time_ns, bytes(frame))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as an installer leaves it, in `site`, and a run's files beside that."""
    folder = tmp_path_factory.mktemp("acme")
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    shutil.copytree(SOURCE / "acme", folder / "site" / "acme", ignore=shutil.ignore_patterns("__pycache__"))
    offer(folder / "site", "acme_venue", project["entry-points"]["crosswire.venues"])
    (folder / "nibbler.py").write_text(STRATEGY)
    (folder / "run.toml").write_text(CONFIG)
    write_capture(folder / "acme.pcap")
    return folder


def crosswire(
    folder: Path, *arguments: object, site: bool = True, no_jit: str = "1"
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that has the package's folder on its path, and no other word of it."""
    environment = os.environ | {"CROSSWIRE_NO_JIT": no_jit} | ({"PYTHONPATH": str(folder / "site")} if site else {})
    return subprocess.run(
        [sys.executable, "-m", "crosswire.engine.cli", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(folder: Path, text: str, **options: bool) -> str:
    """The one line that a backtest of this configuration ends with."""
    (folder / "bad.toml").write_text(text)
    result = crosswire(folder, "backtest", "bad.toml", **options)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("no_jit", ["1", pytest.param("", marks=[pytest.mark.slow, pytest.mark.parity])])
def test_a_backtest_trades_on_it(folder: Path, no_jit: str) -> None:
    result = crosswire(folder, "backtest", "run.toml", "--no-report", "--json", "-o", f"runs{no_jit}", no_jit=no_jit)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    venue = summary["venues"]["acme"]
    assert venue["packets"] == TOPS
    assert venue["messages"] == {"Top": TOPS}
    assert venue["sequence_gaps"] == 1
    assert venue["rejects"] == {}
    assert summary["orders_sent"] == TOPS // EVERY
    fills = pyarrow.parquet.read_table(folder / f"runs{no_jit}" / "acme" / "latest" / "fills.parquet").to_pylist()
    # Every tenth top is bought at: the whole order at its ask, for five units of ten lots are there.
    asks = [ask for _, _, ask in tops()][EVERY - 1 :: EVERY]
    assert [(fill["price_ticks"], fill["qty_lots"]) for fill in fills] == [(ask, LOTS) for ask in asks]
    assert fills[-1]["position_lots"] == LOTS * TOPS // EVERY
    assert summary["counters"]["alarms"] == 0


def test_its_settings_are_its_own(folder: Path) -> None:
    missing = refused(folder, CONFIG.replace("lots_per_unit = 10", ""))
    assert "venue acme: acme: object missing required field `lots_per_unit`" in missing
    more = refused(folder, CONFIG.replace("lots_per_unit = 10", "lots_per_unit = 10\nlots = 10"))
    assert "venue acme: acme: object contains unknown field `lots`" in more
    wrong = refused(folder, CONFIG.replace("lots_per_unit = 10", 'lots_per_unit = "ten"'))
    assert "venue acme: acme.lots_per_unit = ten: expected `int`" in wrong
    out_of_range = refused(folder, CONFIG.replace("lots_per_unit = 10", "lots_per_unit = 0"))
    assert "venue acme: acme.lots_per_unit = 0: must be positive" in out_of_range


def test_without_its_package_it_is_unknown(folder: Path) -> None:
    assert "unknown venue acme; known are bridge, deribit, starbase\n" in refused(folder, CONFIG, site=False)


def test_what_it_does_not_offer_is_said(folder: Path) -> None:
    result = crosswire(folder, "inspect", "acme.pcap", "--venue", "acme")
    assert result.returncode == 1
    assert "--venue acme: does not tell its instruments on the wire" in result.stderr
    recordings = CONFIG.replace("[venue.acme]", 'recordings = ["x.gz"]\n[venue.acme]')
    assert 'venue acme: recordings: feed = "acme" imports none' in refused(folder, recordings)
    result = crosswire(folder, "generate", "made", "--venue", "acme", "--venue", "bridge")
    assert "venues = acme, bridge: must be 2 that can be made up" in result.stderr


def test_a_missing_capture_is_named(folder: Path) -> None:
    assert "capture none.pcap does not exist" in refused(folder, CONFIG.replace("acme.pcap", "none.pcap"))


PRINT_KEY = """
from crosswire.engine.adapters import find_adapter
find_adapter("acme")
from acme.feed import AcmeFeed
from crosswire.nic.unit.unit import key_of
from crosswire.venues.feed import feed_unit
print(key_of(feed_unit(AcmeFeed)))
"""


def test_machine_code_is_made_from_its_sources(folder: Path, tmp_path: Path) -> None:
    """A copy of the package elsewhere needs no compiling; an edit of what its feed imports does."""
    site = shutil.copytree(folder / "site", tmp_path / "site")

    def key() -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        command = [sys.executable, "-c", PRINT_KEY]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = key()
    site = site.rename(tmp_path / "moved")
    assert key() == first
    (site / "acme" / "unrelated.py").write_text("X = 1\n")
    assert key() == first
    feed = site / "acme" / "feed.py"
    feed.write_text(feed.read_text() + "\nLOTS = 2\n")
    assert key() != first


def test_the_page_counts_its_lines_as_they_are() -> None:
    page = (ROOT / "docs" / "venues.md").read_text()
    lines = {
        path.name: len(path.read_text().splitlines()) for path in SOURCE.rglob("*.*") if path.suffix in (".py", ".toml")
    }
    section = page.partition("counted")[2]
    counted = [int(number) for number in re.findall(r"(\d+)\s+lines", section)]
    assert counted == [lines["feed.py"], lines["adapter.py"], lines["pyproject.toml"]]
