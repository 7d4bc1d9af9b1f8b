"""The made-up linear venue as its packets on the `bridge` feed: definition, snapshots, quotes, deltas, trades."""

from dataclasses import dataclass
from typing import Annotated

from crosswire.nic.memory.struct import Array, i64
from crosswire.nic.packet import Flow
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.encoder import (
    RECORD_BYTES_MAX,
    FeedWriter,
    set_writer,
    write_definition,
    write_delta,
    write_heartbeat,
    write_quote,
    write_snapshot,
    write_trade,
)
from crosswire.venues.bridge.wire.layout import BestBidAsk, BookDelta, InstrumentDefinition, Level, Snapshot, Trade
from crosswire.venues.generate.market import (
    FOLLOWS_OTHER,
    FOLLOWS_PRICE,
    FOLLOWS_QUOTIENT,
    MadeVenue,
    Random,
    is_lost,
    size_at,
)
from crosswire.venues.generate.publisher import Publisher, has_room, open_publisher, publish
from crosswire.venues.instrument import Kind, Payoff, set_text
from crosswire.venues.side import ASK, BID

CONTRACT_E9 = 1_000_000_000  # 1 base coin
FLOW = Flow(
    source_mac=0x02_00_00_00_02_01,
    destination_mac=0x01_00_5E_01_01_01,  # RFC 1112: the group's low 23 bits
    source_ip=0x0A_00_02_01,  # 10.0.2.1
    destination_ip=0xEF_01_01_01,  # 239.1.1.1
    source_port=6200,
    destination_port=6200,
)
FIRST_UPDATE_ID = 5_000_000_000
FIRST_TRADE_ID = 900_000_000
SNAPSHOT_INTERVAL_NS = 10_000_000_000  # when nothing was lost
RECOVERY_NS = 300_000_000  # from a gap to the snapshot that mends it: a REST call that far away
HEARTBEAT_INTERVAL_NS = 1_000_000_000
SIDE_LEVELS_MAX = 64  # above every ladder's `depth_max`
EVENT_PACKETS_MAX = 16  # six trades, a quote, a delta, a snapshot in three parts, a definition, a heartbeat


@dataclass(frozen=True, kw_only=True)
class Terms:
    """One made-up instrument: how its definition has it, and how its book is in the made-up market."""

    number: int  # of the instrument, and of its channel
    symbol: str
    kind: Kind
    base: str
    quote: str
    tick_e9: int
    lot_e9: int
    taker_fee_e9: int
    tick_e6: int  # in the market
    step_ticks: int
    typical_lots: int
    half_spread_e6: int = 150_000
    follows: int = FOLLOWS_PRICE


PERPETUAL = Terms(
    number=1,
    symbol="BTCUSDT",
    kind=Kind.PERPETUAL,
    base="BTC",
    quote="USDT",
    tick_e9=100_000_000,  # 0.1 USDT
    lot_e9=1_000_000,  # 0.001 BTC
    taker_fee_e9=170_000,  # 1.7 bps: the taker's rate of Binance's highest tier (USD-M futures, VIP 9)
    tick_e6=100_000,
    step_ticks=12,
    typical_lots=800,
)
# Three spot books that are consistent but for what pushes one of them off. The market counts ETH in twentieths of a
# USDT and ETH in BTC in 5 / 6 of a millionth of a BTC, so that each begins at 60,000: 3,000 USDT and 0.05 BTC.
TRIANGLE = (
    Terms(
        number=1,
        symbol="BTCUSDT",
        kind=Kind.SPOT,
        base="BTC",
        quote="USDT",
        tick_e9=100_000_000,  # 0.1 USDT
        lot_e9=10_000,  # 0.00001 BTC
        taker_fee_e9=100_000,
        tick_e6=100_000,
        step_ticks=12,
        typical_lots=80_000,
    ),
    Terms(
        number=2,
        symbol="ETHUSDT",
        kind=Kind.SPOT,
        base="ETH",
        quote="USDT",
        tick_e9=10_000_000,  # 0.01 USDT
        lot_e9=100_000,  # 0.0001 ETH
        taker_fee_e9=100_000,
        tick_e6=200_000,
        step_ticks=6,
        typical_lots=160_000,
        follows=FOLLOWS_OTHER,
    ),
    Terms(
        number=3,
        symbol="ETHBTC",
        kind=Kind.SPOT,
        base="ETH",
        quote="BTC",
        tick_e9=1_000,  # 0.000001 BTC
        lot_e9=1_000_000,  # 0.001 ETH
        taker_fee_e9=100_000,
        tick_e6=1_200_000,
        step_ticks=2,
        typical_lots=8_000,
        half_spread_e6=600_000,
        follows=FOLLOWS_QUOTIENT,
    ),
)


