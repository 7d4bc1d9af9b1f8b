"""Backtests over captures whose tickers tell funding: what is charged, what a schedule changes, what is said."""

import json
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.build import feed_funding
from crosswire.engine.build.feed_funding import SILENT, STALE, contradictions, doubts, left_out
from crosswire.engine.captures import open_captures
from crosswire.engine.config import VenueConfig
from crosswire.engine.report.charges import FUNDING_UNKNOWN
from crosswire.engine.report.columns import read_table
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.nic.rings.replay import Replay, read_frames
from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.bridge.wire.layout import SCHEMA_ID, SCHEMA_VERSION, MarkPrice, MessageHeader, PacketHeader
from crosswire.venues.bridge.wire.layout import Template as BridgeTemplate
from crosswire.venues.deribit.wire.layout import Template, Ticker
from crosswire.venues.instrument import E9
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.rates import RATES_MAX, make_rates, note_rate, told_continuously
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.money.told import Silence, ToldFunding
from tests.support.captures import pcap, udp_frame
from tests.support.short_run import two_seconds

compiled_only = pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")

NAME = "deribit/BTC-PERPETUAL"
RATE, MARK = 0.08, 65_000.0
KEY, PAID_KEY = 'symbol = "BTC-PERPETUAL"\n', 'symbol = "BTCUSDT"\n'
PAID_E9, LOT = 1_000_000, Decimal("0.001")  # of the payment at an instant
CONTRADICTED = "funding rates that the feed contradicts"
UNIT = Decimal("1e-9")
BEFORE_MS = 1_600_000_000_000
S = 10**9
NS_8H = 8 * 3_600 * S
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


def fund_at_times(capture: Path) -> int:
    """Add mark prices to a capture of the bridge feed, ten a second, with a payment after a second; its time."""
    frames = list(read_frames([capture]))
    due_ns = frames[0][0] + S
    head, root = UDP_FRAME_HEADER_BYTES, UDP_FRAME_HEADER_BYTES + PacketHeader.size + MessageHeader.size
    (number,) = struct.unpack_from("<I", frames[0][1], root)  # of a definition, which comes first
    written: list[tuple[int, bytes]] = []
    told_ns = 0
    for time_ns, frame in frames:
        written.append((time_ns, frame))
        if time_ns - told_ns >= S // 10:
            told_ns = time_ns
            rate_e9, next_ns = (PAID_E9, due_ns) if time_ns < due_ns else (-PAID_E9, due_ns + NS_8H)
            body = struct.pack("<4H", MarkPrice.size, BridgeTemplate.MARK_PRICE, SCHEMA_ID, SCHEMA_VERSION)
            body += struct.pack("<IQqqqQ", number, time_ns, int(MARK) * E9, 0, rate_e9, next_ns)
            sent_ns, channel = struct.unpack_from("<QH", frame, head + 8)
            header = struct.pack("<QQ4H", 0, sent_ns, channel, 1, 1, PacketHeader.size + len(body))
            written.append((time_ns, udp_frame(header + body)))
    numbered = [
        (time_ns, frame[:head] + struct.pack("<Q", place) + frame[head + 8 :])
        for place, (time_ns, frame) in enumerate(written, 1)
    ]
    capture.write_bytes(pcap(numbered))
    return due_ns


