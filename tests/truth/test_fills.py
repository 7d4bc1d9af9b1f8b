"""Every fill of a recorded run again, by an exchange in plain Python that shares nothing with the simulated one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.support.paths import RECORDINGS, ROOT, recording
from tests.truth.plain_exchange import BEST_BID_ASK, BOOK_DELTA, BUY, SELL, TIMED, Packet, PlainBook, read_packets

pytestmark = [pytest.mark.truth, pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")]
SIDES = {"buy": BUY, "sell": SELL}
ORDER_LATENCY_NS = RESPONSE_LATENCY_NS = 500_000  # as the example has them
CAPTURES = {
    "spot": "spot_btcusdt_20240808.pcap",
    "usdm": "usdm_btcusdt_20240808.pcap",
    "coinm": "coinm_btcusd_perp_20240808.pcap",
}


@dataclass(frozen=True)
class Fill:
    client_order_id: int
    price_ticks: int
    qty_lots: int
    exchange_time_ns: int
    time_ns: int  # when the engine hears of it


@dataclass(frozen=True)
class Run:
    folder: Path
    data: Path

    def rows(self, name: str, venue: str) -> list[dict[str, Any]]:
        table = pyarrow.parquet.read_table(self.folder / f"{name}.parquet")
        wanted = [each for each in table.column_names if pyarrow.types.is_timestamp(table.schema.field(each).type)]
        return [row for row in table.drop_columns(wanted).to_pylist() if row["venue"] == venue]


def run_example(folder: Path, edit: Callable[[str], str]) -> Run:
    """Run the BTC example in a folder of its own."""
    recording("binance/spot/btcusdt_20240808.gz")
    examples = shutil.copytree(ROOT / "examples", folder / "examples")
    config = examples / "binance-btc.toml"
    config.write_text(edit(config.read_text()))
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(config), "--json", "--no-report"]
    result = subprocess.run(
        [*command, "-o", str(folder / "runs")],
        env=os.environ | {"CROSSWIRE_DATA": str(RECORDINGS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["fills"] > 0
    return Run(folder / "runs" / "binance-btc" / "latest", folder / "data" / "binance")


def fills_again(orders: list[dict[str, Any]], arrivals: Iterator[tuple[int, Packet]], taking: set[str]) -> list[Fill]:
    """Match a venue's orders, by the time that they arrive there, against its packets by the time that it knew them."""
    book, fills = PlainBook(), []
    packet = next(arrivals, None)
    for order in orders:
        assert order["time_in_force"] in taking
        arrival_ns = order["created_ns"] + ORDER_LATENCY_NS
        while packet is not None and packet[0] <= arrival_ns:
            book.apply(packet[1])
            packet = next(arrivals, None)
        if not book.is_whole:
            continue
        for price, lots in book.take(SIDES[order["side"]], order["price_ticks"], order["qty_lots"]):
            fills.append(Fill(order["client_order_id"], price, lots, arrival_ns, arrival_ns + RESPONSE_LATENCY_NS))
    return fills


def fills_of(run: Run, venue: str) -> list[Fill]:
    return [
        Fill(row["client_order_id"], row["price_ticks"], row["qty_lots"], row["exchange_time_ns"], row["time_ns"])
        for row in run.rows("fills", venue)
    ]


def compare(run: Run, known_ns: Callable[[str, Path], Iterator[tuple[int, Packet]]]) -> int:
    compared = 0
    for venue, capture in CAPTURES.items():
        orders = sorted(run.rows("orders", venue), key=lambda row: row["created_ns"])
        orders = [order for order in orders if order["state"] != "vetoed"]
        again = fills_again(orders, known_ns(venue, run.data / capture), {"ioc"})
        assert again == fills_of(run, venue)
        compared += len(again)
    return compared


def after_constant(latency_ns: int) -> Callable[[str, Path], Iterator[tuple[int, Packet]]]:
    """Let the exchange know each packet a constant time before it was received."""
    return lambda _venue, path: ((packet.receive_ns - latency_ns, packet) for packet in read_packets(path))


LATENCY_MAX_NS = 10**9


def by_the_wire(_venue: str, path: Path) -> Iterator[tuple[int, Packet]]:
    """Let the exchange know each packet when the packet itself says that it was made."""
    known_ns = latency_ns = 0
    for packet in read_packets(path):
        times = [message.exchange_time_ns for message in packet.messages if message.template in TIMED]
        made_ns = max(times, default=0)
        made_ns = min(made_ns, packet.receive_ns) if made_ns else packet.receive_ns - latency_ns
        if any(
            message.template in (BOOK_DELTA, BEST_BID_ASK) and message.exchange_time_ns for message in packet.messages
        ):
            latency_ns = min(packet.receive_ns - made_ns, LATENCY_MAX_NS)
        known_ns = max(packet.receive_ns - LATENCY_MAX_NS, made_ns, known_ns)
        yield known_ns, packet


def test_fills_by_the_receivers_clock(tmp_path: Path) -> None:
    constant = 'feed_latency = { model = "constant", us = 300 }'
    run = run_example(tmp_path, lambda text: text.replace('feed_latency = "measured"', constant))
    assert compare(run, after_constant(300_000)) == 31


def test_fills_by_the_exchanges_own_clock(tmp_path: Path) -> None:
    run = run_example(tmp_path, lambda text: text)
    assert compare(run, by_the_wire) == 29
