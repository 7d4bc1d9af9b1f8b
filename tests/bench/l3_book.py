"""What an order-by-order update costs: `python -m tests.bench.l3_book [ROUNDS]`.

Two streams of Starbase packets, written by the encoder:
* `made`: seeded; most updates within a few ticks of the top, 60 % put (an order of its own, or a changed one when 4,000
  rest), 30 % deleted, 10 % reduced, and a trade every 25th transaction; 1 to 4 transactions a packet;
* `binance`: the real USD-M BTC depth stream, where each level is one order: a new size is a reduction or a changed
  order, a packet a depth message (or as much of it as fits).

Each runs ROUNDS times from an empty book, four ways in turns, the best prices read after each packet (or update):
* `feed`: the whole feed, from packets: proof of lengths, sequence, conversion, L3 queue, L2 levels, events;
* `queue`: the order queue and its L2 book alone, from decoded numbers;
* `python`: a plain Python book of dictionaries, from decoded tuples;
* `python_wire`: the same, decoding the packets by `struct.unpack_from`.
An update is a put, a reduction or a deletion. Processor time, medians over the rounds of each CHUNK packets or updates,
summed. All four must end with the same levels. `ratio` is python_wire over feed, both streams together.
"""

import json
import random
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

from crosswire.nic.memory.struct import Array, Struct, array, i64, u8
from crosswire.nic.packet import Packet
from crosswire.nic.unit.call import compile_calls
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import Book, best_level, executable_lots, make_books, next_level
from crosswire.venues.book.order_queue import (
    NONE,
    OrderQueue,
    clear_queue,
    delete_order,
    make_order_queues,
    put_order,
    reduce_order,
)
from crosswire.venues.feed import decode
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.feed.feed import make_starbase_feed
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.wire.encoder import (
    PacketWriter,
    add_delete,
    add_put,
    add_reduce,
    add_trade,
    add_trade_summary,
    begin_packet,
    begin_transaction,
    end_packet,
    end_transaction,
)
from tests.bench.book import recorded_depth, time_chunks
from tests.support.paths import RECORDINGS
from tests.support.starbase_feed_setup import CHANNEL, SNAPSHOT, START_NS, Sender, perpetual, snapshot

RECORDING = RECORDINGS / "binance" / "usdm" / "btcusdt_20240808.gz"
MADE_TRANSACTIONS = 150_000
RESTING = 4_000
PUT, REDUCE, DELETE = range(3)
CHUNK = 2048
ORDER_CAPACITY = 1 << 16
LEVEL_CAPACITY = 1 << 15
VENUE_ID = 210_838
LOT_MANTISSA = 10  # the perpetual of `tests.support.starbase_feed_setup`: 10 USD a lot, half a dollar a tick
TICK_E9 = E9 // 2

# kind, order id, side, price ticks, lots, sort id, and for a trade what it took
Update = tuple[int, int, int, int, int, int]
Transaction = tuple[tuple[int, int, int, int] | None, list[Update]]  # (side, order id, price, lots) of a trade


class Change(Struct):
    """One update, decoded."""

    kind: i64
    order_id: i64
    side: i64
    price_ticks: i64
    qty_lots: i64
    sort_order_id: i64


class Payload(Struct):
    """Where a packet lies."""

    address: i64
    length: i64


class Rig(Struct):
    """What the compiled loop works on."""

    total: i64
    packet: Packet
    events: Events


@compiled
def run_feed(rig: Rig, feed: StarbaseFeed, market: Market, payloads: Array, first: int, end: int) -> int:
    packet = rig.packet
    book = market.books[0]
    for index in range(first, end):
        packet.payload_address = payloads[index].address
        packet.payload_length = payloads[index].length
        packet.time_ns += 1_000
        clear_events(rig.events, market)
        decode(feed, packet, market, rig.events)
        rig.total += book.bid_ticks ^ book.ask_ticks
    return rig.events.dropped


@compiled
def run_queue(queue: OrderQueue, book: Book, changes: Array, first: int, end: int) -> int:
    total = 0
    for index in range(first, end):
        change = changes[index]
        kind = change.kind
        if kind == PUT:
            slot = put_order(
                queue,
                book,
                change.order_id,
                change.side,
                change.price_ticks,
                change.qty_lots,
                change.sort_order_id,
            )
            if slot == NONE:
                return -1
        elif kind == REDUCE:
            if reduce_order(queue, book, change.order_id, change.qty_lots) == NONE:
                return -1
        elif not delete_order(queue, book, change.order_id):
            return -1
        total += book.level_bid_ticks ^ book.level_ask_ticks
    return total & 1


