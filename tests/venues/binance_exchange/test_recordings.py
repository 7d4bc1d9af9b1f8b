"""The stand-in over real recordings: its books are the importer's, and its matching is the backtest's."""

import asyncio
import gzip
import itertools
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.capture.format import PcapHeader, RecordHeader
from crosswire.nic.memory.struct import array, size_of, u8
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Packet
from crosswire.venues.book.book import make_books
from crosswire.venues.bridge.binance.exchange.desk import Desk
from crosswire.venues.bridge.binance.exchange.errors import ApiError
from crosswire.venues.bridge.binance.exchange.listed import Listed, book_digest
from crosswire.venues.bridge.binance.exchange.messages import Message, read_recording
from crosswire.venues.bridge.binance.exchange.server import StandIn
from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig, StandInConfig
from crosswire.venues.bridge.binance.exchange.venue import Times
from crosswire.venues.bridge.binance.importer import import_file
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.exchange.matching import (
    RESTING_MAX,
    Executions,
    Matching,
    OrderRequest,
    match_cancel,
    match_new,
    on_market,
    set_matching,
)
from crosswire.venues.feed import decode
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import Events, clear_events
from crosswire.venues.market import Market as Books
from crosswire.venues.order import ReportKind, TimeInForce
from crosswire.venues.side import BUY
from tests.support.binance_import import assert_same_book, decoded
from tests.support.paths import recording
from tests.support.stand_in import keys

pytestmark = pytest.mark.binance

NAMES = ("spot/btcusdt", "spot/ethusdt", "usdm/btcusdt", "usdm/ethusdt", "coinm/btcusd_perp", "coinm/ethusd_perp")
LINES = 3_000


def beginning(folder: Path, name: str, lines: int = LINES) -> Path:
    """The first lines of a recording."""
    path = folder / f"{name.replace('/', '_')}.txt"
    with gzip.open(recording(f"binance/{name}_20240808.gz")) as file:
        path.write_bytes(b"".join(itertools.islice(file, lines)))
    return path


def stand_in_of(folder: Path, *paths: Path, **settings: Any) -> StandIn:
    """A stand-in over recordings, as fast as can be."""
    listed = [InstrumentConfig(market=path.name.partition("_")[0], recording=str(path)) for path in paths]
    config = {"speed": 0, "times": "recorded", "balances": {"usdm": {"USDT": "100000000"}}} | settings
    return StandIn(StandInConfig(folder=str(folder / "memory"), instruments=listed, keys=keys(folder), **config))


def play(stand_in: StandIn) -> None:
    """Play to the end, without any port."""

    async def run() -> None:
        stand_in.player.start(stand_in.clock_without_faults)
        await stand_in.player.run()

    asyncio.run(run())


def only(stand_in: StandIn) -> Listed:
    (listed,) = [each for venue in stand_in.venues.values() for each in venue.listed]
    return listed


@pytest.mark.parametrize("name", NAMES)
def test_books_are_those_that_the_importer_rebuilds(tmp_path: Path, name: str) -> None:
    path = beginning(tmp_path, name)
    stand_in = stand_in_of(tmp_path, path)
    play(stand_in)
    listed = only(stand_in)
    import_file(path, tmp_path / "out.pcap")
    _, market = decoded(tmp_path / "out.pcap")
    book = market.books[0]
    assert listed.update_id == book.update_id
    assert_same_book(book, (listed.bids, listed.asks))
    own = stand_in.venues[listed.market].matcher.market.books[listed.index]
    assert_same_book(own, (listed.bids, listed.asks))
    assert (own.bid_ticks, own.bid_lots, own.ask_ticks, own.ask_lots) == listed.top()
    assert listed.digest == book_digest(listed.bids, listed.asks)
    assert listed.off_grid == 0


def test_rounds_begin_with_the_same_book_and_ids_go_on(tmp_path: Path) -> None:
    path = beginning(tmp_path, "usdm/btcusdt", 1_500)
    count = sum(1 for _ in read_recording(path))
    stand_in = stand_in_of(tmp_path, path, repeat=True, times="now")
    venue, listed = stand_in.venues[Market.USDM], only(stand_in)
    last, trades, books, times = listed.update_id, [0], [listed.digest], [0]

    def check(_: Listed, message: Message, moved: Times) -> None:
        nonlocal last
        times.append(moved.time_ns)
        if message.e == "depthUpdate":
            assert message.pu == last
            assert message.u > last
            last = message.u
            if not message.E:
                books.append(listed.digest)
        elif message.e == "trade":
            trades.append(message.t)

    venue.on_message.append(check)

    async def run() -> None:
        stand_in.player.start(stand_in.clock_without_faults)
        playing = asyncio.create_task(stand_in.player.run())
        while stand_in.player.played < 3 * count:
            await asyncio.sleep(0)
        playing.cancel()

    asyncio.run(run())
    assert len(books) >= 3
    assert len(set(books)) == 1
    assert trades == sorted(set(trades))
    assert max(before - after for before, after in itertools.pairwise(times)) < 2_000_000_000


