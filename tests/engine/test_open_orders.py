"""Orders that the end of the data leaves open are rows like all others: states sum to the orders sent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.order import ORDERS_MAX
from tests.support.paths import ROOT
from tests.support.short_run import two_seconds

RESTING = 60
PLUGIN = f"""
import msgspec
from crosswire.nic.memory.struct import i64
from crosswire.strategies.desk import Desk, submit
from crosswire.strategies.interface import BuildContext, Strategy, on_book
from crosswire.venues.order import TimeInForce
from crosswire.venues.side import BUY


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Rester(Strategy):
    sent: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Rester":
        return cls()


@on_book.register(Rester)
def rest(strategy: Rester, desk: Desk, instrument: int) -> None:
    bid = desk.books[instrument].bid_ticks
    if strategy.sent < {RESTING}:
        strategy.sent += 1
        submit(desk, instrument, BUY, bid - 200 - strategy.sent, 1, time_in_force=TimeInForce.GTC)
"""


@pytest.mark.slow
@pytest.mark.skipif(NO_JIT, reason="a whole run takes minutes uncompiled")
def test_orders_left_open_are_rows(tmp_path: Path) -> None:
    assert RESTING < ORDERS_MAX
    config = two_seconds(tmp_path, seed=1)
    plugin = tmp_path / "rester.py"
    plugin.write_text(PLUGIN)
    head, _, rest = config.read_text().partition("[strategy]")
    rest = rest.partition("[limits]")[2].replace("open_orders_max = 16", "open_orders_max = 100")
    config.write_text(f'{head}[strategy]\nuse = "{plugin}:Rester"\n[limits]{rest}')
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(config), "--json", "--no-report"]
    result = subprocess.run(
        [*command, "-o", str(tmp_path / "runs")], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    states = summary["orders_by_state"]
    assert summary["orders_sent"] > RESTING // 2
    assert states["live"] > 10
    assert summary["orders_sent"] == sum(states.values()) - states.get("vetoed", 0)
    (orders,) = {path.resolve() for path in tmp_path.glob("runs/*/*/orders.parquet")}
    table = pq.read_table(orders)
    live = table.filter(pc.equal(table["state"].cast("string"), "live"))
    assert live.num_rows == states["live"]
    assert live["closed"].null_count == live.num_rows
    assert live["acknowledged"].null_count == 0
