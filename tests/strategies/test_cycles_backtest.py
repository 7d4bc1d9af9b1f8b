"""A backtest on the generated triangle: currencies add up by its fills alone, and records and report name all legs."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import pytest

from crosswire.engine.report.report import write_report
from crosswire.engine.report.rows import Row, Rows
from tests.support.paths import ROOT

SECONDS = 3
TERMS = {  # base, quote, tick, lot: as in the example
    "BTCUSDT": ("BTC", "USDT", Fraction(1, 10), Fraction(1, 100_000)),
    "ETHUSDT": ("ETH", "USDT", Fraction(1, 100), Fraction(1, 10_000)),
    "ETHBTC": ("ETH", "BTC", Fraction(1, 10**6), Fraction(1, 1_000)),
}
FEE = Fraction(1, 10_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for three seconds, uncompiled: that takes less time than compiling it."""
    folder = tmp_path_factory.mktemp("triangle")
    shutil.copytree(ROOT / "examples", folder / "examples")
    command = [
        sys.executable,
        "-m",
        "crosswire.engine.cli",
        "backtest",
        "examples/cycles.toml",
        "--no-report",
        "--json",
    ]
    done = subprocess.run(
        [*command, "-o", "runs", "--set", f"generate.seconds={SECONDS}"],
        cwd=folder,
        env=os.environ | {"CROSSWIRE_NO_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "cycles" / "latest"


def rows(run: Path, name: str) -> list[Row]:
    return Rows(run).table(f"{name}.parquet")


def changes(fills: list[Row]) -> Counter[str]:
    """What fills change of each currency after fees, by ticks and lots alone."""
    held: Counter[str] = Counter()
    for each in fills:
        base, quote, tick, lot = TERMS[each["symbol"]]
        sign = 1 if each["side"] == "buy" else -1
        value = each["price_ticks"] * tick * each["qty_lots"] * lot
        held[base] += sign * each["qty_lots"] * lot
        held[quote] -= sign * value + value * FEE
    return held


def test_each_trade_is_flat_in_every_currency_but_its_money(run: Path) -> None:
    trades, fills = rows(run, "trades"), defaultdict(list)
    for each in rows(run, "fills"):
        fills[each["trade_id"]].append(each)
    assert len(trades) >= 3
    assert {trade["outcome"] for trade in trades} <= {"complete", "retried", "unwound"}
    for trade in trades:
        held = changes(fills[trade["trade_id"]])
        # Half a lot of the coarsest leg, what the next trade takes over, and fills that were better than decided.
        assert abs(held["ETH"]) <= Fraction(1, 1_000)
        assert abs(held["BTC"]) * 60_000 <= 20
        worth = held["USDT"] + held["BTC"] * 60_000 + held["ETH"] * 3_000
        assert float(worth) == pytest.approx(trade["traded_value_e9"] / 1e9, abs=0.05)


def test_positions_are_what_the_fills_come_to(run: Path) -> None:
    lots: Counter[str] = Counter()
    for each in rows(run, "fills"):
        lots[each["symbol"]] += each["qty_lots"] if each["side"] == "buy" else -each["qty_lots"]
    summary = json.loads((run / "summary.json").read_text(), parse_float=Fraction)
    assert summary["venues"]["spot"]["rejects"] == {}
    for name, (_base, _quote, _tick, lot) in TERMS.items():
        assert Fraction(summary["instruments"][f"spot/{name}"]["position"]) == lots[name] * lot
    held = changes(rows(run, "fills"))
    earned = {currency: Fraction(each["net"]) for currency, each in summary["pnl"].items()}
    charges = {currency: Fraction(each["charges"]) for currency, each in summary["pnl"].items()}
    # Marked, the coins that positions still hold or owe are worth what the books say; cash is exact.
    for currency in ("USDT", "BTC"):
        pnl = summary["pnl"][currency]
        cash = Fraction(pnl["cash"]) - Fraction(pnl["fees"])
        own = [each for each in rows(run, "fills") if TERMS[each["symbol"]][1] == currency]
        assert abs(cash - changes(own)[currency]) <= Fraction(len(own), 10**9)
        assert earned[currency] == cash + Fraction(pnl["position_value"]) - charges[currency]
    assert abs(held["ETH"]) < Fraction(5, 1_000)


def test_records_name_all_legs(run: Path) -> None:
    ways = {
        "buy spot/BTCUSDT, buy spot/ETHBTC, sell spot/ETHUSDT",
        "buy spot/ETHUSDT, sell spot/ETHBTC, sell spot/BTCUSDT",
    }
    trades, found = rows(run, "trades"), rows(run, "opportunities")
    assert trades
    assert {row["cycle"] for row in trades + found} <= ways
    shown = Rows(run).find("opportunity", 1)
    assert sorted(shown.instruments) == ["spot/BTCUSDT", "spot/ETHBTC", "spot/ETHUSDT"]
    summary = json.loads((run / "summary.json").read_text(), parse_float=Fraction)
    assert [sorted(each["instruments"]) for each in summary["pairs"]] == [sorted(shown.instruments)]
    assert summary["opportunities"]["count"] == len(found)


def test_the_report_draws_no_spread_between_a_cycles_ends(run: Path) -> None:
    page = write_report(run).read_text()
    assert "Spread and trades" not in page
    assert "Opportunities against captured" in page
    assert rows(run, "trades")[0]["cycle"] in page
