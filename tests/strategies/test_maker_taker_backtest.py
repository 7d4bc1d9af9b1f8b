"""A whole run of `maker_taker`: its fills are its positions, and each fill of a quote has its hedge."""

import json
from pathlib import Path

import numpy as np
import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.report.columns import read_table
from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.instrument import E9
from tests.support.short_run import two_seconds

pytestmark = pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")

COIN_SLACK = 0.001 * 5 / 8  # that a trade may leave, of the coarser lot
STRATEGY = """use = "maker_taker"

[strategy.parameters]
quoted = "bridge/BTCUSDT"
hedges = ["deribit/BTC-PERPETUAL"]
edge_min_bps = -8
edge_keep_bps = -10
requote_us = 5_000
depth = 3
size_max = 0.05
position_max = 0.5
unwind_loss_max_bps = 10
slippage_ticks = 2

"""


def test_fills_are_positions_and_each_fill_of_a_quote_is_hedged(tmp_path: Path) -> None:
    path = two_seconds(tmp_path / "maker", seed=1)
    before, _, rest = path.read_text().partition("[strategy]\n")
    path.write_text(f"{before}[strategy]\n{STRATEGY}{rest[rest.index('# For `crosswire exchange`') :]}")
    folder = run_backtest(path, tmp_path / "runs", started=0.0, with_report=True)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["counters"]["alarms"] == 0
    fills = read_table(folder / "fills.parquet", ["instrument", "side", "qty_lots", "price", "liquidity"])
    orders = read_table(folder / "orders.parquet", ["symbol", "time_in_force"])
    positions = read_table(folder / "positions.parquet", ["instrument", "position_lots"])
    index = {each["symbol"]: each["index"] for each in summary["definitions"]}
    quoted, hedge = index["BTCUSDT"], index["BTC-PERPETUAL"]
    signed = np.where(fills["side"] == "buy", 1, -1) * fills["qty_lots"]
    for instrument in (quoted, hedge):
        own = fills["instrument"] == instrument
        assert signed[own].sum() == positions["position_lots"][positions["instrument"] == instrument][-1]
    # Hedges are takers. All of a trade's quote is hedged or traded back, but for what a lot leaves and what is carried.
    assert set(np.unique(orders["time_in_force"][orders["symbol"] == "BTC-PERPETUAL"])) == {"ioc"}
    makers = fills["liquidity"] == "maker"
    assert makers.sum() > 10
    assert (fills["instrument"][makers] == quoted).all()
    coins = np.where(fills["instrument"] == quoted, signed / 1_000, signed * 10 / fills["price"])
    trades = read_table(folder / "trades.parquet", ["trade_id", "bought_size_e9", "sold_size_e9"])
    assert len(np.unique(trades["trade_id"])) == len(trades["trade_id"]) > 0
    assert max(abs(trades["bought_size_e9"] - trades["sold_size_e9"])) <= 2 * COIN_SLACK * E9
    assert abs(coins.sum()) <= COIN_SLACK
    assert max(abs(np.cumsum(signed[fills["instrument"] == quoted]))) <= 500