class BridgePublisher(Publisher):
    """Message bodies that are filled in and sent, the venue's ids, and what is due when."""

    writer: FeedWriter
    definition: InstrumentDefinition
    delta: BookDelta
    quote: BestBidAsk
    trade: Trade
    snapshot: Snapshot
    bids: Annotated[Array, Level, SIDE_LEVELS_MAX]
    asks: Annotated[Array, Level, SIDE_LEVELS_MAX]
    snapshot_due_ns: i64
    heartbeat_due_ns: i64


def behave(terms: Terms, venue: MadeVenue) -> None:
    """Have the made-up venue trade as a web venue far away does: deep, and late."""
    venue.follows = terms.follows
    venue.tick_e6 = terms.tick_e6
    venue.step_ticks = terms.step_ticks
    venue.typical_lots = terms.typical_lots
    venue.half_spread_e6 = terms.half_spread_e6
    venue.response = 5
    venue.jump_delay_ns = 600_000
    venue.latency_ns = 900_000
    venue.jitter_ns = 300_000


def make_publisher(terms: Terms, start_ns: int, capacity_bytes: int) -> BridgePublisher:
    """Make a publisher that is about to send its first snapshot."""
    publisher = BridgePublisher(snapshot_due_ns=start_ns, heartbeat_due_ns=start_ns + HEARTBEAT_INTERVAL_NS)
    definition = publisher.definition
    definition.instrument_id = terms.number
    definition.kind = terms.kind
    definition.payoff = Payoff.LINEAR
    definition.tick_e9 = terms.tick_e9
    definition.lot_e9 = terms.lot_e9
    definition.contract_e9 = CONTRACT_E9
    definition.maker_fee_e9 = 0
    definition.taker_fee_e9 = terms.taker_fee_e9
    names = (
        (definition.symbol, terms.symbol),
        (definition.base, terms.base),
        (definition.quote, terms.quote),
        (definition.settlement, terms.quote),
    )
    for field, text in names:
        set_text(field, text)
    for message in (publisher.delta, publisher.quote, publisher.trade, publisher.snapshot):
        message.instrument_id = terms.number
    publisher.delta.last_id = FIRST_UPDATE_ID
    publisher.trade.trade_id = FIRST_TRADE_ID
    set_writer(publisher.writer, FLOW, terms.number, capacity_bytes)
    return publisher


@has_room.register(BridgePublisher)
def bridge_has_room(publisher: BridgePublisher) -> bool:
    writer = publisher.writer
    return writer.capacity - writer.used >= EVENT_PACKETS_MAX * RECORD_BYTES_MAX


@open_publisher.register(BridgePublisher)
def open_bridge(publisher: BridgePublisher, venue: MadeVenue) -> None:
    writer = publisher.writer
    writer.time_ns = venue.receive_ns
    _send_snapshot(publisher, writer, venue)


