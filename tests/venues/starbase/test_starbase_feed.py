"""The Starbase feed: packets of the encoder and of the venue's own tables, transactions, instruments, damage."""

import random
import struct
from typing import Any

import pytest

from crosswire.nic.memory.struct import array, u8
from crosswire.venues.feed import Reject
from crosswire.venues.instrument import E9, Kind, Payoff
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE
from crosswire.venues.side import ASK, BID, BUY, SELL
from crosswire.venues.starbase.feed.feed import queue_ahead_lots
from crosswire.venues.starbase.feed.state import Progress
from crosswire.venues.starbase.wire.encoder import (
    PacketWriter,
    add_index,
    add_info,
    add_message,
    add_status,
    begin_packet,
    end_packet,
    fill_retransmit_request,
)
from crosswire.venues.starbase.wire.market_layout import (
    PACKET_BYTES_MAX,
    InstrumentStatus,
    MessageHeader,
    PacketHeader,
    Template,
)
from tests.support.starbase_feed_setup import (
    CHANNEL,
    MS,
    PERPETUAL,
    SNAPSHOT,
    SPOT,
    START_NS,
    Receiver,
    Sender,
    Session,
    definition,
    delete,
    perpetual,
    put,
    reduce,
    refusal,
    snapshot,
    spot,
    summary,
    trade,
)
from tests.support.starbase_wire import market_layouts

pytestmark = pytest.mark.starbase
# The venue's own tables -----------------------------------------------------------------------------------------------


def table_message(name: str, values: dict[str, Any], flags: int, groups: bytes = b"") -> bytes:
    """One message packed from the published table, field by field."""
    table = market_layouts().messages[name]
    body = table.pack(values) + groups
    body += bytes(-len(body) % 8)
    return struct.pack("<HHHHq", 16 + len(body), table.template, 1, flags, START_NS) + body


def table_packet(sequence: int, kind: int, *messages: bytes) -> bytes:
    return struct.pack("<qqiHH", START_NS, sequence, CHANNEL, kind, len(messages)) + b"".join(messages)


def definition_values(**changes: Any) -> dict[str, Any]:
    values = {
        "instrumentId": PERPETUAL,
        "name": b"BTC-PERPETUAL",
        "indexId": 1,
        "underlying": b"BTC",
        "quantityAsset": b"USD",
        "priceAsset": b"USD",
        "expiryTime": -(1 << 63),
        "strikePrice.price9": -(1 << 63),
        "minOrderQuantity": 10,
        "tickSize.price9": E9 // 2,
        "quantityExponent": 0,
        "type": 0,
        "flags": 5,
        "status": 0,
    }
    return values | changes


def test_packets_of_the_published_tables_build_the_book():
    def message(kind: str, stamp: int = 3, groups: bytes = b"", **values: Any) -> bytes:
        return table_message(kind, values, stamp, groups)

    no_groups = struct.pack("<HHHH", 16, 0, 9, 0)
    put_values = {"instrumentId": PERPETUAL, "quantityMantissa": 50, "price.price9": 50 * E9}
    receiver = Receiver([perpetual()])
    receiver.receive(table_packet(1, 1))
    loaded = table_packet(
        1,
        2,
        message("InstrumentDefinition", 0, no_groups, **definition_values()),
        message("SnapshotHeader", 0, instrumentId=PERPETUAL, incrementalSeqNum=0),
        message("BidPut", 0, orderId=1, sortOrderId=1, **put_values),
        message("AskPut", 0, orderId=2, sortOrderId=2, **{**put_values, "price.price9": 51 * E9}),
        message("SnapshotTrailer", 0, instrumentId=PERPETUAL, incrementSeqNum=0),
        message("EndOfCycle", 0, activeInstrumentCount=1),
    )
    assert receiver.kinds(loaded) == [BOOK_CHANGED]
    trades = table_packet(
        1,
        1,
        message(
            "TradeSummary",
            1,
            instrumentId=PERPETUAL,
            takerOrderId=9,
            totalFilledMantissa=20,
            tradeCount=1,
            takerFlags=1,
            **{"deepestPrice.price9": 50 * E9},
        ),
        message(
            "Trade",
            0,
            matchId=4,
            instrumentId=PERPETUAL,
            makerOrderId=1,
            fillQtyMantissa=20,
            **{"fillPrice.price9": 50 * E9},
        ),
        message("BidQtyReduced", 2, orderId=1, instrumentId=PERPETUAL, quantityMantissa=30),
        message("AskDelete", orderId=2, instrumentId=PERPETUAL),
        message("InstrumentInfo", instrumentId=PERPETUAL, **{"markPrice.price9": 77}),
        message("IndexInfo", indexId=1, **{"indexPrice.price9": 88}),
    )
    assert receiver.kinds(trades) == [TRADE, BOOK_CHANGED]
    event = receiver.events.items[0]
    assert (event.side, event.price_ticks, event.qty_lots) == (SELL, 100, 2)
    book = receiver.book()
    assert (book.bid_ticks, book.bid_lots, book.ask_levels, book.valid) == (100, 3, 0, 1)
    assert receiver.feed.infos[0].mark_price_e9 == 77
    assert (receiver.feed.indices[0].index_id, receiver.feed.indices[0].price_e9) == (1, 88)
    assert sum(receiver.feed.rejects) == 0


