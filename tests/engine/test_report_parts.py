"""Parts of the report: a strategy's own series, single-order strategies, marks on their line, what a click has."""

import base64
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from crosswire.engine.backtest import run_backtest
from crosswire.engine.cli import app
from crosswire.engine.report.columns import read_table
from crosswire.engine.report.details_page import DETAILS_MAX
from crosswire.engine.report.make import make_files
from crosswire.engine.report.report import write_report
from crosswire.engine.report.rows import Rows
from crosswire.engine.report.summary import read_summary
from crosswire.strategies.desk import VALUES_MAX, record_value
from tests.support.left_run import HELD, example, leave
from tests.support.leg_setup import make
from tests.support.short_run import two_seconds
from tests.support.synthetic_run import SyntheticRun

TAKER = """
import msgspec

from crosswire import BUY, SELL, BuildContext, Desk, Order, OrderState, Strategy, i64, on_book, on_order, submit
from crosswire import log, record_value


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    instrument: str


class Taker(Strategy):
    instrument: i64
    open: i64
    looks: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Taker":
        return cls(instrument=context.index_of(parameters.instrument))

    def series(self) -> list[str]:
        return ["spread, ticks", "looks"]

    @classmethod
    def messages(cls) -> list[str]:
        return ["{side} <{instrument}> after {} looks at {e9}"]


@on_book.register(Taker)
def look(strategy: Taker, desk: Desk, instrument: int) -> None:
    if instrument != strategy.instrument:
        return
    book = desk.books[instrument]
    strategy.looks += 1
    record_value(desk, 0, (book.ask_ticks - book.bid_ticks) * 1_000_000_000)
    record_value(desk, 1, strategy.looks * 1_000_000_000)
    if strategy.open == 0 and strategy.looks % 50 == 0:
        side = SELL if desk.positions[instrument].position_lots > 0 else BUY
        if submit(desk, instrument, side, book.ask_ticks if side == BUY else book.bid_ticks, 1):
            strategy.open = 1
            log(desk, 0, side, instrument, strategy.looks, 1_500_000_000)


@on_order.register(Taker)
def hear(strategy: Taker, desk: Desk, order: Order) -> None:
    if order.state > OrderState.PENDING_CANCEL:
        strategy.open = 0
"""