class PlainBook:
    """Orders by id, levels by price with their sum and their orders in time order, and a heap of prices a side."""

    def __init__(self) -> None:
        self.orders: dict[int, list[int]] = {}  # id -> side, price, lots, sort id
        self.levels: tuple[dict[int, list[Any]], dict[int, list[Any]]] = ({}, {})  # price -> sum, {id: lots}
        self.heaps: tuple[list[int], list[int]] = ([], [])  # of levels that were made, bids mirrored

    def put(self, order_id: int, side: int, price: int, lots: int, sort_id: int) -> None:
        if order_id in self.orders:
            self.delete(order_id)
        levels = self.levels[side]
        level = levels.get(price)
        self.orders[order_id] = [side, price, lots, sort_id]
        if level is None:
            levels[price] = [lots, {order_id: lots}]
            heappush(self.heaps[side], -price if side == BID else price)
            return
        level[0] += lots
        queue = level[1]
        is_last = sort_id >= self.orders[next(reversed(queue))][3]
        queue[order_id] = lots
        if not is_last:
            level[1] = dict(sorted(queue.items(), key=lambda each: self.orders[each[0]][3]))

    def reduce(self, order_id: int, lots: int) -> None:
        order = self.orders[order_id]
        level = self.levels[order[0]][order[1]]
        level[0] += lots - order[2]
        level[1][order_id] = lots
        order[2] = lots

    def delete(self, order_id: int) -> None:
        side, price, lots, _ = self.orders.pop(order_id)
        levels = self.levels[side]
        level = levels[price]
        level[0] -= lots
        del level[1][order_id]
        if not level[1]:
            del levels[price]

    def top(self) -> int:
        """Best bid and ask; prices that are gone are dropped from the heaps only here."""
        bids, asks = self.heaps
        while bids and -bids[0] not in self.levels[BID]:
            heappop(bids)
        while asks and asks[0] not in self.levels[ASK]:
            heappop(asks)
        return (-bids[0] if bids else -1) ^ (asks[0] if asks else -1)


def run_python(book: PlainBook, updates: list[Update], first: int, end: int) -> int:
    total = 0
    for kind, order_id, side, price, lots, sort_id in updates[first:end]:
        if kind == PUT:
            book.put(order_id, side, price, lots, sort_id)
        elif kind == REDUCE:
            book.reduce(order_id, lots)
        else:
            book.delete(order_id)
        total += book.top()
    return 0


