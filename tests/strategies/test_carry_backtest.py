"""A whole run of `carry` over a time of funding: what the report charges, held against the fills and the schedule."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.generate import START_NS
from crosswire.engine.report.columns import read_table
from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.unit.compile import NO_JIT
from tests.support.short_run import two_seconds

pytestmark = pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")

PAID_NS = START_NS + 1_200 * NS_PER_MS  # in the middle of the run: what is paid is heard of after its end
BEFORE_NS = PAID_NS - 8 * 3_600 * NS_PER_S
MARK = 61_000
STRATEGY = """use = "carry"

[strategy.parameters]
pair = ["bridge/BTCUSDT", "deribit/BTC-PERPETUAL"]
horizon_h = 8
carry_min_bps = 1
carry_exit_bps = 0
hold_max_h = 8
size_max = 0.05
position_max = 0.5
cooldown_us = 20_000
unwind_loss_max_bps = 10
slippage_ticks = 2
depth = 3

"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default example's two venues over two seconds, `carry` in place of its strategy, no fees."""
    path = two_seconds(tmp_path_factory.mktemp("carry"), seed=1)
    text = path.read_text()
    before, _, rest = text.partition("[strategy]\n")
    text = f"{before}[strategy]\n{STRATEGY}{rest[rest.index('# For `crosswire exchange`') :]}"
    for symbol, funding in (("BTC-PERPETUAL", "off"), ("BTCUSDT", "funding.csv")):
        key = f'symbol = "{symbol}"\n'
        assert text.count(key) == 1
        text = text.replace(key, f'{key}money = {{ funding = "{funding}" }}\n')
    for fee in ("taker_fee_bps = 5\n", "taker_fee_bps = 1.7\n"):
        assert fee in text
        text = text.replace(fee, "taker_fee_bps = 0\n")
    path.write_text(text)
    return path


def run(made: Path, output: Path, before: str, paid: str) -> tuple[Path, dict[str, Any], int]:
    """Run with these two rates; its folder, its summary, and the perpetual's index."""
    rows = ((BEFORE_NS, before), (PAID_NS, paid))
    text = "".join(f"{time_ns // NS_PER_MS},{rate},{MARK}\n" for time_ns, rate in rows)
    (made.parent / "funding.csv").write_text(f"time,rate,mark_price\n{text}")
    folder = run_backtest(made, output, started=0.0, with_report=False)
    summary = json.loads((folder / "summary.json").read_text())
    return folder, summary, next(each["index"] for each in summary["definitions"] if each["symbol"] == "BTCUSDT")


@pytest.mark.parametrize("rate", ["0.005", "-0.005"])
def test_what_is_paid_is_the_position_times_rate_times_mark(made: Path, tmp_path: Path, rate: str) -> None:
    folder, summary, index = run(made, tmp_path, rate, rate)
    fills = read_table(folder / "fills.parquet", ["exchange_time_ns", "instrument", "side", "qty_lots"])
    own = (fills["instrument"] == index) & (fills["exchange_time_ns"] <= PAID_NS)
    sides = zip(fills["side"][own], fills["qty_lots"][own].tolist(), strict=True)
    lots = sum(qty if side == "buy" else -qty for side, qty in sides)
    assert lots * Decimal(rate) < 0  # it holds the side that is paid
    owed = Decimal(lots) / 1_000 * MARK * Decimal(rate)
    profit = summary["pnl"]["USDT"]
    assert Decimal(str(profit["charges_by_kind"]["funding"])) == owed < -10  # received
    parts = {key: Decimal(str(profit[key])) for key in ("net", "cash", "position_value", "fees", "charges")}
    assert parts["net"] == parts["cash"] + parts["position_value"] - parts["fees"] - parts["charges"]


def test_a_rate_that_is_not_paid_yet_sends_no_order(made: Path, tmp_path: Path) -> None:
    """The last payment was nothing, the next one is large: nobody knows before it is paid and heard of, 1 s later."""
    folder, summary, _ = run(made, tmp_path, "0", "0.005")
    orders = read_table(folder / "orders.parquet", ["created_ns"])["created_ns"]
    assert len(orders) == 0
    assert summary["fills"] == 0
