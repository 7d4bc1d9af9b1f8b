"""Backtests over captures whose tickers tell funding: what is charged, what a schedule changes, what is said."""

import json
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.build.feed_funding import contradictions, left_out
from crosswire.engine.report.charges import FUNDING_UNKNOWN
from crosswire.engine.report.columns import read_table
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.deribit.wire.layout import Template, Ticker
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.rates import RATES_MAX, make_rates, note_rate
from crosswire.venues.money.terms import HoldingTerms
from tests.support.captures import pcap
from tests.support.short_run import two_seconds

pytestmark = pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")

NAME = "deribit/BTC-PERPETUAL"
RATE, MARK = 0.08, 65_000.0
KEY = 'symbol = "BTC-PERPETUAL"\n'
CONTRADICTED = "funding rates that the feed contradicts"
UNIT = Decimal("1e-9")
BEFORE_MS = 1_600_000_000_000
NS_8H = 8 * 3_600 * 10**9
HEADER = struct.Struct("<6H")  # of a message: block length, template, ...


def fund(capture: Path) -> None:
    """Write a rate and a mark into every ticker of a capture. What an encoder made has one message or more a packet."""
    frames = []
    for time_ns, frame in read_frames([capture]):
        content = bytearray(frame)
        position = 14 + 20 + 8 + 8
        while position + HEADER.size <= len(content):
            length, template, _, _, groups, texts = HEADER.unpack_from(content, position)
            position += HEADER.size
            if template == Template.TICKER:
                for name, value in (("mark_price", MARK), ("current_funding", RATE)):
                    struct.pack_into("<d", content, position + Ticker.fields[name].offset, value)
            position += length
            for _ in range(groups):
                stride, count = struct.unpack_from("<HH", content, position)
                position += 8 + stride * count
            for _ in range(texts):
                position += 1 + content[position]
        frames.append((time_ns, bytes(content)))
    capture.write_bytes(pcap(frames))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = two_seconds(tmp_path_factory.mktemp("funded"), seed=1)
    fund(path.parents[1] / "data" / "synthetic" / "deribit.pcap")
    return path


def run(config: Path, output: Path, money: str = "") -> tuple[Path, dict[str, Any]]:
    """Run with these lines in the perpetual's [venue.instrument.money]; its folder and summary."""
    written = config.with_name(f"{output.name}.toml")
    written.write_text(config.read_text().replace(KEY, f"{KEY}money = {{ {money} }}\n"))
    folder = run_backtest(written, output, started=0.0, with_report=False)
    return folder, json.loads((folder / "summary.json").read_text())


def told(summary: dict[str, Any]) -> dict[str, str]:
    return {warning["kind"]: warning["first_place"] for warning in summary["warnings"]}


def paid(summary: dict[str, Any]) -> Decimal:
    return Decimal(str(summary["pnl"]["BTC"]["charges"]))


def schedule(config: Path, rate: str) -> str:
    """Write a schedule that begins before the run."""
    (config.parent / "funding.csv").write_text(f"time,rate,mark_price\n{BEFORE_MS},{rate},{MARK}\n")
    return 'funding = "funding.csv", funding_scheme = "continuous"'


def test_what_the_tickers_tell_is_charged(config: Path, tmp_path: Path) -> None:
    folder, summary = run(config, tmp_path / "fed")
    index = next(each["index"] for each in summary["definitions"] if each["symbol"] == "BTC-PERPETUAL")
    fills = read_table(folder / "fills.parquet", ["exchange_time_ns", "instrument", "position_lots"])
    own = fills["instrument"] == index
    changes = list(zip(fills["exchange_time_ns"][own].tolist(), fills["position_lots"][own].tolist(), strict=True))
    assert len(changes) > 3
    ends_ns = [time_ns for time_ns, _ in changes[1:]] + [summary["last_time_ns"]]
    # 10 USD a lot, at one rate and one mark all along.
    owed = sum(
        Decimal(lots * 10) / int(MARK) * Decimal(str(RATE)) * (end_ns - time_ns) / NS_8H
        for (time_ns, lots), end_ns in zip(changes, ends_ns, strict=True)
    )
    assert abs(owed) > 10 * UNIT
    assert 0 <= paid(summary) - owed <= UNIT
    assert summary["pnl"]["BTC"]["charges_by_kind"].keys() == {"funding"}
    assert not {CONTRADICTED, FUNDING_UNKNOWN} & told(summary).keys()


def test_a_schedule_goes_before_the_tickers(config: Path, tmp_path: Path) -> None:
    _, fed = run(config, tmp_path / "fed")
    _, same = run(config, tmp_path / "same", schedule(config, str(RATE)))
    assert paid(same) == paid(fed) != 0
    assert CONTRADICTED not in told(same)
    _, other = run(config, tmp_path / "other", schedule(config, str(-RATE)))
    assert abs(paid(other) + paid(fed)) <= UNIT
    assert told(other)[CONTRADICTED] == f"{NAME}: the schedule says -{RATE}, the feed {RATE}"
    _, off = run(config, tmp_path / "off", 'funding = "off"')
    assert paid(off) == 0
    assert CONTRADICTED not in told(off)


def test_a_schedule_is_held_against_what_the_feed_told_then() -> None:
    def rate(time_ns: int, value: str) -> FundingRate:
        return FundingRate(time_ns=time_ns, rate=Decimal(value))

    told_rates = [rate(100, "0.001"), rate(200, "0.002"), rate(300, "0.003")]

    def count(*planned: FundingRate, is_continuous: bool) -> int:
        terms = HoldingTerms(funding=list(planned), is_continuous=is_continuous)
        return sum(warning.count for warning in contradictions(terms, told_rates, NAME))

    for is_continuous in (True, False):
        assert count(rate(100, "0.001"), rate(299, "0.0021"), rate(400, "0.0029"), is_continuous=is_continuous) == 0
        assert count(rate(100, "0.00111"), rate(250, "0.0018"), rate(300, "0.003"), is_continuous=is_continuous) == 2
    # Before the feed's first rate only what still holds then can be told wrong.
    assert count(rate(10, "-0.05"), rate(50, "0.05"), is_continuous=True) == 1
    assert count(rate(10, "-0.05"), rate(50, "0.05"), is_continuous=False) == 0
    assert contradictions(HoldingTerms(funding=[rate(10, "0.05")], is_continuous=True), [], NAME) == []


def test_rates_without_room_are_told() -> None:
    rates = make_rates(1)
    assert left_out(rates, "deribit") == []
    rates.count = RATES_MAX - 1
    for second in range(3):
        note_rate(rates, 0, second * 10**9, 0.001, MARK)
    note_rate(rates, 0, 9 * 10**9, 5.0, MARK)
    assert (rates.count, rates.dropped, rates.bad) == (RATES_MAX, 2, 1)
    (warning,) = left_out(rates, "deribit")
    assert (warning.count, warning.first_place) == (3, "venue deribit")