# By a change's number: (side, time in force, ticks from the best bid, lots); 0 lots: cancel an order by its place.
SCRIPT = {
    20: (BUY, TimeInForce.IOC, 30, 5_000),
    40: (BUY, TimeInForce.GTC, 0, 4_000),
    55: (1 - BUY, TimeInForce.GTC, 2, 3_000),
    80: (BUY, TimeInForce.GTC, -400, 9_000),
    150: (BUY, TimeInForce.FOK, 1, 900_000),
    200: (1 - BUY, TimeInForce.IOC, -50, 20_000),
    220: (0, 0, 4, 0),
    260: (1 - BUY, TimeInForce.GTC, 0, 500),
}


def reference_fills(capture: Path, acts: dict[int, int]) -> list[tuple[int, int, int, int]]:
    """What the matching makes of the script, packet by packet of the imported recording: as in a backtest.

    `acts` are the numbers of the script by the update id that they come behind.
    """
    data = capture.read_bytes()[size_of(PcapHeader) :]
    memory = array(u8, len(data))
    memory.numpy()[:] = list(data)
    feed, market = BridgeFeed(discover=1), Books(capacity=1)
    market.instruments, market.books = Instrument.array(1), make_books(1, 20_000)
    matching, executions, events, packet = Matching(), Executions(), Events(), Packet()
    set_matching(matching, 0, 1_000_000, 1_000_000, RESTING_MAX)
    fills: list[tuple[int, int, int, int]] = []
    now_ns, update_id, orders = 1 << 61, 0, 0

    def take() -> None:
        for place in range(executions.count):
            report = executions.items[place]
            if report.kind == ReportKind.FILL:
                fills.append((report.client_order_id, report.price_ticks, report.qty_lots, report.is_maker))
        executions.count = 0

    address, end = memory.address, memory.address + len(data)
    while address < end:
        record = RecordHeader.at(address)
        frame = address + size_of(RecordHeader)
        packet.payload_address = frame + UDP_FRAME_HEADER_BYTES
        packet.payload_length = record.captured_length - UDP_FRAME_HEADER_BYTES
        packet.time_ns = record.seconds * 1_000_000_000 + record.fraction
        clear_events(events, market)
        decode(feed, packet, market, events)
        on_market(matching, market, events, now_ns, executions)
        take()
        book = market.books[0]
        if book.valid and book.update_id != update_id:
            update_id = book.update_id
            if update_id in acts:
                side, force, ticks, lots = SCRIPT[acts[update_id]]
                if lots:
                    orders += 1
                    request = OrderRequest(client_order_id=orders, side=side, time_in_force=force, qty_lots=lots)
                    request.price_ticks = book.level_bid_ticks + ticks
                    match_new(matching, market, request, now_ns, executions)
                else:
                    match_cancel(matching, ticks, now_ns, executions)
                take()
        address = frame + record.captured_length
    return fills


def test_matching_is_the_backtests(tmp_path: Path) -> None:
    path = beginning(tmp_path, "usdm/btcusdt", 6_000)
    stand_in = stand_in_of(tmp_path, path)
    venue, listed, desk = stand_in.venues[Market.USDM], only(stand_in), stand_in.desks[Market.USDM]
    numbers = itertools.count(1)
    acts: dict[int, int] = {}
    placed: list[int] = []

    def act(_: Listed, message: Message, __: Times) -> None:
        if message.e == "depthUpdate" and (change := next(numbers)) in SCRIPT:
            acts[listed.update_id] = change
            do(desk, listed, change, placed)

    venue.on_message.append(act)
    play(stand_in)
    import_file(path, tmp_path / "out.pcap")
    account = stand_in.accounts[Market.USDM]
    names = {number: place for place, number in enumerate(placed, 1)}
    fills = [(names[each.order_id], each.price_ticks, each.qty_lots, int(each.is_maker)) for each in account.fills]
    assert fills == reference_fills(tmp_path / "out.pcap", acts)
    assert {maker for *_, maker in fills} == {0, 1}
    assert len(acts) == len(SCRIPT)


def do(desk: Desk, listed: Listed, change: int, placed: list[int]) -> None:
    """Do what the script says for a change."""
    side, force, ticks, lots = SCRIPT[change]
    if not lots:
        desk.cancel({"symbol": listed.symbol, "orderId": str(placed[ticks - 1])})
        return
    params = {"symbol": listed.symbol, "side": "BUY" if side == BUY else "SELL", "type": "LIMIT"}
    params |= {"timeInForce": TimeInForce(force).name, "quantity": listed.size_text(lots)}
    params["price"] = listed.price_text(listed.best()[0] + ticks)
    if force == TimeInForce.FOK:  # refused here, and cancelled by the backtest's exchange
        with pytest.raises(ApiError, match="-5021"):
            desk.place(params)
        placed.append(-1)
    else:
        placed.append(desk.place(params)[0].order_id)