def page_of(folder: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A report's text, its figures by title, and its details."""
    page = write_report(folder).read_text()

    def script(name: str) -> Any:
        return json.loads(page.split(f"id='{name}'>")[1].split("</script>")[0])

    figures = script("figures")
    titles = {part.split("</h3>")[0]: figures[part.split("id='")[1].split("'")[0]] for part in page.split("<h3>")[1:]}
    return page, titles, script("details")


def values(data: dict[str, str]) -> np.ndarray:
    """Numbers of a trace."""
    return np.frombuffer(base64.b64decode(data["bdata"]), "<" + data["dtype"]).astype(np.float64)


def test_no_more_values_are_written_at_one_time_than_the_journal_has_room_for() -> None:
    harness = make()  # which owns the memory
    desk = harness.desk
    assert [record_value(desk, 0, number) for number in range(VALUES_MAX + 2)] == [True] * VALUES_MAX + [False] * 2
    assert desk.values_dropped == 2
    desk.now_ns += 1
    assert record_value(desk, 0, 1)


@pytest.fixture(scope="module")
def taker_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = two_seconds(tmp_path_factory.mktemp("taker"), seed=7)
    (config.parent / "taker.py").write_text(TAKER)
    text = config.read_text()
    start, end = text.index("[strategy]"), text.index("# For `crosswire exchange`")
    own = '[strategy]\nuse = "taker.py:Taker"\n\n[strategy.parameters]\ninstrument = "bridge/BTCUSDT"\n\n'
    config.write_text(text[:start] + own + text[end:])
    return run_backtest(config, config.parent / "runs", started=time.perf_counter(), with_report=False)


def test_a_strategys_own_series_are_rows_and_plots(taker_run: Path) -> None:
    rows = read_table(taker_run / "series.parquet", ["time_ns", "series", "value", "strategy"])
    looks = rows["value"][rows["series"] == "looks"]
    assert len(looks) > 10
    assert looks.tolist() == list(range(1, len(looks) + 1))
    assert set(rows["series"]) == {"looks", "spread, ticks"}
    assert set(rows["strategy"]) == {"Taker"}
    _, figures, _ = page_of(taker_run)
    (trace,) = figures["looks (Taker)"]["data"]
    assert values(trace["y"]).max() == len(looks)


def test_what_a_strategy_says_is_in_its_file_its_report_and_its_journal(taker_run: Path) -> None:
    said = read_table(taker_run / "log.parquet", ["time_ns", "strategy", "text"])
    assert len(said["text"]) > 2
    assert said["text"][0] == "buy <bridge/BTCUSDT> after 50 looks at 1.5"
    assert set(said["strategy"]) == {"Taker"}
    page, _, _ = page_of(taker_run)
    assert f"What they said, {len(said['text'])} lines" in page
    assert "buy &lt;bridge/BTCUSDT&gt; after 50 looks at 1.5" in page
    shown = CliRunner().invoke(app, ["journal", str(taker_run), "--kind", "log"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert len(lines) == len(said["text"])
    assert "strategy=Taker text=buy <bridge/BTCUSDT> after 50 looks at 1.5 " in lines[0]


def test_a_strategy_of_single_orders_gets_its_fills_and_nothing_about_legs(taker_run: Path) -> None:
    summary = read_summary(taker_run)
    assert summary.fills > 2
    assert not summary.has_legs
    page, figures, _ = page_of(taker_run)
    for title in ("Opportunities against captured", "Missed legs", "Time un-hedged", "Spread and trades"):
        assert f"<h2>{title}</h2>" not in page
    marks = [trace for trace in figures["bridge/BTCUSDT"]["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["customdata"]) for trace in marks) == summary.fills


def test_a_live_run_says_so_and_begins_with_what_it_has_taken_over(tmp_path: Path) -> None:
    folder = leave(example("synthetic", tmp_path), tmp_path / "runs")
    summary = make_files(folder, with_report=True)
    assert summary.kind == "live"
    held = {name: own.position for name, own in summary.instruments.items()}
    assert held == {"deribit/BTC-PERPETUAL": 10 * HELD[0], "bridge/BTCUSDT": Decimal(HELD[1]) / 1000}
    assert (summary.pnl["BTC"].carried, summary.pnl["USDT"].carried) == (-HELD[0], -HELD[1])
    for profit in summary.pnl.values():
        assert profit.net == profit.cash + profit.position_value - profit.fees
        assert profit.net == profit.realised + profit.locked + profit.open
    kinds = [warning.kind for warning in summary.warnings]
    assert "runs that died before their end" in kinds
    assert "positions marked at a price that was not the last" in kinds
    page = (folder / "report.html").read_text()
    assert "<small class='live'>live</small>" in page
    assert page.index("runs that died before their end") < page.index("class='tiles'>")
    code = CliRunner().invoke(app, ["show", str(folder), "order", "1"])
    assert (code.exit_code, "this run has 0" in code.stderr) == (1, True)


def test_marks_lie_on_the_line_and_a_click_has_what_belongs_to_it(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.play(300)
    run.finish()
    _, figures, details = page_of(tmp_path / "run")
    found = 0
    for figure in figures.values():
        traces = {trace.get("name", ""): trace for trace in figure["data"]}
        sides = {"opportunity to sell": "sell the spread: bid", "opportunity to buy": "buy the spread: ask"}
        for name, line in sides.items():
            if name in traces:
                times, spread = (values(traces[line][axis]) for axis in "xy")
                for at, level in zip(*(values(traces[name][axis]) for axis in "xy"), strict=True):
                    found += 1
                    assert np.abs(spread[times == at] - level).min() < 1e-3
    assert found > 5
    assert details["command"] == f"crosswire show {tmp_path / 'run'}"
    assert 0 < len(details["rows"]) <= DETAILS_MAX
    trade = Rows(tmp_path / "run").find("trade", 1)
    assert len(trade.orders) == len(trade.fills) == 2
    for order in trade.orders:
        assert f"order {order['client_order_id']}: {order['side']}" in details["rows"]["trade 1"]