@pytest.fixture(scope="module")
def paid_config(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The same two seconds with a payment of the other venue's in them, and when that is."""
    path = two_seconds(tmp_path_factory.mktemp("paid"), seed=1)
    return path, fund_at_times(path.parents[1] / "data" / "synthetic" / "bridge.pcap")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = two_seconds(tmp_path_factory.mktemp("funded"), seed=1)
    fund(path.parents[1] / "data" / "synthetic" / "deribit.pcap")
    return path


def run(config: Path, output: Path, money: str = "", key: str = KEY) -> tuple[Path, dict[str, Any]]:
    """Run with these lines in the perpetual's [venue.instrument.money]; its folder and summary."""
    written = config.with_name(f"{output.name}.toml")
    written.write_text(config.read_text().replace(key, f"{key}money = {{ {money} }}\n"))
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


@compiled_only
def test_only_captures_that_tell_funding_are_read_once_more(
    config: Path, paid_config: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def note(venue: VenueConfig, config_path: Path) -> Replay:
        opened.append(venue.name)
        return open_captures(venue, config_path)

    monkeypatch.setattr(feed_funding, "open_captures", note)
    run(config, tmp_path / "told by one")
    assert opened == ["deribit"]
    run(paid_config[0], tmp_path / "told by both")
    assert opened == ["deribit", "deribit", "bridge"]


@compiled_only
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


@compiled_only
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


@compiled_only
def test_what_a_payment_took_is_charged_once(paid_config: tuple[Path, int], tmp_path: Path) -> None:
    """At the rate and mark price told before it, on what was held then."""
    config, due_ns = paid_config
    folder, summary = run(config, tmp_path / "paid")
    index = next(each["index"] for each in summary["definitions"] if each["symbol"] == "BTCUSDT")
    fills = read_table(folder / "fills.parquet", ["exchange_time_ns", "instrument", "position_lots"])
    before = (fills["instrument"] == index) & (fills["exchange_time_ns"] <= due_ns)
    lots = int(fills["position_lots"][before][-1])
    assert lots != 0
    owed = lots * LOT * int(MARK) * PAID_E9 * UNIT
    assert Decimal(str(summary["pnl"]["USDT"]["charges"])) == owed
    charges = read_table(folder / "charges.parquet", ["time", "instrument"])
    assert charges["time"][charges["instrument"] == "bridge/BTCUSDT"].tolist() == [due_ns]
    assert not {CONTRADICTED, FUNDING_UNKNOWN, STALE, SILENT} & told(summary).keys()


@compiled_only
def test_a_schedule_goes_before_payments_and_is_held_against_them(
    paid_config: tuple[Path, int], tmp_path: Path
) -> None:
    config, due_ns = paid_config
    (config.parent / "paid.csv").write_text(f"time,rate,mark_price\n{due_ns + 7},{-PAID_E9 * UNIT},{MARK}\n")
    _, fed = run(config, tmp_path / "fed")
    _, other = run(config, tmp_path / "other", 'funding = "paid.csv"', PAID_KEY)
    assert Decimal(str(other["pnl"]["USDT"]["charges"])) == -Decimal(str(fed["pnl"]["USDT"]["charges"]))
    assert told(other)[CONTRADICTED] == "bridge/BTCUSDT: the schedule says -0.001000000, the feed 0.001"


def test_a_payment_is_held_against_that_of_the_schedule_alone() -> None:
    """One that the feed is silent about is compared with no other."""
    paid = FundingRate(time_ns=NS_8H, rate=Decimal("0.001"))
    for after_ns, count in ((0, 1), (60 * S, 1), (60 * S + 1, 0), (NS_8H, 0), (-1, 0)):
        planned = FundingRate(time_ns=NS_8H + after_ns, rate=Decimal("0.002"))
        found = contradictions(HoldingTerms(funding=[planned]), [paid], NAME, is_continuous=False)
        assert len(found) == count


def test_what_the_feed_did_not_tell_in_time_or_at_all_is_said_of_the_run_s_time() -> None:
    hour = NS_8H // 8
    silences = (Silence(1, 2 * hour, 5 * hour), Silence(0, 8 * hour, 9 * hour - 1))
    fed = ToldFunding({0: [], 1: []}, is_continuous=False, stale=((1, 2 * hour), (0, 7 * hour)), silences=silences)

    def said(place: int, *range_ns: int) -> list[tuple[str, int, str]]:
        return [
            (each.kind, each.count, each.first_place) for each in doubts(fed, place, NAME, (range_ns[0], range_ns[1]))
        ]

    both = [
        (STALE, 1, f"{NAME} at 1970-01-01 02:00:00.000 UTC"),
        (SILENT, 1, f"{NAME} after 1970-01-01 02:00:00.000 UTC"),
    ]
    assert said(1, hour, 9 * hour) == both
    assert said(1, hour, 3 * hour - 1) == both[:1]
    assert said(1, 4 * hour, 9 * hour) == both[1:]
    assert said(1, 5 * hour, 9 * hour) == []
    assert said(0, hour, 9 * hour) == [(STALE, 1, f"{NAME} at 1970-01-01 07:00:00.000 UTC")]


def test_a_schedule_is_held_against_what_the_feed_told_then() -> None:
    def rate(time_ns: int, value: str) -> FundingRate:
        return FundingRate(time_ns=time_ns, rate=Decimal(value))

    told_rates = [rate(100, "0.001"), rate(200, "0.002"), rate(300, "0.003")]

    def count(*planned: FundingRate, is_continuous: bool) -> int:
        terms = HoldingTerms(funding=list(planned), is_continuous=is_continuous)
        return sum(warning.count for warning in contradictions(terms, told_rates, NAME, is_continuous=True))

    for is_continuous in (True, False):
        assert count(rate(100, "0.001"), rate(299, "0.0021"), rate(400, "0.0029"), is_continuous=is_continuous) == 0
        assert count(rate(100, "0.00111"), rate(250, "0.0018"), rate(300, "0.003"), is_continuous=is_continuous) == 2
    # Before the feed's first rate only what still holds then can be told wrong.
    assert count(rate(10, "-0.05"), rate(50, "0.05"), is_continuous=True) == 1
    assert count(rate(10, "-0.05"), rate(50, "0.05"), is_continuous=False) == 0
    assert (
        contradictions(HoldingTerms(funding=[rate(10, "0.05")], is_continuous=True), [], NAME, is_continuous=True) == []
    )


def test_rates_without_room_are_told() -> None:
    rates = make_rates(1)
    assert left_out(told_continuously(rates), "deribit") == []
    rates.count = RATES_MAX - 1
    for second in range(3):
        note_rate(rates, 0, second * 10**9, 0.001, MARK)
    note_rate(rates, 0, 9 * 10**9, 5.0, MARK)
    assert (rates.count, rates.dropped, rates.bad) == (RATES_MAX, 2, 1)
    (warning,) = left_out(ToldFunding({}, is_continuous=True, left_out=rates.dropped + rates.bad), "deribit")
    assert (warning.count, warning.first_place) == (3, "venue deribit")
