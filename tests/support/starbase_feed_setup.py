"""A made-up Starbase venue for feed tests: a plain-Python book, its packets, and a receiver against the guard page."""

import random
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import Flow, Packet
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.venues.book.book import Book, make_books
from crosswire.venues.book.order_queue import OrderQueue, first_order
from crosswire.venues.feed import decode
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.feed.feed import make_starbase_feed
from crosswire.venues.starbase.feed.state import Progress, StarbaseFeed
from crosswire.venues.starbase.wire import encoder
from crosswire.venues.starbase.wire.market_layout import InstrumentStatus, MessageHeader, PacketHeader, PacketType
from tests.support.guard import GuardedBytes

PERPETUAL, SPOT = 210_838, 5  # venue ids
CHANNEL = 3
START_NS = 1_700_000_000_000_000_000
INCREMENTAL = int(PacketType.INCREMENTAL)
SNAPSHOT = int(PacketType.SNAPSHOT)
AGAIN = int(PacketType.INCREMENTAL | PacketType.RETRANSMIT)
SIDES = (BID, ASK)
MS = 1_000_000
FLOW = Flow(
    source_mac=0x02_00_00_00_00_01,
    destination_mac=0x02_00_00_00_00_02,
    source_ip=0xC6120001,
    destination_ip=0xC6130001,
    source_port=4000,
    destination_port=4240,
)

Order = tuple[int, int, int, int]  # side, price ticks, lots, sort id
State = dict[int, Order]


def make_instrument(symbol: str, base: str, quote: str, settlement: str, **values: int) -> Instrument:
    instrument = Instrument(venue_id=-1, **values)
    for name, content in (("symbol", symbol), ("base", base), ("quote", quote), ("settlement", settlement)):
        set_text(getattr(instrument, name), content)
    return instrument