def test_the_encoder_writes_the_published_tables():
    sender = Sender()
    payload = sender.packet(
        definition(0),
        put(0, BID, 1, 100, 5),
        put(0, ASK, 2, 110, 7, 6),
        reduce(0, BID, 1, 3),
        delete(0, ASK, 2),
        summary(0, SELL, 3, 100),
        trade(0, BID, 1, 2, 100),
        (add_status, PERPETUAL, 5),
        (add_info, PERPETUAL, 1, 2, 3),
        (add_index, 1, 4),
    )
    price = {"instrumentId": PERPETUAL, "price.price9": 50 * E9}
    prices = {"deepestPrice.price9": 50 * E9, "markPrice.price9": 50 * E9, "indexPrice.price9": 50 * E9}
    no_groups = struct.pack("<HHHH", 16, 0, 9, 0)
    expected = [
        ("InstrumentDefinition", definition_values()),
        ("BidPut", {"orderId": 1, "quantityMantissa": 50, "sortOrderId": 1, **price}),
        ("AskPut", {"orderId": 2, "quantityMantissa": 70, "sortOrderId": 6, **price, "price.price9": 55 * E9}),
        ("BidQtyReduced", {"orderId": 1, "instrumentId": PERPETUAL, "quantityMantissa": 30}),
        ("AskDelete", {"orderId": 2, "instrumentId": PERPETUAL}),
        (
            "TradeSummary",
            {"instrumentId": PERPETUAL, "takerOrderId": 99, "totalFilledMantissa": 30, "tradeCount": 1, "takerFlags": 1}
            | prices,
        ),
        (
            "Trade",
            {"matchId": 7, "instrumentId": PERPETUAL, "makerOrderId": 1, "fillQtyMantissa": 20}
            | {"fillPrice.price9": 50 * E9},
        ),
        ("InstrumentStatusUpdate", {"instrumentId": PERPETUAL, "tradingStatus": 5}),
        (
            "InstrumentInfo",
            {"instrumentId": PERPETUAL, "minSellPrice.price9": 1, "maxBuyPrice.price9": 2, "markPrice.price9": 3},
        ),
        ("IndexInfo", {"indexId": 1, "indexPrice.price9": 4}),
    ]
    position = 24
    assert struct.unpack_from("<qiHH", payload, 8) == (1, CHANNEL, 1, len(expected))
    for number, (name, values) in enumerate(expected):
        flags = (1 if number == 0 else 0) | (2 if number == len(expected) - 1 else 0)
        groups = no_groups if number == 0 else b""
        message = bytearray(table_message(name, values, flags, groups))
        message[8:16] = struct.pack("<q", sender.time_ns)
        assert payload[position : position + len(message)] == bytes(message), name
        position += len(message)
    assert position == len(payload)


def test_a_packet_never_exceeds_the_venues_maximum():
    writer = PacketWriter(channel_id=1, type=1, sequence=1)
    buffer = array(u8, 4096)
    begin_packet(writer, buffer.address, 4096, 0)
    count = 0
    function, *arguments = put(0, BID, 1, 100, 1)
    while function(writer, *arguments):
        count += 1
    assert count == (PACKET_BYTES_MAX - PacketHeader.size) // (MessageHeader.size + 40)
    assert add_message(writer, Template.BID_PUT, 40) == 0
    assert end_packet(writer) <= PACKET_BYTES_MAX
    assert writer.sequence == 1 + count


