"""The market side before the stand-in exchange: the books of its feed are the exchange's own, whatever goes wrong."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trustme

from crosswire.venues.bridge.binance.exchange.listed import book_digest
from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.gateway.market import streams
from crosswire.venues.bridge.binance.importer import import_binance
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import instrument_id_of
from crosswire.venues.bridge.wire.layout import Template
from tests.support.binance_import import decoded, mark_prices, mark_prices_in
from tests.support.bridge_reader import BridgeReader
from tests.support.paths import recording
from tests.support.running_bridge import RunningBridge, bridge, table
from tests.support.stand_in import ED25519_KEY, exchange, made

pytestmark = pytest.mark.binance

SETTLE_S = 1.0
ATTEMPTS = 10
MARKS_MIN = 9  # one a second of each of three
SYMBOLS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
One = tuple[RunningStandIn, RunningBridge, BridgeReader]


@pytest.fixture
def reader() -> Iterator[BridgeReader]:
    one = BridgeReader()
    yield one
    one.close()


def act(stand_in: RunningStandIn, name: str, **body: Any) -> Any:
    """Have the exchange do something."""
    return stand_in.call(stand_in.stand_in.control.actions[name], body)


def assert_same(stand_in: RunningStandIn, reader: BridgeReader, market: str, symbol: str, index: int) -> None:
    """Compare the reader's book with the exchange's own as it was at that update, by a digest of every level."""
    for _ in range(ATTEMPTS):
        reader.until(lambda: reader.is_valid(index))
        bids, asks = reader.sides(index)
        query = {"market": market, "symbol": symbol, "update_id": str(reader.book(index).update_id)}
        told = stand_in.call(stand_in.stand_in.control.truths["digest"], query)["digest"]
        if told is not None:  # it remembers the last few thousand
            assert str(book_digest(bids, asks)) == told
            assert bids
            assert asks
            return
    raise AssertionError("the exchange remembers none of the reader's updates")


def reach_of(reader: BridgeReader, index: int) -> tuple[int, int]:
    """The farthest bid and ask that a book knows of, ticks."""
    bids, asks = reader.sides(index)
    return min(bids), max(asks)


def assert_same_near(
    stand_in: RunningStandIn, reader: BridgeReader, market: str, symbol: str, index: int, reach: tuple[int, int]
) -> None:
    """Compare the books: what the exchange has more was beyond the 1,000 levels of its snapshot from the beginning."""
    told = stand_in.call(stand_in.stand_in.control.truths["book"], {"market": market, "symbol": symbol})
    assert (reader.book(index).valid, reader.book(index).update_id) == (1, told["update_id"])
    for side, own in enumerate(reader.sides(index)):
        true = dict(told["asks" if side else "bids"])
        assert own.items() <= true.items()
        assert len(own) > 100
        assert all(price > reach[1] if side else price < reach[0] for price in true.keys() - own.keys())


def index_of(reader: BridgeReader, market: str, symbol: str) -> int:
    """The reader's index of an instrument, told by its kind too: spot and USD-M have the same symbols."""
    for index in range(reader.market.count):
        each = reader.market.instruments[index]
        if each.kind == (0 if market == "spot" else 1) and bytes(each.symbol).rstrip(b"\0").decode() == symbol:
            return index
    return -1


def run_for(reader: BridgeReader, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reader.read()


@pytest.fixture(scope="module")
def one_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStandIn]:
    """A made-up spot market."""
    with exchange(tmp_path_factory.mktemp("stand-in"), made("spot")) as stand_in:
        yield stand_in


@pytest.fixture
def one(one_market: RunningStandIn, reader: BridgeReader, tmp_path: Path) -> Iterator[One]:
    """That market, and a bridge before it, whose book is proven."""
    act(one_market, "disarm")
    with bridge(one_market, reader, tmp_path, {"spot": table(one_market, "spot", "BTCUSDT")}) as running:
        reader.until(lambda: reader.is_valid(0))
        yield one_market, running, reader