def run_python_wire(book: PlainBook, packets: list[bytes], first: int, end: int) -> int:
    """Trusts every length, and that there is one instrument and no gap."""
    packet_header, message_header = struct.Struct("<qqiHH"), struct.Struct("<HHHHq")
    put, change = struct.Struct("<qqqqq"), struct.Struct("<qqq")
    total = 0
    for packet in packets[first:end]:
        position = 24
        for _ in range(packet_header.unpack_from(packet, 0)[4]):
            length, template, _version, _flags, _time = message_header.unpack_from(packet, position)
            block = position + 16
            if template == 20 or template == 21:
                order_id, _instrument, mantissa, price_e9, sort_id = put.unpack_from(packet, block)
                book.put(order_id, template - 20, price_e9 // TICK_E9, mantissa // LOT_MANTISSA, sort_id)
            elif template == 22 or template == 23:
                order_id, _instrument, mantissa = change.unpack_from(packet, block)
                book.reduce(order_id, mantissa // LOT_MANTISSA)
            elif template == 24 or template == 25:
                book.delete(struct.unpack_from("<q", packet, block)[0])
            position += length
        total += book.top()
    return 0


# Streams --------------------------------------------------------------------------------------------------------------


def made() -> Iterator[list[Transaction]]:
    """Packets of a market around a slowly wandering middle."""
    draw = random.Random(1)
    orders: dict[int, list[int]] = {}
    listed: list[int] = []  # ids, for a quick choice; removed ones are swept lazily
    middle, next_id = 120_000, 1

    def choose() -> int | None:
        for _ in range(50):
            if not listed:
                return None
            place = draw.randrange(len(listed))
            if listed[place] in orders:
                return listed[place]
            listed[place] = listed[-1]
            listed.pop()
        return None

    packet: list[Transaction] = []
    size = 1
    for step in range(MADE_TRANSACTIONS):
        middle += draw.choice((-1, 0, 0, 0, 0, 0, 0, 0, 0, 1))
        kind = draw.random()
        chosen = choose()
        if step % 25 == 24 and chosen is not None:
            side, price, lots, _ = orders[chosen]
            took = min(lots, draw.randrange(1, 20))
            orders[chosen][2] = left = lots - took
            if left == 0:
                del orders[chosen]
            update = (REDUCE if left else DELETE, chosen, side, price, left, 0)
            packet.append(((side, chosen, price, took), [update]))
        elif kind < 0.6 or chosen is None:
            side = draw.randrange(2)
            distance = min(2_000, int(draw.expovariate(0.08)) + 1)
            price, lots = middle - distance if side == BID else middle + distance, draw.randrange(1, 500)
            order_id = next_id
            if len(orders) >= RESTING and chosen is not None:
                order_id, side = chosen, orders[chosen][0]
                price = middle - distance if side == BID else middle + distance
            else:
                listed.append(order_id)
            orders[order_id] = [side, price, lots, next_id]
            packet.append((None, [(PUT, order_id, side, price, lots, next_id)]))
            next_id += 1
        else:
            side, price, lots, _ = orders[chosen]
            if kind < 0.9 or lots == 1:
                del orders[chosen]
                packet.append((None, [(DELETE, chosen, side, price, 0, 0)]))
            else:
                orders[chosen][2] = lots // 2
                packet.append((None, [(REDUCE, chosen, side, price, lots // 2, 0)]))
        if len(packet) >= size:
            yield packet
            packet, size = [], draw.randrange(1, 5)
    if packet:
        yield packet


def recorded() -> Iterator[list[Transaction]]:
    """A recording's depth, one order a level; a transaction a message."""
    levels: dict[tuple[int, int], tuple[int, int]] = {}  # -> order id, lots
    next_id = 1
    for sides in recorded_depth(RECORDING):
        updates: list[Update] = []
        for side, changes in zip((BID, ASK), sides, strict=True):
            for price_text, size_text in changes:
                price, lots = round(float(price_text) * 10), round(float(size_text) * 1000)
                known = levels.get((side, price))
                if lots == 0:
                    if known is not None:
                        updates.append((DELETE, known[0], side, price, 0, 0))
                        del levels[side, price]
                    continue
                if known is not None and lots <= known[1]:
                    updates.append((REDUCE, known[0], side, price, lots, 0))
                    levels[side, price] = (known[0], lots)
                    continue
                order_id = next_id if known is None else known[0]
                updates.append((PUT, order_id, side, price, lots, next_id))
                levels[side, price] = (order_id, lots)
                next_id += 1
        if updates:
            yield [(None, updates)]


class Stream:
    """Packets and the same updates decoded, in order."""

    def __init__(self, source: Iterator[list[Transaction]]) -> None:
        self.updates: list[Update] = []
        self.packets: list[bytes] = []
        self.writer = PacketWriter(channel_id=CHANNEL, type=1, sequence=1)
        self.buffer = array(u8, 1500)
        for transactions in source:
            self.open()
            for trade, updates in transactions:
                begin_transaction(self.writer, START_NS)
                if trade is not None:
                    self.add_trade(*trade)
                for update in updates:
                    self.add(update)
                end_transaction(self.writer)
            self.close()
        self.blob = array(u8, sum(map(len, self.packets)))
        self.payloads = Payload.array(len(self.packets))
        offset = 0
        flat = self.blob.numpy()
        for place, packet in enumerate(self.packets):
            flat[offset : offset + len(packet)] = memoryview(packet)
            self.payloads[place].address = self.blob.address + offset
            self.payloads[place].length = len(packet)
            offset += len(packet)
        self.changes = array(Change, len(self.updates))
        self.changes.numpy()[:] = self.updates

    def open(self) -> None:
        begin_packet(self.writer, self.buffer.address, 1500, START_NS)

    def close(self) -> None:
        length = end_packet(self.writer)
        self.packets.append(bytes(self.buffer)[:length])

    def write(self, function: Callable[..., bool], *arguments: int) -> None:
        if not function(self.writer, *arguments):
            self.close()
            self.open()
            function(self.writer, *arguments)

    def add_trade(self, side: int, order_id: int, price: int, lots: int) -> None:
        price_e9, mantissa = price * TICK_E9, lots * LOT_MANTISSA
        self.write(add_trade_summary, 1 - side, VENUE_ID, 1 << 40, mantissa, price_e9, price_e9, price_e9, 1)
        self.write(add_trade, side, order_id, VENUE_ID, order_id, mantissa, price_e9)

    def add(self, update: Update) -> None:
        kind, order_id, side, price, lots, sort_id = update
        self.updates.append(update)
        mantissa = lots * LOT_MANTISSA
        if kind == PUT:
            self.write(add_put, side, order_id, VENUE_ID, mantissa, price * TICK_E9, sort_id)
        elif kind == REDUCE:
            self.write(add_reduce, side, order_id, VENUE_ID, mantissa)
        else:
            self.write(add_delete, side, order_id, VENUE_ID)


# Measuring ------------------------------------------------------------------------------------------------------------


class FeedRig:
    """A feed whose one book is emptied by its own means before each round: a new count, and an empty snapshot."""

    def __init__(self) -> None:
        self.market = Market(count=1, capacity=1)
        self.market.instruments = Instrument.array(1)
        raw = self.market.instruments.numpy().view("u1")
        raw[:] = memoryview(bytes(perpetual())).cast("B")
        self.market.books = make_books(1, LEVEL_CAPACITY)
        self.feed = make_starbase_feed(0, self.market, order_capacity=ORDER_CAPACITY, level_capacity=LEVEL_CAPACITY)
        self.rig = Rig()
        self.rig.packet.time_ns = START_NS
        self.wire, self.snapshots = Sender(), Sender(SNAPSHOT)

    def restart(self) -> None:
        self.wire.time_ns += E9
        self.wire.writer.sequence = 1
        for packet in (self.wire.packet(transaction=False, end=False), self.snapshots.packet(*snapshot(0, {}, 0))):
            held = array(u8, len(packet))
            held.numpy()[:] = memoryview(packet)
            one = Payload.array(1)
            one[0].address, one[0].length = held.address, len(packet)
            run_feed(self.rig, self.feed, self.market, one, 0, 1)
        if self.market.books[0].valid == 0 or self.feed.queues[0].count != 0:
            raise RuntimeError("the book did not start anew")


def levels_of(book: Book) -> dict[tuple[int, int], int]:
    found = {}
    for side, none in ((BID, -(1 << 62)), (ASK, 1 << 62)):
        price = best_level(book, side)
        while price != none:
            found[side, price] = executable_lots(book, side, price)
            price = next_level(book, side, price)
    return found


def measure(stream: Stream, rounds: int) -> dict[str, float]:
    """ns an update, each way."""
    rig = FeedRig()
    queue, own = make_order_queues(1, ORDER_CAPACITY, LEVEL_CAPACITY)[0], make_books(1, LEVEL_CAPACITY)[0]
    packets, updates = len(stream.packets), len(stream.updates)
    times: dict[str, list[list[int]]] = {}
    for number in range(rounds + 1):
        plain, wire = PlainBook(), PlainBook()
        rig.restart()
        clear_queue(queue, own)
        ways: dict[str, tuple[Callable[[int, int], int], int]] = {
            "feed": (lambda a, b: run_feed(rig.rig, rig.feed, rig.market, stream.payloads, a, b), packets),
            "queue": (lambda a, b: run_queue(queue, own, stream.changes, a, b), updates),
            "python": (lambda a, b, book=plain: run_python(book, stream.updates, a, b), updates),
            "python_wire": (lambda a, b, book=wire: run_python_wire(book, stream.packets, a, b), packets),
        }
        for name, (run, count) in ways.items():
            if number <= 1:  # what the first round took is forgotten: it compiles, and touches the memory
                times[name] = [[] for _ in range(0, count, CHUNK)]
            time_chunks(run, count, CHUNK, times[name], time.process_time_ns)
        expected = {(side, price): level[0] for side in (BID, ASK) for price, level in plain.levels[side].items()}
        read = {(side, price): level[0] for side in (BID, ASK) for price, level in wire.levels[side].items()}
        if not expected == read == levels_of(own) == levels_of(rig.market.books[0]):
            raise RuntimeError("the books differ")
    feed = rig.feed
    if sum(feed.rejects) or feed.sequence_gaps or feed.duplicates or rig.market.books[0].valid == 0:
        raise RuntimeError("the feed did not believe its packets")
    return {name: sum(statistics.median(chunk) for chunk in chunks) / updates for name, chunks in times.items()}


def main(rounds: int) -> None:
    compile_calls()  # the encoder's, too, which writes the packets
    figures: dict[str, float] = {}
    totals = {"feed": 0.0, "python_wire": 0.0}
    print(f"{'stream':8} {'updates':>9} {'packets':>8} {'way':12} {'ns/update':>10} {'updates/s':>12}")
    sources: list[tuple[str, Iterator[list[Transaction]]]] = [("made", made())]
    if RECORDING.exists():
        sources.append(("binance", recorded()))
    for name, source in sources:
        stream = Stream(source)
        for way, cost_ns in measure(stream, rounds).items():
            figures[f"{name}_{way}_ns"] = round(cost_ns, 2)
            if way in totals:
                totals[way] += cost_ns * len(stream.updates)
            counts = f"{len(stream.updates):9,} {len(stream.packets):8,}"
            print(f"{name:8} {counts} {way:12} {cost_ns:10.1f} {1e9 / cost_ns:12,.0f}", flush=True)
    ratio = totals["python_wire"] / totals["feed"]
    print(json.dumps({"name": "l3_book", **figures, "ratio": round(ratio, 1)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
