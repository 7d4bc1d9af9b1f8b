"""Captures of Starbase's multicast: inspected, replayed in a backtest, and what can't be done with them said."""

import json
import os
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.config import load_config
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.starbase.adapter import ADAPTER, explain
from crosswire.venues.starbase.orders.state import Refusal, StarbaseSession
from tests.support.paths import ROOT
from tests.support.starbase_captures import replaying, standing_alone, write_capture

pytestmark = pytest.mark.starbase

SECONDS = 2


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of crosswire, uncompiled: a few thousand packets take less time than compiling."""
    return subprocess.run(
        [sys.executable, "-m", "crosswire.engine.cli", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"CROSSWIRE_NO_JIT": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def succeeded(*arguments: object) -> str:
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def books(folder: Path) -> dict[str, Any]:
    """The exchange's own books after it has published `VENUE-000.pcap`."""
    (folder / "run.toml").write_text(standing_alone(SECONDS))
    return write_capture(folder / "run.toml", folder / "starbase-000.pcap")


@pytest.fixture(scope="module")
def seen(folder: Path, books: dict[str, Any]) -> dict[str, Any]:
    assert books
    return dict(json.loads(succeeded("inspect", folder / "starbase-000.pcap", "--venue", "starbase", "--json")))


def test_inspect_tells_packets_messages_and_gaps(seen: dict[str, Any]) -> None:
    assert seen["packets"] == seen["capture"]["udp"] > 1_000 * SECONDS
    assert seen["duplicates"] * 2 == seen["packets"]  # both lines
    assert seen["gaps"] == seen["continuity_breaks"] == 0
    assert set(seen["rejects"]) <= {"unknown_instrument"}  # before the first snapshot defines them
    assert seen["messages"]["BidPut"] > 100
    assert seen["messages"]["SnapshotHeader"] == seen["messages"]["SnapshotTrailer"] > 0
    assert seen["snapshots"]["loaded"] == 2
    assert [(row["id"], row["snapshot"]) for row in seen["channels"]] == [(1, 0), (1, 1)]


def test_inspected_books_are_the_exchanges_own(seen: dict[str, Any], books: dict[str, Any]) -> None:
    assert seen["books"] == books
    assert all(book["bids"] > 3 and book["asks"] > 3 for book in books.values())


def test_a_missing_packet_is_a_gap(folder: Path, books: dict[str, Any], tmp_path: Path) -> None:
    frames = list(read_frames([folder / "starbase-000.pcap"]))
    with CaptureWriter(tmp_path / "gap.pcap") as writer:
        for number, (time_ns, frame) in enumerate(frames):
            if number not in (len(frames) // 2, len(frames) // 2 + 1):
                writer.write(time_ns, frame)
    seen = json.loads(succeeded("inspect", tmp_path / "gap.pcap", "--venue", "starbase", "--json"))
    assert seen["gaps"] > 0
    assert seen["recovery"]["holes"] == 1


def test_instruments_say_what_the_wire_does_not_tell(folder: Path, books: dict[str, Any]) -> None:
    text = succeeded("inspect", folder / "starbase-000.pcap", "--venue", "starbase", "--instruments")
    rows = tomllib.loads(text, parse_float=Decimal)["venue"]["instrument"]
    assert {row["symbol"]: (row["payoff"], row["tick"], row["lot"]) for row in rows} == {
        "BTC-PERPETUAL": ("inverse", Decimal("0.5"), 10),
        "BTC_USDC-PERPETUAL": ("linear", Decimal("0.5"), Decimal("0.0001")),
    }
    assert text.count("# contract: this venue's definitions do not tell it") == 2
    assert all("maker_fee_bps" not in row and "contract" not in row for row in rows)


def test_messages_are_told_field_by_field(folder: Path, books: dict[str, Any]) -> None:
    lines = succeeded("inspect", folder / "starbase-000.pcap", "--venue", "starbase", "--messages", 3_000).splitlines()
    assert sum(line.startswith("  ") and not line.startswith("   ") for line in lines) == 3_000
    assert not [line for line in lines if "unknown" in line or "cut off" in line]
    assert any(line.startswith("  BidPut order_id=") for line in lines)
    definition = next(line for line in lines if line.startswith("  InstrumentDefinition"))
    assert "BTC-PERPETUAL" in definition or "BTC_USDC-PERPETUAL" in definition


def test_captures_are_replayed_in_a_backtest(folder: Path, books: dict[str, Any], tmp_path: Path) -> None:
    """Orders go to the exchange over captures: it fills them, and the same again in another run."""
    text = replaying(standing_alone(SECONDS), folder / "starbase-000.pcap")
    text = text.replace("close_threshold_bps = 0", "close_threshold_bps = -5")
    text = text.replace("\nthreshold_bps = 1", "\nthreshold_bps = -5")
    text = text.replace("cooldown_us = 2_000", "cooldown_us = 100_000")
    (tmp_path / "run.toml").write_text(text)
    arguments = ("backtest", tmp_path / "run.toml", "--no-report", "--json", "-o", tmp_path)
    facts, again = json.loads(succeeded(*arguments)), json.loads(succeeded(*arguments))
    assert facts["orders_sent"] > 10
    assert facts["fills"] > 10
    assert facts["venues"]["starbase"]["sequence_gaps"] == 0
    assert facts["digest"] == again["digest"]
    assert facts["counters"]["alarms"] == 0


def test_what_captures_can_not_do_is_said(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(standing_alone(1).replace('orders = "starbase"', 'orders = "starbase"\ncaptures = ["a.pcap"]'))
    result = command("backtest", path)
    assert result.returncode == 1
    assert 'with orders = "starbase" the exchange makes its market data itself' in result.stderr
    path.write_text(replaying(standing_alone(1), tmp_path / "none.pcap"))
    result = command("backtest", path)
    assert f"capture {tmp_path / 'none.pcap'} does not exist" in result.stderr
    path.write_text(standing_alone(1).replace("[venue.starbase.market]", "[other]"))
    assert "unknown field `other`" in command("backtest", path).stderr


def test_a_market_is_needed_where_the_exchange_is_simulated(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    head, _, rest = standing_alone(1).partition("[venue.starbase.market]")
    path.write_text(head + "[[venue.instrument]]" + rest.partition("[[venue.instrument]]")[2])
    assert load_config(path).venue[0].settings.market is None
    result = command("backtest", path)
    assert result.returncode == 1
    assert "venue starbase: starbase.market is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_why_a_gateway_is_given_up_is_said_in_words() -> None:
    session = StarbaseSession(link_count=2)
    assert explain(session) == ""
    session.links[1].refusal = Refusal.LOGGED_OUT
    for position, byte in enumerate(b"displaced"):
        session.links[1].reason[position] = byte
    session.links[1].reason_length = 9
    assert explain(session) == "gateway B: the exchange logged us out: displaced"
    session.links[0].refusal = Refusal.SCHEMA_VERSION
    assert explain(session).startswith("gateway A: the exchange speaks a version")
    session.links[1].logging_out = 1
    assert "gateway B" not in explain(session)
    assert ADAPTER.order_entries["starbase"].explain is explain