@pytest.mark.slow
def test_the_books_of_recorded_markets_are_the_exchanges_own_and_the_recording_imports_to_them(
    reader: BridgeReader, tmp_path: Path
) -> None:
    """All three markets at once, ten times as fast as they were; then the recording of what was received."""
    files = [(name, f"binance/{name}/{symbol.lower()}_20240808.gz") for name, symbol in SYMBOLS.items()]
    instruments = [InstrumentConfig(market=name, recording=str(recording(file))) for name, file in files]
    with exchange(tmp_path, *instruments, speed=10.0, starts_paused=True) as stand_in:
        markets = {
            name: table(stand_in, name, symbol, **({} if name == "spot" else {"depth_ms": 0}))
            for name, symbol in SYMBOLS.items()
        }
        with bridge(stand_in, reader, tmp_path, markets, recording={"folder": "rec"}) as running:
            reader.until(lambda: all(index_of(reader, name, SYMBOLS[name]) >= 0 for name in SYMBOLS))
            reader.until(lambda: all(reader.is_valid(index) for index in range(3)))
            reach = {name: reach_of(reader, index_of(reader, name, symbol)) for name, symbol in SYMBOLS.items()}
            act(stand_in, "resume")
            run_for(reader, 10.0)
            books = {}
            act(stand_in, "pause")
            run_for(reader, SETTLE_S)
            for name, symbol in SYMBOLS.items():
                index = index_of(reader, name, symbol)
                books[name] = (reader.book(index).update_id, reader.sides(index))
                assert_same_near(stand_in, reader, name, symbol, index, reach[name])
        run_for(reader, SETTLE_S)
        assert reader.losses == 3, running.lines  # each once: when the bridge ended
        assert running.said("books published whole") == 3
    assert reader.feed.sequence_gaps == 0
    for name, (update_id, sides) in books.items():
        (summary,) = import_binance(sorted((tmp_path / "rec").glob(f"{name}_*")), tmp_path / name)
        assert (summary.breaks, summary.bad_lines) == (0, 0)
        other = BridgeReader()
        _, market = decoded(summary.output)
        other.market = market
        assert (market.books[0].valid, market.books[0].update_id) == (1, update_id)
        assert other.sides(0) == sides
        other.close()


def test_mark_prices_are_the_exchanges_to_the_last_digit_and_the_recording_imports_to_them(
    reader: BridgeReader, tmp_path: Path
) -> None:
    """By /market on USD-M; a dated future has no funding."""
    symbols = {"usdm": ["BTCUSDT"], "coinm": ["BTCUSD_PERP", "BTCUSD_261225"]}
    listed = [made(name, symbol, funding_rate="-0.00012345") for name in symbols for symbol in symbols[name]]
    said: list[tuple[int, ...]] = []
    with exchange(tmp_path, *listed) as stand_in:
        for hub in stand_in.stand_in.hubs.values():
            hub.disturb = listening(said)
        markets = {name: table(stand_in, name, *symbols[name]) for name in symbols}
        reader.keeps_packets = True
        with bridge(stand_in, reader, tmp_path, markets, recording={"folder": "rec"}) as running:
            reader.until(lambda: reader.feed.messages[Template.MARK_PRICE - 1] >= MARKS_MIN)
    run_for(reader, SETTLE_S)
    published = mark_prices_in(reader.packets)
    assert running.said("mark prices published") == 3
    imported: list[tuple[int, ...]] = []
    for number in {mark[0] for mark in said}:
        of = [mark for mark in published if mark[0] == number]
        assert len(of) > 1
        assert of == [mark for mark in said if mark[0] == number][: len(of)]  # the last may come after the end
    assert {(mark[4], mark[5] > mark[1]) for mark in published} == {(-123_450, True), (0, False)}
    for path in (tmp_path / "rec").glob("*.txt"):
        (summary,) = import_binance([path], tmp_path / "out")
        assert (summary.bad_lines, summary.other_streams) == (0, 0)
        imported += mark_prices(summary.output)
    assert sorted(imported) == sorted(published)


def listening(said: list[tuple[int, ...]]) -> Callable[[str, bytes, Any], bool]:
    """Note the mark prices that a hub sends, as the feed should have them."""

    def note(name: str, payload: bytes, _deliver: Any) -> bool:
        if "@markPrice" in name:
            event = json.loads(payload)
            market = Market.COINM if "USD_" in event["s"] else Market.USDM
            mark, index, rate = (int(Decimal(event[key] or 0) * 10**9) for key in "pir")
            number, time_ns = instrument_id_of(market, event["s"]), event["E"] * 10**6
            said.append((number, time_ns, mark, index, rate, event["T"] * 10**6))
        return False

    return note


def test_sbe_gives_the_same_books(reader: BridgeReader, tmp_path: Path) -> None:
    key = tmp_path / "key.toml"
    key.write_text(f'client_id = "{ED25519_KEY}"\nsecret = "unused"\n')
    key.chmod(0o600)
    instrument = InstrumentConfig(market="spot", recording=str(recording("binance/spot/btcusdt_20240808.gz")))
    with exchange(tmp_path, instrument, speed=5.0, starts_paused=True) as stand_in:
        spot = table(stand_in, "spot", "BTCUSDT", protocol="sbe", key_file=str(key), snapshot_levels=5_000)
        with bridge(stand_in, reader, tmp_path, {"spot": spot}, recording={"folder": "rec"}) as running:
            reader.until(lambda: reader.is_valid(0))
            act(stand_in, "resume")
            reader.until(lambda: min(reader.feed.messages[place] for place in (1, 2, 3)) > 100)
            assert_same(stand_in, reader, "spot", "BTCUSDT", 0)
    assert running.said("messages of no known stream") == 0
    (summary,) = import_binance((tmp_path / "rec").glob("*.txt"), tmp_path / "out")
    assert (summary.breaks, summary.bad_lines, summary.levels_off_tick) == (0, 0, 0)
    assert (summary.quotes > 0, summary.trades > 0) == (True, True)


