"""Summary and report: totals equal plain sums, and the page is whole, safe and self-contained."""

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from crosswire.engine.report import html as report_html
from crosswire.engine.report.buffers import make_records
from crosswire.engine.report.console import print_summary
from crosswire.engine.report.currency import e9
from crosswire.engine.report.recorder import SUMMARY, InstrumentInfo, Recorder
from crosswire.engine.report.report import write_report
from crosswire.engine.report.series import HELD_MAX, Line, read_samples, thin, trade_prices
from crosswire.engine.report.summary import (
    LatencyFacts,
    RunFacts,
    RunSummary,
    VenueFacts,
    read_summary,
    summarise,
    write_summary,
)
from crosswire.engine.report.text import duration_text, money_text, time_text
from crosswire.risk.records import FillRecord, OpportunityRecord, SampleRecord, TradeRecord
from crosswire.venues.side import BUY, SELL
from tests.support.synthetic_run import NAMES, START_NS, SyntheticRun, add, inverse, spot

RECORDS = make_records()  # drained, so empty, after each use
HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x>&\"'"


def facts(instruments: list[InstrumentInfo], **changes: Any) -> RunFacts:
    """A run of which nothing was counted."""
    given: dict[str, Any] = {
        "name": "quiet",
        "config_file": "quiet.toml",
        "config_text": 'name = "quiet"\n',
        "engine_version": "0",
        "instruments": instruments,
        "venues": {info.venue: VenueFacts() for info in instruments},
        "frames": 0,
        "messages": 0,
        "level_updates": 0,
        "orders_sent": 0,
        "orders_vetoed": {},
        "first_time_ns": START_NS,
        "last_time_ns": START_NS,
        "start_s": 0.0,
        "wall_s": 0.0,
        "digest": "",
    }
    return RunFacts(**(given | changes))


def summary_of(directory: Path, fill: Callable[[Any], None]) -> RunSummary:
    """The summary of a run of the two usual instruments whose records `fill` appends."""
    recorder = Recorder(directory, [spot(), inverse()], NAMES)
    fill(RECORDS)
    recorder.drain(RECORDS)
    recorder.close()
    return summarise(facts([spot(), inverse()]), recorder.directory)


def zeros(kind: Any) -> dict[str, int]:
    return dict.fromkeys(kind.fields, 0)


fill_lists = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from((BUY, SELL)),
        st.integers(100_000, 140_000),
        st.integers(1, 10**5),
        st.integers(-9, 9),
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(fill_lists, st.integers(100_000, 140_000))
def test_profit_equals_plain_sums(
    tmp_path_factory: pytest.TempPathFactory, fills: list[tuple[int, ...]], mark: int
) -> None:
    lots_held = [0, 0]

    def write(records: Any) -> None:
        for number, (index, side, price, lots, fee) in enumerate(fills):
            lots_held[index] += lots if side == BUY else -lots
            row = {"instrument": index, "side": side, "price_ticks": price, "qty_lots": lots, "fee_e9": fee}
            held = {"position_lots": lots_held[index], "execution_id": number}
            add(records.fills, **(zeros(FillRecord) | row | held))
        for index, lots in enumerate(lots_held):
            row = {"instrument": index, "valid": 1, "bid_ticks": mark, "ask_ticks": mark, "position_lots": lots}
            add(records.samples, **(zeros(SampleRecord) | row))

    summary = summary_of(tmp_path_factory.mktemp("runs") / "run", write)
    # Linear, in USDT: size times price. Inverse, in BTC: N USD from p1 to p2 earn N / p1 - N / p2.
    linear = [(side, price, lots, fee) for index, side, price, lots, fee in fills if index == 0]
    coin = [(side, price, lots, fee) for index, side, price, lots, fee in fills if index == 1]
    tick, lot = Fraction(1, 100), Fraction(1, 100_000)
    earned = sum(
        (lots * lot * (mark - price) * tick * (1 if side == BUY else -1) for side, price, lots, _ in linear),
        Fraction(0),
    )
    dollars = summary.pnl["USDT"]
    assert dollars.fees == e9(sum(fee for *_, fee in linear))
    assert dollars.net == dollars.cash + dollars.position_value - dollars.fees
    assert Fraction(dollars.cash + dollars.position_value) == earned
    earned = sum(
        (
            10 * lots * (1 / Fraction(price, 2) - 1 / Fraction(mark, 2)) * (1 if side == BUY else -1)
            for side, price, lots, _ in coin
        ),
        Fraction(0),
    )
    coins = summary.pnl["BTC"]
    assert coins.fees == e9(sum(fee for *_, fee in coin))
    # Each conversion rounds by less than 1e-9 coin.
    assert abs(Fraction(coins.cash + coins.position_value) - earned) <= Fraction(len(coin) + 1, 10**9)
    assert summary.instruments["binance/BTCUSDT"].position == Decimal(lots_held[0]) / 100_000
    assert summary.instruments["deribit/BTC-PERPETUAL"].volume == sum(10 * lots for _, _, lots, _ in coin)
    assert summary.fills == len(fills)