# Transactions ---------------------------------------------------------------------------------------------------------


def trade_in_two_packets(session: Session) -> tuple[bytes, bytes]:
    first = session.wire.packet(summary(0, SELL, 2, 100), trade(0, BID, 1, 2, 100), end=False)
    second = session.wire.packet(reduce(0, BID, 1, 3), transaction=False, end=False)
    header = bytearray(second)
    struct.pack_into("<H", header, 24 + 6, 2)
    return first, bytes(header)


def test_a_transaction_shows_only_when_it_is_complete():
    session = Session()
    first = session.wire.packet(put(0, BID, 3, 101, 2), put(0, BID, 4, 102, 2), end=False)
    assert session.receive(first) == []
    assert not session.book.valid  # half of a transaction is no book
    second = bytearray(session.wire.packet(delete(0, BID, 3), transaction=False, end=False))
    struct.pack_into("<H", second, 24 + 6, 2)
    assert session.receive(bytes(second)) == [BOOK_CHANGED]
    assert session.top() == (102, 2, 110, 7)


def test_a_trade_comes_at_once_and_what_it_did_to_the_book_with_the_end():
    session = Session()
    first, second = trade_in_two_packets(session)
    assert session.receive(first) == [TRADE]
    assert session.receiver.events.items[0].side == SELL
    assert session.receive(second) == [BOOK_CHANGED]
    assert session.top() == (100, 3, 110, 7)


def test_who_acts_on_trades_is_called_at_the_first_summary():
    session = Session(act_on_trades=1)
    first, second = trade_in_two_packets(session)
    assert session.receive(first) == [BOOK_CHANGED, TRADE]
    assert session.book.valid
    assert session.receive(second) == [BOOK_CHANGED]
    assert session.top() == (100, 3, 110, 7)


def test_a_trade_without_summary_has_the_other_side_than_its_maker():
    session = Session()
    for side, aggressor in ((BID, SELL), (ASK, BUY)):
        assert session.receive(session.wire.packet(trade(0, side, 1, 1, 100))) == [TRADE]
        assert session.receiver.events.items[0].side == aggressor


def test_the_rest_of_a_transaction_that_is_lost_loses_the_book():
    session = Session()
    assert session.receive(session.wire.packet(put(0, BID, 3, 101, 2), end=False)) == []
    session.wire.packet(delete(0, BID, 3), transaction=False)
    assert session.receive(session.wire.packet(put(0, BID, 5, 102, 1))) == [BOOK_LOST]
    session.receive(session.wire.packet(transaction=False, end=False), step_ns=5 * MS)
    assert session.feed.waiting == 1
    state = {1: (BID, 100, 5, 1)}
    assert session.receive(session.snapshots.packet(*snapshot(0, state, 2))) == [BOOK_CHANGED]
    assert session.top()[:2] == (102, 1)


# Instruments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [each for each in InstrumentStatus if each != InstrumentStatus.OPEN])
def test_only_an_open_instrument_has_a_valid_book(status):
    session = Session()
    assert session.receive(session.wire.packet((add_status, PERPETUAL, status))) == [BOOK_LOST]
    assert session.receive(session.wire.packet(put(0, BID, 3, 101, 2))) == []
    assert not session.book.valid
    # A cycle may repeat a definition from before.
    stale = Sender(SNAPSHOT, sequence=session.snapshots.writer.sequence)
    assert session.receive(stale.packet(definition(0), transaction=False)) == []
    assert session.receive(session.wire.packet((add_status, PERPETUAL, InstrumentStatus.OPEN))) == [BOOK_CHANGED]
    assert session.top() == (101, 2, 110, 7)


@pytest.mark.parametrize(
    "change",
    [{"tickSize.price9": E9}, {"minOrderQuantity": 1}, {"quantityExponent": 1}, {"flags": 4}],
)
def test_a_definition_that_contradicts_the_configuration_is_counted_and_its_book_lost(change):
    session = Session()
    groups = struct.pack("<HHHH", 16, 0, 9, 0)
    message = table_message("InstrumentDefinition", definition_values(**change), 0, groups)
    packet = table_packet(session.snapshots.writer.sequence, SNAPSHOT, message)
    assert session.receive(packet) == [BOOK_LOST]
    assert session.feed.definition_mismatches == 1
    assert session.receiver.market.instruments[0].venue_id == -1