@publish.register(BridgePublisher)
def publish_bridge(publisher: BridgePublisher, random: Random, venue: MadeVenue) -> None:
    writer = publisher.writer
    writer.time_ns = venue.receive_ns
    used = writer.used
    sequence = writer.sequence
    _send_event(publisher, writer, venue)
    losses = publisher.losses
    if is_lost(random, losses, venue):
        # The packet numbers are used up, the bytes are not there.
        losses.packets += writer.sequence - sequence
        writer.used = used
        publisher.snapshot_due_ns = min(publisher.snapshot_due_ns, venue.time_ns + RECOVERY_NS)
    if venue.time_ns >= publisher.heartbeat_due_ns:
        publisher.heartbeat_due_ns += HEARTBEAT_INTERVAL_NS
        write_heartbeat(writer, HEARTBEAT_INTERVAL_NS)
        publisher.messages += 1
    if venue.time_ns >= publisher.snapshot_due_ns and losses.events_left == 0:
        _send_snapshot(publisher, writer, venue)


@compiled
def _send_event(publisher: BridgePublisher, writer: FeedWriter, venue: MadeVenue) -> None:
    """Send an event as the web feeds do: trades, the new best prices, and then the levels that changed."""
    trade = publisher.trade
    for index in range(venue.fill_count):
        trade.trade_id += 1
        trade.exchange_time_ns = venue.time_ns
        trade.price_ticks = venue.fills[index].price_ticks
        trade.qty_lots = venue.fills[index].qty_lots
        trade.aggressor_side = venue.aggressor
        write_trade(writer, trade)
        publisher.messages += 1
    if venue.change_count == 0:
        return
    delta = publisher.delta
    delta.previous_id = delta.last_id
    delta.first_id = delta.last_id + 1
    delta.last_id += venue.change_count
    delta.exchange_time_ns = venue.time_ns
    if venue.top_changed != 0:
        _send_quote(publisher, writer, venue)
    bid_count = 0
    ask_count = 0
    for index in range(venue.change_count):
        change = venue.changes[index]
        if change.side == BID:
            bid_count = _add_level(publisher.bids, bid_count, change.price_ticks, change.after_lots)
        else:
            ask_count = _add_level(publisher.asks, ask_count, change.price_ticks, change.after_lots)
    write_delta(writer, delta, publisher.bids, bid_count, publisher.asks, ask_count)
    publisher.messages += 1


@compiled
def _add_level(levels: Array, count: int, price_ticks: int, qty_lots: int) -> int:
    """Append a level and return how many there are."""
    level = levels[count]
    level.price_ticks = price_ticks
    level.qty_lots = qty_lots
    return count + 1


@compiled
def _collect_side(levels: Array, venue: MadeVenue, side: int) -> int:
    """Fill `levels` with one side of the book, best first, and return how many there are."""
    count = 0
    price_ticks = venue.sides[side].best_ticks
    while count < venue.sides[side].levels:
        qty_lots = size_at(venue, price_ticks)
        if qty_lots != 0:
            count = _add_level(levels, count, price_ticks, qty_lots)
        price_ticks += 2 * side - 1
    return count


@compiled
def _send_quote(publisher: BridgePublisher, writer: FeedWriter, venue: MadeVenue) -> None:
    quote = publisher.quote
    bid_ticks = venue.sides[BID].best_ticks
    ask_ticks = venue.sides[ASK].best_ticks
    quote.exchange_time_ns = venue.time_ns
    quote.update_id = publisher.delta.last_id
    quote.bid_price_ticks = bid_ticks
    quote.bid_qty_lots = size_at(venue, bid_ticks)
    quote.ask_price_ticks = ask_ticks
    quote.ask_qty_lots = size_at(venue, ask_ticks)
    write_quote(writer, quote)
    publisher.messages += 1


@compiled
def _send_snapshot(publisher: BridgePublisher, writer: FeedWriter, venue: MadeVenue) -> None:
    """Send the definition and the whole book as the last event left it."""
    publisher.snapshot_due_ns = venue.time_ns + SNAPSHOT_INTERVAL_NS
    snapshot = publisher.snapshot
    snapshot.exchange_time_ns = venue.time_ns
    snapshot.last_id = publisher.delta.last_id
    bid_count = _collect_side(publisher.bids, venue, BID)
    ask_count = _collect_side(publisher.asks, venue, ASK)
    write_definition(writer, publisher.definition)
    write_snapshot(writer, snapshot, publisher.bids, bid_count, publisher.asks, ask_count)
    publisher.messages += 2