def perpetual(**changes: int) -> Instrument:
    terms = {"kind": Kind.PERPETUAL, "payoff": Payoff.INVERSE, "tick_e9": E9 // 2, "lot_e9": 10 * E9}
    return make_instrument("BTC-PERPETUAL", "BTC", "USD", "BTC", **(terms | changes))


def spot(**changes: int) -> Instrument:
    terms = {"kind": Kind.SPOT, "payoff": Payoff.LINEAR, "tick_e9": E9 // 100, "lot_e9": E9 // 10_000}
    return make_instrument("BTC_USDC", "BTC", "USDC", "USDC", **(terms | changes))


@dataclass(frozen=True)
class Terms:
    """How an instrument is told on the wire: its id, the exponent of quantities, the mantissa of one lot."""

    instrument: Instrument
    venue_id: int
    exponent: int
    lot_mantissa: int

    def price_e9(self, ticks: int) -> int:
        return int(ticks * self.instrument.tick_e9)


TERMS = (Terms(perpetual(), PERPETUAL, 0, 10), Terms(spot(), SPOT, -4, 1))


class Receiver:
    """A feed with its market; each packet lies against the guard page."""

    def __init__(self, instruments: Iterable[Instrument] | None = None, **options: Any) -> None:
        listed = [perpetual(), spot()] if instruments is None else list(instruments)
        self.market = Market(count=len(listed), capacity=max(4, len(listed)))
        self.market.instruments = Instrument.array(self.market.capacity)
        for index, instrument in enumerate(listed):
            self.market.instruments[index].memory  # noqa: B018
            target = self.market.instruments.numpy()[index : index + 1]
            target.view(u8_dtype)[:] = memoryview(bytes(instrument)).cast("B")
            self.market.instruments[index].index = index
        self.market.books = make_books(self.market.capacity, 512)
        self.feed = make_starbase_feed(0, self.market, order_capacity=1024, level_capacity=512, **options)
        self.events = Events()
        self.packet = Packet()
        self.guard = GuardedBytes(4096)
        self.time_ns = START_NS

    def receive(self, payload: bytes, step_ns: int = 1_000) -> list[tuple[int, int]]:
        """Kinds and instruments of the events of one packet."""
        self.time_ns += step_ns
        self.packet.payload_address = self.guard.place(payload)
        self.packet.payload_length = len(payload)
        self.packet.time_ns = self.time_ns
        clear_events(self.events, self.market)
        decode(self.feed, self.packet, self.market, self.events)
        assert self.events.dropped == 0
        return [(event.kind, event.instrument) for event in list(self.events.items)[: self.events.count]]

    def kinds(self, payload: bytes, step_ns: int = 1_000) -> list[int]:
        return [kind for kind, _ in self.receive(payload, step_ns)]

    def book(self, index: int = 0) -> Book:
        book: Book = self.market.books[index]
        return book

    def queue(self, index: int = 0) -> OrderQueue:
        queue: OrderQueue = self.feed.queues[index]
        return queue

    def state(self, index: int = 0) -> dict[tuple[int, int], list[tuple[int, int]]]:
        return queue_state(self.queue(index))


u8_dtype = "u1"


def queue_state(queue: OrderQueue) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(side, price) -> [(order id, lots)] in time order."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    used = [queue.orders[slot] for slot in range(queue.orders_fresh)]
    prices = {(order.side, order.price_ticks) for order in used}
    for side, price in prices:
        slot = first_order(queue, side, price)
        rows = []
        while slot >= 0:
            order = queue.orders[slot]
            rows.append((order.order_id, order.qty_lots))
            slot = order.next
        if rows:
            found[side, price] = rows
    return found


def state_levels(state: State) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """The same of a model's orders."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for order_id, (side, price, lots, sort_id) in state.items():
        found.setdefault((side, price), []).append((sort_id, order_id, lots))
    return {key: [(order_id, lots) for _, order_id, lots in sorted(rows)] for key, rows in found.items()}


class Sender:
    """One line's sequence of packets."""

    def __init__(self, kind: int = INCREMENTAL, channel_id: int = CHANNEL, sequence: int = 1) -> None:
        self.writer = encoder.PacketWriter(channel_id=channel_id, type=kind, sequence=sequence)
        self.buffer = array(u8, 1600)
        self.time_ns = START_NS

    def packet(self, *messages: tuple[Any, ...], transaction: bool = True, end: bool = True) -> bytes:
        """One packet. Each message is a function of the encoder and its arguments after the writer."""
        self.time_ns += 1_000
        encoder.begin_packet(self.writer, self.buffer.address, len(self.buffer), self.time_ns)
        if transaction:
            encoder.begin_transaction(self.writer, self.time_ns)
        for function, *arguments in messages:
            assert function(self.writer, *arguments)
        if end:
            encoder.end_transaction(self.writer)
        length = encoder.end_packet(self.writer)
        return bytes(self.buffer)[:length]

    def write(self, transactions: list[list[tuple[Any, ...]]], split: Callable[[], bool]) -> list[bytes]:
        """As many packets as `split` and the room ask for."""
        packets: list[bytes] = []

        def open_packet() -> None:
            self.time_ns += 1_000
            encoder.begin_packet(self.writer, self.buffer.address, len(self.buffer), self.time_ns)

        def close_packet() -> None:
            length = encoder.end_packet(self.writer)
            packets.append(bytes(self.buffer)[:length])

        open_packet()
        for messages in transactions:
            encoder.begin_transaction(self.writer, self.time_ns)
            for position, (function, *arguments) in enumerate(messages):
                if self.writer.count and (position or split()) and (split() or self.writer.count >= 20):
                    close_packet()
                    open_packet()
                if not function(self.writer, *arguments):
                    close_packet()
                    open_packet()
                    assert function(self.writer, *arguments)
            encoder.end_transaction(self.writer)
        close_packet()
        return packets


def definition(index: int, status: int = InstrumentStatus.OPEN) -> tuple[Any, ...]:
    terms = TERMS[index]
    return (
        encoder.add_definition,
        terms.instrument,
        terms.venue_id,
        1,
        terms.exponent,
        terms.lot_mantissa,
        status,
    )


def put(index: int, side: int, order_id: int, ticks: int, lots: int, sort_id: int | None = None) -> tuple[Any, ...]:
    terms = TERMS[index]
    sort_id = order_id if sort_id is None else sort_id
    return (encoder.add_put, side, order_id, terms.venue_id, lots * terms.lot_mantissa, terms.price_e9(ticks), sort_id)


def reduce(index: int, side: int, order_id: int, lots: int) -> tuple[Any, ...]:
    return (encoder.add_reduce, side, order_id, TERMS[index].venue_id, lots * TERMS[index].lot_mantissa)


def delete(index: int, side: int, order_id: int) -> tuple[Any, ...]:
    return (encoder.add_delete, side, order_id, TERMS[index].venue_id)


def summary(index: int, taker_side: int, lots: int, ticks: int) -> tuple[Any, ...]:
    terms = TERMS[index]
    price = terms.price_e9(ticks)
    return (
        encoder.add_trade_summary,
        taker_side,
        terms.venue_id,
        99,
        lots * terms.lot_mantissa,
        price,
        price,
        price,
        1,
    )


def trade(index: int, maker_side: int, order_id: int, lots: int, ticks: int) -> tuple[Any, ...]:
    terms = TERMS[index]
    return (
        encoder.add_trade,
        maker_side,
        7,
        terms.venue_id,
        order_id,
        lots * terms.lot_mantissa,
        terms.price_e9(ticks),
    )


def snapshot(index: int, state: State, sequence: int) -> list[tuple[Any, ...]]:
    """The messages of one instrument's snapshot."""
    venue_id = TERMS[index].venue_id
    return [
        definition(index),
        (encoder.add_snapshot_header, venue_id, START_NS, sequence),
        *[put(index, side, order_id, price, lots, sort_id) for order_id, (side, price, lots, sort_id) in state.items()],
        (encoder.add_info, venue_id, 1, 2, 3),
        (encoder.add_snapshot_trailer, venue_id, START_NS, sequence),
    ]


class Session:
    """A receiver whose perpetual's book is proven: bid 100 of 5 lots (order 1), ask 110 of 7 lots (order 2)."""

    def __init__(self, **options: Any) -> None:
        self.receiver = Receiver([perpetual()], **options)
        self.wire = Sender()
        self.snapshots = Sender(SNAPSHOT)
        self.receive(self.wire.packet(transaction=False, end=False))
        state = {1: (BID, 100, 5, 1), 2: (ASK, 110, 7, 2)}
        self.receive(self.snapshots.packet(*snapshot(0, state, 0)))
        assert self.book.valid

    @property
    def feed(self):
        return self.receiver.feed

    @property
    def book(self):
        return self.receiver.book()

    def receive(self, payload: bytes, step_ns: int = 1_000) -> list[int]:
        return self.receiver.kinds(payload, step_ns)

    def top(self) -> tuple[int, int, int, int]:
        book = self.book
        return (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)


def with_ring() -> DelayRing:
    ring = DelayRing()
    set_delay_ring(ring, 0)
    return ring


def reply(packets: list[bytes], sequence: int, count: int) -> bytes:
    """Messages sent again, one packet."""
    writer = encoder.PacketWriter(channel_id=CHANNEL, type=AGAIN, sequence=sequence)
    buffer = array(u8, 1500)
    encoder.begin_packet(writer, buffer.address, 1500, START_NS + 1)
    for packet in packets:
        header = PacketHeader.at(buffer.address)
        first, total = struct.unpack_from("<q", packet, 8)[0], struct.unpack_from("<H", packet, 22)[0]
        held = array(u8, len(packet))
        held.numpy()[:] = memoryview(packet)
        position = held.address + 24
        for number in range(first, first + total):
            if sequence <= number < sequence + count:
                assert encoder.add_copy(writer, position)
            position += MessageHeader.at(position).length
        assert header.sequence == sequence
    length = encoder.end_packet(writer)
    return bytes(buffer)[:length]


def refusal(correlation: int, reason: int, delay_ns: int = 0) -> bytes:
    buffer = array(u8, 200)
    length = encoder.fill_retransmit_reject(buffer.address, 200, START_NS, CHANNEL, correlation, reason, delay_ns)
    return bytes(buffer)[:length]


@dataclass
class Venue:
    """Random orders and trades in two instruments, with the state after every message."""

    seed: int
    incremental: Sender = field(default_factory=Sender)
    snapshots: Sender = field(default_factory=lambda: Sender(SNAPSHOT, sequence=1000))

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.books: list[State] = [{}, {}]
        self.next_id = 1
        self.number = self.incremental.writer.sequence  # of the next message
        # By instrument: message numbers, and the state from that message on.
        self.history: list[tuple[list[int], list[State]]] = [([-1], [{}]), ([-1], [{}])]

    def note(self, index: int) -> None:
        numbers, states = self.history[index]
        numbers.append(self.number)
        states.append(dict(self.books[index]))

    def state_after(self, index: int, number: int) -> State:
        numbers, states = self.history[index]
        return states[bisect_right(numbers, number) - 1]

    def transaction(self) -> list[tuple[Any, ...]]:
        """A new, changed, reduced or deleted order, or a trade of several messages."""
        index = self.draw.randrange(2)
        state = self.books[index]
        messages: list[tuple[Any, ...]] = []

        def say(message: tuple[Any, ...]) -> None:
            messages.append(message)
            self.note(index)
            self.number += 1

        kind = self.draw.random()
        if not state or (kind < 0.5 and len(state) < 60):
            side = self.draw.choice(SIDES)
            price = 1000 + self.draw.randrange(1, 12) * (1 if side == ASK else -1)
            order_id, lots = self.next_id, self.draw.randrange(1, 50)
            self.next_id += self.draw.randrange(1, 4)
            state[order_id] = (side, price, lots, order_id)
            say(put(index, side, order_id, price, lots))
            return messages
        order_id = self.draw.choice(list(state))
        side, price, lots, sort_id = state[order_id]
        if kind < 0.6:
            price, lots = price + self.draw.randrange(-1, 2), lots + self.draw.randrange(5)
            sort_id = self.draw.choice((sort_id, self.next_id))
            self.next_id += 1
            state[order_id] = (side, price, lots, sort_id)
            say(put(index, side, order_id, price, lots, sort_id))
        elif kind < 0.7 and lots > 1:
            state[order_id] = (side, price, lots - 1, sort_id)
            say(reduce(index, side, order_id, lots - 1))
        elif kind < 0.85:
            del state[order_id]
            say(delete(index, side, order_id))
        else:
            makers = [order_id] + [each for each in list(state)[:2] if state[each][0] == side and each != order_id]
            say(summary(index, 1 - side, 1, price))
            for maker in makers:
                say(trade(index, side, maker, 1, state[maker][1]))
            for maker in makers:
                _, price, lots, sort_id = state[maker]
                if lots > 1:
                    state[maker] = (side, price, lots - 1, sort_id)
                    say(reduce(index, side, maker, lots - 1))
                else:
                    del state[maker]
                    say(delete(index, side, maker))
        return messages

    def trade_on(self, transactions: int) -> list[bytes]:
        made = [self.transaction() for _ in range(transactions)]
        packets = self.incremental.write(made, lambda: self.draw.random() < 0.4)
        assert self.incremental.writer.sequence == self.number
        return packets

    def cycle(self) -> list[bytes]:
        """The packets of one snapshot cycle of what is now."""
        rows = [snapshot(index, self.books[index], self.number - 1) for index in range(2)]
        return self.snapshots.write([*rows, [(encoder.add_end_of_cycle, 2)]], lambda: self.draw.random() < 0.2)

    def heartbeat(self) -> bytes:
        self.incremental.time_ns += 5_000_000
        return self.incremental.packet(transaction=False, end=False)

    def check(self, receiver: Receiver) -> list[bool]:
        """Every proven book equals the venue's after the last message read; which are valid."""
        feed: StarbaseFeed = receiver.feed
        valid = []
        for index in range(2):
            proof = feed.proofs[index]
            book = receiver.book(index)
            valid.append(book.valid != 0)
            if proof.progress != Progress.PROVEN:
                assert not book.valid
                continue
            after = max(feed.channels[proof.channel - 1].next - 1, proof.applied)
            expected = self.state_after(index, after)
            assert receiver.state(index) == state_levels(expected), (index, after)
            if book.valid:
                bids = [order[1] for order in expected.values() if order[0] == BID]
                asks = [order[1] for order in expected.values() if order[0] == ASK]
                assert book.bid_levels == len(set(bids))
                assert book.ask_levels == len(set(asks))
                if bids:
                    best = max(bids)
                    assert book.bid_ticks == best
                    assert book.bid_lots == sum(o[2] for o in expected.values() if o[0] == BID and o[1] == best)
                if asks:
                    assert book.ask_ticks == min(asks)
        return valid