@pytest.mark.parametrize("fault", ["drop", "reorder", "late", "duplicate", "malformed", "unknown_event"])
def test_what_goes_wrong_in_the_depth_stream_costs_the_book_until_it_is_proven_again_or_nothing(
    one: One, fault: str
) -> None:
    stand_in, running, reader = one
    lost = reader.losses
    act(stand_in, "fault", where="stream", kind=fault, match="depth", count=1)
    breaks = fault in ("drop", "reorder", "late")
    if breaks:
        reader.until(lambda: running.said("does not go on from where it was") > 0)
        reader.until(lambda: running.said("book proven") > 1)
    else:
        run_for(reader, SETTLE_S)
    assert_same(stand_in, reader, "spot", "BTCUSDT", 0)
    assert (reader.losses > lost) == breaks


@pytest.mark.parametrize("how", ["abort", "close", "half_frame"])
def test_a_lost_connection_costs_the_book_at_once_and_another_one_proves_it_again(one: One, how: str) -> None:
    stand_in, running, reader = one
    lost = reader.losses
    act(stand_in, "disconnect", host="spot_stream", how=how)
    reader.until(lambda: reader.losses > lost)
    reader.until(lambda: reader.is_valid(0))
    assert_same(stand_in, reader, "spot", "BTCUSDT", 0)
    assert running.said("connection lost") >= 1


def test_the_wait_for_another_connection_does_not_grow_while_each_works(one: One) -> None:
    stand_in, _, reader = one
    for _ in range(5):
        reader.until(lambda: reader.is_valid(0))
        reader.read(15 * 0.2 * 1.3 + 0.2)  # longer than the shortest wait asks for
        lost = reader.losses
        act(stand_in, "disconnect", host="spot_stream", how="abort")
        reader.until(lambda lost=lost: reader.losses > lost)
        begun = time.monotonic()
        reader.until(lambda: reader.is_valid(0))
        assert time.monotonic() - begun < 3.0


def test_a_reader_that_begins_later_and_one_that_misses_packets_are_served(
    one: One,
) -> None:
    stand_in, _, reader = one
    reader.forget()
    assert not reader.is_valid(0)
    reader.until(lambda: reader.is_valid(0))
    assert_same(stand_in, reader, "spot", "BTCUSDT", 0)
    reader.lose()
    reader.until(lambda: reader.feed.sequence_gaps > 0)
    reader.until(lambda: reader.is_valid(0))
    assert_same(stand_in, reader, "spot", "BTCUSDT", 0)


def test_limits_are_heeded(one: One) -> None:
    """A refusal for asking too often is waited out; the book is not proven meanwhile."""
    stand_in, running, reader = one
    act(stand_in, "limit", market="spot", status=429, retry_after_s=2, count=1)
    act(stand_in, "disconnect", host="spot_stream", how="abort")
    begun = time.monotonic()
    reader.until(lambda: running.said("asked too often: nothing is sent for 2 s") == 1)
    reader.until(lambda: reader.is_valid(0))
    assert time.monotonic() - begun >= 2
    assert_same(stand_in, reader, "spot", "BTCUSDT", 0)


def test_a_connection_is_renewed_before_its_end_and_nothing_is_lost_or_told_twice(
    one_market: RunningStandIn, reader: BridgeReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LIFE_S", 2.0)
    monkeypatch.setattr(streams, "OVERLAP_S", 0.5)
    act(one_market, "disarm")
    with bridge(one_market, reader, tmp_path, {"spot": table(one_market, "spot", "BTCUSDT")}) as running:
        reader.until(lambda: reader.is_valid(0))
        reader.until(lambda: running.said("connection is renewed") >= 2)
        run_for(reader, SETTLE_S)
        assert_same(one_market, reader, "spot", "BTCUSDT", 0)
        assert (reader.losses, running.said("book lost"), running.said("book proven")) == (0, 0, 1)
        assert len(one_market.stand_in.connections("spot_stream")) <= 2


def test_a_silent_connection_is_given_up(one: One) -> None:
    """No frame and no answer to a ping: the book is lost, by time, and proven again on another connection."""
    stand_in, running, reader = one
    lost = reader.losses
    act(stand_in, "disconnect", host="spot_stream", how="silence")
    act(stand_in, "pause")
    reader.until(lambda: reader.losses > lost, 40.0)
    act(stand_in, "resume")
    reader.until(lambda: reader.is_valid(0))
    assert running.said("spot: connection lost") == 1


def test_no_other_authority_is_believed(one_market: RunningStandIn, reader: BridgeReader, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    spot = {"spot": table(one_market, "spot", "BTCUSDT")}
    with bridge(one_market, reader, tmp_path, spot, ca_file=str(other)) as running:
        reader.until(lambda: running.said("TLS: CERTIFICATE_VERIFY_FAILED") > 0)
    assert reader.market.count == 0