counts = st.integers(0, 10**12)
opportunity_lists = st.lists(st.tuples(counts, counts, st.integers(0, 1), counts, st.integers(0, 3)), max_size=15)
trade_lists = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(-(10**15), 10**15), st.integers(0, 2), st.integers(-(10**12), 10**12), counts
    ),
    max_size=15,
)


@settings(max_examples=25)
@given(opportunity_lists, trade_lists)
def test_totals_equal_plain_sums(
    tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[int, ...]], traded: list[tuple[int, ...]]
) -> None:
    def write(records: Any) -> None:
        for length, value, buy, captured, blocked in seen:
            row = {"start_ns": START_NS, "end_ns": START_NS + length, "buy_instrument": buy, "peak_value_e9": value}
            row |= {"captured_size_e9": captured, "attempts": int(blocked == 0), "blocked_by": blocked}
            add(records.opportunities, **(zeros(OpportunityRecord) | row))
        for buy, value, retries, cost, unhedged in traded:
            row = {"buy_instrument": buy, "expected_value_e9": value, "traded_value_e9": -value, "outcome": 1}
            row |= {"retries": retries, "miss_cost_e9": cost, "unhedged_ns": unhedged}
            add(records.trades, **(zeros(TradeRecord) | row))

    summary = summary_of(tmp_path_factory.mktemp("runs") / "run", write)
    lengths = sorted(length for length, *_ in seen)
    opportunities = summary.opportunities
    assert opportunities.count == len(seen)
    assert opportunities.captured == sum(captured > 0 for *_, captured, _ in seen)
    assert opportunities.duration_max_ns == (lengths[-1] if lengths else None)
    assert opportunities.duration_median_ns == (lengths[(len(lengths) + 1) // 2 - 1] if lengths else None)
    assert opportunities.blocked == Counter(NAMES.blocked[blocked] for *_, blocked in seen if blocked)
    missed = [trade for trade in traded if trade[2] > 0 or trade[3] != 0]
    legs = summary.trades.missed_legs
    assert legs.trades == len(missed)
    assert summary.unhedged_seconds == sum(unhedged for *_, unhedged in traded) / 1e9
    for currency, index in (("USDT", 0), ("USD", 1)):
        costs = [cost for buy, _, _, cost, _ in missed if buy == index]
        assert legs.cost.get(currency, 0) == e9(sum(costs))
        assert legs.cost_worst.get(currency) == (e9(max(costs)) if costs else None)
        assert summary.trades.expected.get(currency, 0) == e9(sum(value for buy, value, *_ in traded if buy == index))
        worth = [opportunities.peak_value, opportunities.shared_value]
        assert sum(each.get(currency, Decimal(0)) for each in worth) == e9(
            sum(value for _, value, buy, _, _ in seen if buy == index)
        )


def test_a_position_traded_after_its_last_sample_is_valued_again(tmp_path: Path) -> None:
    def write(records: Any) -> None:
        sample = zeros(SampleRecord) | {"valid": 1, "bid_ticks": 100, "ask_ticks": 104, "position_lots": 1}
        add(records.samples, **sample)
        fill = zeros(FillRecord) | {"price_ticks": 102, "qty_lots": 500_000, "position_lots": 500_000}
        add(records.fills, **fill)
        add(records.fills, **(fill | {"instrument": 1, "price_ticks": 100_000, "qty_lots": 10, "position_lots": 10}))

    summary = summary_of(tmp_path / "run", write)
    assert summary.pnl["USDT"].position_value == Decimal("5.1")  # 5 BTC at 1.02
    assert summary.pnl["BTC"].position_value == Decimal("-0.002")  # never sampled: at its fill's 50,000
    assert summary.pnl["BTC"].net == 0


@pytest.mark.parametrize(("index", "is_told"), [(0, True), (1, False)])
def test_a_mark_that_is_not_the_last_is_told_if_anything_is_held(tmp_path: Path, index: int, is_told: bool) -> None:
    def write(records: Any) -> None:
        for step, valid in enumerate((1, 0)):
            for each in (0, 1):
                row = {"time_ns": START_NS + step, "instrument": each, "bid_ticks": 100, "ask_ticks": 104}
                add(records.samples, **(zeros(SampleRecord) | row | {"valid": valid if each == index else 1}))
        held = {"price_ticks": 100, "qty_lots": 1, "position_lots": 1}
        add(records.fills, **(zeros(FillRecord) | held))  # of instrument 0

    warnings = summary_of(tmp_path / "run", write).warnings
    assert [warning.count for warning in warnings if "marked" in warning.kind] == ([1] if is_told else [])


def test_summary_file_is_exact_and_reads_back(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.play(150)
    summary = run.finish()
    assert read_summary(run.recorder.directory) == summary
    plain = json.loads((run.recorder.directory / SUMMARY).read_text(), parse_float=Decimal)
    for name in ("frames", "messages", "level_updates", "orders_sent", "orders_vetoed", "fills", "digest", "wall_s"):
        assert name in plain
    assert Decimal(plain["pnl"]["BTC"]["net"]) == summary.pnl["BTC"].net
    approximation = summary.pnl_approximation
    assert approximation is not None
    dollars = summary.pnl["USDT"].net + summary.pnl["BTC"].net * summary.instruments["binance/BTCUSDT"].last_mid
    assert approximation.net == round(dollars, 9)
    assert not list(run.recorder.directory.glob("*.partial"))


@given(st.integers(-(2**63), 2**63 - 1))
def test_e9_is_exact(units: int) -> None:
    assert e9(units) * 10**9 == units


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (money_text(Decimal("-1234.5678"), "USDT"), "-1,234.57 USDT"),
        (money_text(Decimal("0.00012345"), "BTC", sign=True), "+0.00012345 BTC"),
        (money_text(Decimal("0.0000321"), "USD"), "0.0000321 USD"),
        (money_text(Decimal(0), "BTC", sign=True), "0 BTC"),
        (duration_text(999), "999 ns"),
        (duration_text(12_345), "12.3 µs"),
        (duration_text(999_900_000), "1 s"),
        (duration_text(999_400_000), "999 ms"),
        (duration_text(300_000_000_000), "300 s"),
        (duration_text(605_000_000_000), "10 min 05 s"),
        (duration_text(4_500_000_000_000), "1 h 15 min"),
        (time_text(START_NS + 1_500_000), "2026-01-02 00:00:00.001 UTC"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_latency_percentiles_are_bucket_bounds() -> None:
    latency = LatencyFacts(buckets=[(10, 50), (20, 49), (40, 1)], max_ns=35)
    assert [latency.percentile_ns(percent) for percent in (50, 51, 99, 100)] == [10, 20, 20, 35]
    assert LatencyFacts(buckets=[], max_ns=0).percentile_ns(99) == 0


@settings(max_examples=50)
@given(st.data())
def test_thinning_keeps_extremes_and_gaps(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 90))
    steps = data.draw(st.lists(st.integers(0, 1000), min_size=count, max_size=count))
    values = np.array(data.draw(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=count, max_size=count)))
    time_ns = START_NS + np.cumsum(steps)
    kept = thin(time_ns, values, int(time_ns[0]), int(time_ns[-1]), points=20)
    assert len(kept) <= 20
    assert (np.diff(kept) > 0).all()
    if not np.isnan(values).all():
        assert np.nanmin(values[kept]) == np.nanmin(values)
        assert np.nanmax(values[kept]) == np.nanmax(values)


def test_a_long_line_stays_bounded_and_keeps_its_spike() -> None:
    count = 5 * HELD_MAX
    line = Line((0, count), 4000)
    for start in range(0, count, 10_000):
        time_ns = np.arange(start, min(count, start + 10_000))
        line.add(time_ns, np.where(time_ns == 123_457, 99.0, np.sin(time_ns / 5e4)))
    time_ns, values = line.points()
    assert len(time_ns) <= 4000
    assert time_ns[values == 99.0].tolist() == [123_457]


def test_samples_become_lines(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run", [spot(), inverse()])
    records = make_records()
    tops = [(6_500_000, 6_500_100), (130_100, 130_102)]
    for step, valid in enumerate((1, 0, 1)):
        for index, (bid, ask) in enumerate(tops):
            row = {"time_ns": START_NS + step, "instrument": index, "valid": valid if index else 1}
            money = {"bid_ticks": bid, "ask_ticks": ask, "cash_e9": 3_000_000_000 * (1 - index), "fees_e9": 500_000_000}
            add(records.samples, **(zeros(SampleRecord) | row | money))
    recorder.drain(records)
    recorder.close()
    lines = read_samples(
        recorder.directory / "positions.parquet", [spot(), inverse()], [(0, 1)], (START_NS, START_NS + 2), {}
    )
    _, bid = lines.spread_bid[0, 1].points()
    _, ask = lines.spread_ask[0, 1].points()
    middle = (65_000 + 65_001) / 2
    np.testing.assert_allclose(bid, [(65_050 - 65_001) / middle * 1e4, np.nan, (65_050 - 65_001) / middle * 1e4])
    np.testing.assert_allclose(ask[0], (65_051 - 65_000) / middle * 1e4)
    np.testing.assert_allclose(lines.gross["USDT"].points()[1], [3, 3, 3])
    np.testing.assert_allclose(lines.net["USDT"].points()[1], [2.5, 2.5, 2.5])
    assert lines.converted is not None
    np.testing.assert_allclose(lines.converted.points()[1], 2.5 - 0.5 * middle)


def test_trade_prices_are_averages_of_the_trades_own_legs() -> None:
    fills = {
        "trade_id": np.array([7, 7, 7, 9, 0, 7]),
        "strategy": np.array([*"aaaaa", "b"], object),
        "instrument": np.array([0, 0, 1, 0, 0, 0]),
        "side": np.array(["buy", "buy", "sell", "sell", "buy", "buy"], object),
        "price": np.array([10.0, 13.0, 20.0, 1.0, 5.0, 99.0]),
        "qty_lots": np.array([2, 1, 3, 1, 1, 1]),
    }
    trades = {
        "trade_id": np.array([9, 7]),
        "strategy": np.array(["a", "a"], object),
        "buy_instrument": np.array([0, 0]),
        "sell_instrument": np.array([1, 1]),
    }
    bought, sold = trade_prices(fills, trades)
    np.testing.assert_allclose(bought, [np.nan, 11.0])
    np.testing.assert_allclose(sold, [np.nan, 20.0])


class Loads(HTMLParser):
    """What a browser would fetch, the elements there are, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.figures = ""
        self.words: list[str] = []
        self._script: dict[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        self._script = dict(attrs) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.words.append(data)
        elif self._script.get("id") == "figures":
            self.figures += data


def read_report(directory: Path) -> tuple[str, Loads]:
    page = write_report(directory).read_text()
    loads = Loads()
    loads.feed(page)
    return page, loads


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full run in which every name is an attack."""
    instruments = [spot(venue=HOSTILE), spot(1, HOSTILE, HOSTILE + "2"), inverse(2, base="<b>", settlement="<i>")]
    run = SyntheticRun(tmp_path_factory.mktemp("hostile") / "run", instruments=instruments)
    run.play(300)
    run.finish(
        name=HOSTILE,
        config_text=f'name = "{HOSTILE}"',
        latencies={HOSTILE: LatencyFacts(buckets=[(10, 3)], max_ns=9)},
        orders_vetoed={HOSTILE: 3},
        venues={HOSTILE: VenueFacts(rejects={HOSTILE: 1})},
    )
    return run.recorder.directory


def test_report_fetches_nothing(hostile_run: Path) -> None:
    page, loads = read_report(hostile_run)
    assert loads.loads == []
    assert loads.tags["script"] == 4
    assert not loads.tags.keys() & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert "default-src 'none'" in page
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    assert len(page.encode()) < 6_000_000


def test_hostile_names_stay_text(hostile_run: Path) -> None:
    page, loads = read_report(hostile_run)
    assert "<script>alert" not in page
    assert "<img src=http" not in page
    assert HOSTILE in "".join(loads.words)
    # plotly reads tags in labels, so no label may hold one after the JSON is decoded either.
    assert "<script" not in json.dumps(json.loads(loads.figures))
    assert "<img" not in json.dumps(json.loads(loads.figures))


def test_figures_are_valid_plotly_without_webgl(hostile_run: Path) -> None:
    _, loads = read_report(hostile_run)
    figures = json.loads(loads.figures)
    assert len(figures) >= 10
    for name, figure in figures.items():
        go.Figure(figure)  # raises on any property or value that plotly does not know
        assert f"id='{name}'" in (hostile_run / "report.html").read_text()
        assert all(trace["type"] in ("scatter", "bar", "box") for trace in figure["data"])
        titles = [figure["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")]
        assert titles[0]


def test_report_of_a_run_in_which_nothing_happened(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run", [spot(), inverse()])
    recorder.close()
    quiet = facts([spot(), inverse()])
    write_summary(summarise(quiet, recorder.directory), quiet.config_text, recorder.directory)
    page, loads = read_report(recorder.directory)
    words = "".join(loads.words)
    for sentence in (
        "There was no opportunity in this run.",
        "No leg was missed.",
        "No order was asked for.",
        "No latency was measured.",
    ):
        assert sentence in words
    assert "nan" not in words.lower().split()
    for figure in json.loads(loads.figures).values():
        go.Figure(figure)
    assert not (tmp_path / "run" / "report.html.partial").exists()
    assert report_html.POLICY in page


def test_report_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path)


def test_console_summary_fits_and_answers(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.play(300)
    summary = run.finish()
    written = StringIO()
    print_summary(summary, Console(file=written, width=100, color_system=None))
    lines = written.getvalue().splitlines()
    # A warning is as long as it must be, so that it can be searched for.
    assert max(len(line) for line in lines if not line.startswith("warning: ")) <= 100
    printed = "\n".join(line.strip() for line in lines)
    opportunities, missed = summary.opportunities, summary.trades.missed_legs
    assert (
        f"{opportunities.count} seen, {opportunities.attempted} attempted, {opportunities.captured} captured" in printed
    )
    assert f"{missed.trades} trades, {missed.retries} retries" in printed
    for label in ("How long", "P&L after fees", "Un-hedged", "Vetoes", "Digest"):
        assert label in printed
    for currency, profit in summary.pnl.items():
        assert money_text(profit.net, currency, sign=True) in printed