def test_larger_ticks_make_the_grid_their_common_divisor():
    receiver = Receiver([perpetual(tick_e9=E9 // 10)])
    groups = struct.pack("<HH", 16, 2) + struct.pack("<qqqq", E9, 100 * E9, E9 * 3 // 10, 10 * E9)
    groups += struct.pack("<HH", 9, 1) + struct.pack("<qb", 5, -1)
    message = table_message("InstrumentDefinition", definition_values(), 0, groups)
    receiver.receive(table_packet(1, SNAPSHOT, message))
    assert receiver.feed.definition_mismatches == 0
    assert receiver.market.instruments[0].venue_id == PERPETUAL
    damaged = bytearray(message)
    struct.pack_into("<H", damaged, 16 + 260 + 2, 200)
    receiver.receive(table_packet(2, SNAPSHOT, bytes(damaged)))
    assert receiver.feed.rejects[Reject.BAD_VALUE] == 1


def test_discovery_takes_up_what_the_wire_defines():
    receiver = Receiver([], discover=1)
    wire, snapshots = Sender(), Sender(SNAPSHOT)
    receiver.receive(wire.packet(transaction=False, end=False))
    receiver.receive(snapshots.packet(*snapshot(0, {1: (BID, 100, 5, 1)}, 0), *snapshot(1, {2: (ASK, 9, 4, 1)}, 0)))
    found = [receiver.market.instruments[index] for index in range(receiver.market.count)]
    assert [each.venue_id for each in found] == [PERPETUAL, SPOT]
    assert [each.kind for each in found] == [Kind.PERPETUAL, Kind.SPOT]
    assert [each.payoff for each in found] == [Payoff.INVERSE, Payoff.LINEAR]
    assert [each.lot_e9 for each in found] == [10 * E9, E9 // 10_000]
    assert [bytes(each.symbol).rstrip(b"\0") for each in found] == [b"BTC-PERPETUAL", b"BTC_USDC"]
    assert receiver.book(0).bid_ticks == 100
    assert receiver.book(1).ask_lots == 4


def test_queue_position_of_an_own_order():
    session = Session()
    session.receive(session.wire.packet(put(0, BID, 3, 100, 2), put(0, BID, 4, 100, 9), put(0, BID, 5, 100, 1, 2)))
    assert [queue_ahead_lots(session.feed, 0, order_id) for order_id in (1, 5, 3, 4, 77)] == [0, 5, 6, 8, -1]
    session.receive(session.wire.packet(reduce(0, BID, 1, 1), delete(0, BID, 3)))
    assert queue_ahead_lots(session.feed, 0, 4) == 2


# What can't be believed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (put(0, BID, 3, 100, 0), Reject.BAD_VALUE),
        (put(0, BID, 3, 100, -5), Reject.BAD_VALUE),
        (put(0, BID, 3, 0, 1), Reject.BAD_VALUE),
        ((*put(0, BID, 3, 100, 1)[:5], E9 // 4, 3), Reject.BAD_VALUE),  # half a tick
        ((*put(0, BID, 3, 100, 1)[:5], (1 << 63) - 1, 3), Reject.BAD_VALUE),
        ((*put(0, BID, 3, 100, 1)[:4], (1 << 63) - 10, *put(0, BID, 3, 100, 1)[5:]), Reject.BAD_VALUE),
        (put(0, BID, 3, 1 << 31, 1), None),
        (put(0, BID, 3, 1 << 30, 1 << 46), None),
        (reduce(0, BID, 1, 6), Reject.BAD_VALUE),  # more than it had
        (reduce(0, BID, 1, 0), Reject.BAD_VALUE),
        (reduce(0, ASK, 1, 1), "chain"),  # it is a bid
        (delete(0, BID, 77), "chain"),
    ],
)
def test_what_contradicts_the_book_loses_it_until_a_snapshot(message, reason):
    session = Session()
    kinds = session.receive(session.wire.packet(message))
    if reason is None:
        assert kinds == [BOOK_CHANGED]
        return
    assert kinds == [BOOK_LOST]
    assert session.feed.continuity_breaks == (1 if reason == "chain" else 0)
    if reason != "chain":
        assert session.feed.rejects[reason] == 1
    assert session.feed.channels[0].is_suspect == 0
    assert session.receive(session.wire.packet(put(0, BID, 8, 99, 1))) == []
    state = {1: (BID, 100, 5, 1)}
    assert session.receive(session.snapshots.packet(*snapshot(0, state, 1))) == [BOOK_CHANGED]
    assert session.receiver.state() == {(BID, 100): [(1, 5)], (BID, 99): [(8, 1)]}


def test_more_orders_than_there_is_room_for_lose_the_book():
    session = Session()
    lost = 0
    for number in range(1100):
        kinds = session.receive(session.wire.packet(put(0, BID, 10 + number, 100, 1)))
        lost += kinds.count(BOOK_LOST)
    assert lost == 1
    assert session.feed.rejects[Reject.BOOK_FULL] == 1


def test_an_unknown_message_is_stepped_over():
    session = Session()
    packet = bytearray(session.wire.packet((add_status, 99, 0), put(0, BID, 3, 101, 2)))
    struct.pack_into("<H", packet, 24 + 2, 1234)
    assert session.receive(bytes(packet)) == [BOOK_CHANGED]
    assert session.feed.rejects[Reject.UNKNOWN_TEMPLATE] == 1
    assert session.top() == (101, 2, 110, 7)


def test_a_packet_that_can_not_be_read_to_its_end_counts_as_missing():
    session = Session()
    packet = session.wire.packet(put(0, BID, 3, 101, 2), put(0, BID, 4, 102, 2))
    damaged = bytearray(packet)
    struct.pack_into("<H", damaged, 24 + 56, 8)
    assert session.receive(bytes(damaged)) == [BOOK_LOST]
    assert session.feed.channels[0].next == 2
    assert session.receive(packet) == [BOOK_CHANGED]  # the other line's is whole
    assert session.top() == (102, 2, 110, 7)


def test_more_channels_than_there_is_room_for_are_refused():
    receiver = Receiver()
    for channel in range(20):
        receiver.receive(Sender(channel_id=channel).packet())
    assert receiver.feed.rejects[Reject.UNKNOWN_CHANNEL] == 4


def whole_packets() -> list[bytes]:
    """Packets with every kind of message that the feed reads."""
    session = Session()
    request = array(u8, 64)
    length = fill_retransmit_request(request.address, START_NS, CHANNEL, 5, 1, 2)
    return [
        session.snapshots.packet(*snapshot(0, {1: (BID, 100, 5, 1)}, 0)),
        session.wire.packet(
            definition(0),
            put(0, BID, 3, 101, 2),
            reduce(0, BID, 3, 1),
            summary(0, SELL, 1, 101),
            trade(0, BID, 3, 1, 101),
            delete(0, BID, 3),
            (add_status, PERPETUAL, 0),
            (add_info, PERPETUAL, 1, 2, 3),
            (add_index, 1, 4),
        ),
        refusal(1, 1),
        bytes(request)[:length],
    ]


@pytest.mark.fuzz
def test_no_cut_packet_is_read_past_its_end():
    for packet in whole_packets():
        session = Session()
        for length in range(len(packet)):
            session.receive(packet[:length])
        # Cut, and yet as many messages as before: what is missing must be noticed.
        assert sum(session.feed.rejects) > 0


@pytest.mark.fuzz
def test_damaged_packets_neither_crash_nor_leave_a_wrong_book():
    draw = random.Random(5)
    packets = whole_packets()
    session = Session()
    for _ in range(20_000):
        packet = bytearray(draw.choice(packets))
        struct.pack_into("<q", packet, 8, session.feed.channels[0].next + draw.choice((0, 0, 0, 1, -1)))
        for _ in range(draw.choice((0, 1, 1, 2, 5))):
            packet[draw.randrange(16, len(packet))] = draw.choice((0, 1, 2, 8, 127, 128, 255, draw.randrange(256)))
        session.receive(bytes(packet[: draw.choice((len(packet), draw.randrange(len(packet) + 1)))]))
        queue, book = session.receiver.queue(), session.book
        levels = session.receiver.state() if draw.random() < 0.01 else None
        if levels is not None:
            assert sum(len(rows) for rows in levels.values()) == queue.count
            assert book.bid_levels + book.ask_levels == queue.level_count == len(levels)
    assert session.feed.holes > 0


def test_a_fresh_feed_waits_for_the_instruments_of_its_own_venue_alone():
    other = spot()
    other.venue = 1
    receiver = Receiver([perpetual(), other])
    assert receiver.feed.waiting == 1
    assert receiver.feed.queues[1].order_capacity == 0
    assert receiver.feed.proofs[0].progress == Progress.LOST
