"""Making a simulated Starbase from plain settings; ValueError names what is out of range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crosswire.nic.memory.raw import FNV_BASIS
from crosswire.nic.memory.struct import Array, copy_struct
from crosswire.nic.packet import Flow, reverse_flow
from crosswire.nic.rings.delay import set_delay_ring
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.link import Linker
from crosswire.venues.book.book import make_books
from crosswire.venues.book.order_queue import make_order_queues
from crosswire.venues.market import Market, add_instrument, copy_instruments
from crosswire.venues.starbase.exchange.background import set_background
from crosswire.venues.starbase.exchange.events import exchange_unit
from crosswire.venues.starbase.exchange.matching.state import GROUPS_MAX, HELD_MAX, MEMBERS_MAX, NO_SESSION, set_tables
from crosswire.venues.starbase.exchange.publisher import FEEDS_MAX, set_publisher
from crosswire.venues.starbase.exchange.state import CLIENTS_MAX, GATEWAYS, StarbaseExchange, set_sessions
from crosswire.venues.starbase.wire.order_layout import CLIENT_ID_BYTES, SECRET_BYTES
from crosswire.venues.token_bucket import set_request_bucket

S = 1_000_000_000


@dataclass(frozen=True)
class Key:
    """An API key that may log on, and whose it is: keys of one member share books and limits."""

    client_id: str
    secret: bytes = field(repr=False)
    member: int = 1


@dataclass(frozen=True)
class Protection:
    """Market maker protection of a mass quote group, or of one currency pair's orders (`is_quotes` False)."""

    group_id: int
    member: int = 1
    is_quotes: bool = True
    limit_lots: int = 1_000_000
    window_ns: int = S
    freeze_ns: int = S  # 0: until it is reset


@dataclass(frozen=True)
class Crowd:
    """The background's orders. Prices and quantities in ticks and lots, the same for every instrument."""

    seed: int = 1
    events_per_second: float = 0.0  # 0: there is nobody else
    volatility_ticks: float = 20.0  # deviation of the price over a second, unless it follows `points`
    half_spread_ticks: int = 1
    depth_ticks: int = 10
    lots: int = 10
    points: Array | None = None  # of ReferencePoint, by time; the caller need not keep it


@dataclass(frozen=True)
class Channel:
    """Where market data comes from and goes to. One or two feeds; the retransmission's destination is who asks."""

    incremental: Sequence[Flow]
    snapshot: Sequence[Flow]
    retransmit: Flow
    channel_id: int = 1
    index_id: int = 1
    snapshot_interval_ns: int = S


def make_starbase_exchange(
    venue: int,
    terms: Market,
    flows: Sequence[Flow],
    channel: Channel,
    keys: Sequence[Key],
    first_price_ticks: Mapping[int, int],
    *,
    start_ns: int,
    end_ns: int = NEVER_NS,
    is_connected: bool = True,
    feed_latency_ns: int = 50_000,
    order_latency_ns: int = 50_000,
    response_latency_ns: int = 50_000,
    speed_bump_ns: int | None = None,
    heartbeat_s: int = 5,
    grace_ns: int | None = None,
    tokens_per_ms: int = 100,
    tokens_full: int = 100_000,
    quote_tokens_per_ms: int = 100,
    quote_tokens_full: int = 100_000,
    held_member_max: int = 20,
    price_band_ppm: int = 0,
    qty_max_lots: int = 0,
    sorts_on_accept: bool = False,
    crowd: Crowd | None = None,
    protections: Sequence[Protection] = (),
    order_capacity: int = 8192,
    level_capacity: int = 2048,
    linker: Linker | None = None,
) -> StarbaseExchange:
    """Make an exchange for the instruments of `venue` in `terms`, which it copies; their `venue_id` must be known.

    `flows`: of the order connections, from the client, gateway A's first; with `is_connected` an in-process client's,
    established at `start_ns`. `first_price_ticks`: by market index, of every instrument of the venue. `speed_bump_ns`
    None: each instrument's own. `grace_ns` None: half a heartbeat interval. It can be used once `linker` has loaded;
    without one its unit is loaded here.
    """
    own = [index for index in range(terms.count) if terms.instruments[index].venue == venue]
    _check(own, terms, flows, channel, keys, first_price_ticks, protections)
    for name, value in (("feed", feed_latency_ns), ("order", order_latency_ns), ("response", response_latency_ns)):
        if value < 0:
            raise ValueError(f"a latency can't be negative: {name} latency {value} ns")
    if not 1 <= heartbeat_s <= 3600:
        raise ValueError(f"heartbeat_s must be in 1..3600, not {heartbeat_s}")
    for per_ms, full in ((tokens_per_ms, tokens_full), (quote_tokens_per_ms, quote_tokens_full)):
        if not 1 <= per_ms <= 1_000_000 or not 2000 <= full <= 1_000_000_000:
            raise ValueError(f"tokens: {per_ms} a millisecond, {full} at most: out of range")
    if not 1 <= held_member_max <= HELD_MAX:
        raise ValueError(f"held_member_max must be in 1..{HELD_MAX}, not {held_member_max}")
    if not 0 <= price_band_ppm < 1_000_000:
        raise ValueError(f"price_band_ppm must be in 0..999999, not {price_band_ppm}")
    exchange = StarbaseExchange(venue=venue, now_ns=start_ns, end_ns=end_ns, digest=FNV_BASIS)
    links = linker or Linker()
    links.link_all(exchange, exchange_unit())
    set_delay_ring(exchange.orders, order_latency_ns)
    set_delay_ring(exchange.answers, response_latency_ns)
    set_delay_ring(exchange.feed, feed_latency_ns)
    matching = exchange.matching
    set_tables(matching)
    copy_instruments(matching.market, terms)
    matching.market.books = make_books(terms.capacity, level_capacity)
    matching.queues = make_order_queues(terms.capacity, order_capacity, level_capacity)
    matching.held_member_max = held_member_max
    matching.price_band_ppm = price_band_ppm
    matching.qty_max_lots = qty_max_lots
    matching.sorts_on_accept = int(sorts_on_accept)
    for index in own:
        instrument = matching.market.instruments[index]
        add_instrument(matching.ids, instrument.venue_id, index)
        if speed_bump_ns is not None:
            instrument.speed_bump_ns = speed_bump_ns
    _set_groups(exchange, protections)
    gateways = exchange.gateways
    gateways.heartbeat_s = heartbeat_s
    gateways.heartbeat_ns = heartbeat_s * S
    gateways.grace_ns = gateways.heartbeat_ns // 2 if grace_ns is None else grace_ns
    for bucket in gateways.order_tokens:
        set_request_bucket(bucket, tokens_per_ms, tokens_full)
    for bucket in gateways.quote_tokens:
        set_request_bucket(bucket, quote_tokens_per_ms, quote_tokens_full)
    gateways.client_count = len(keys)
    for number, key in enumerate(keys):
        _store(gateways.clients[number].client_id, key.client_id.encode("ascii"))
        _store(gateways.clients[number].secret, key.secret)
        gateways.clients[number].member = key.member
    for gateway, flow in enumerate(flows):
        gateways.ports[gateway] = flow.destination_port
    set_sessions(gateways)
    publisher = exchange.publisher
    set_publisher(publisher, matching.market, venue, channel.channel_id, channel.snapshot_interval_ns, start_ns)
    publisher.index_id = channel.index_id
    publisher.feeds = len(channel.incremental)
    for feed in range(publisher.feeds):
        _copy_flow(publisher.incremental_flows[feed], channel.incremental[feed])
        _copy_flow(publisher.snapshot_flows[feed], channel.snapshot[feed])
    _copy_flow(publisher.retransmit_flow, channel.retransmit)
    crowd = crowd or Crowd()
    set_background(
        exchange.background,
        {index: first_price_ticks[index] for index in own},
        crowd.seed,
        start_ns,
        end_ns,
        events_per_second=crowd.events_per_second,
        volatility_ticks=crowd.volatility_ticks,
        half_spread_ticks=crowd.half_spread_ticks,
        depth_ticks=crowd.depth_ticks,
        lots=crowd.lots,
        points=crowd.points,
    )
    for index in own:
        matching.mark_ticks[index] = first_price_ticks[index]
    if is_connected:
        _connect(exchange, flows, start_ns)
    if linker is None:
        links.load()
    return exchange


def _check(
    own: Sequence[int],
    terms: Market,
    flows: Sequence[Flow],
    channel: Channel,
    keys: Sequence[Key],
    first_price_ticks: Mapping[int, int],
    protections: Sequence[Protection],
) -> None:
    if not own:
        raise ValueError("a simulated Starbase needs at least one instrument")
    for index in own:
        if terms.instruments[index].venue_id < 0:
            raise ValueError(f"instrument {index}: its id at the venue is not known")
        if first_price_ticks.get(index, 0) <= 0:
            raise ValueError(f"instrument {index}: needs a first price above 0")
    if not 1 <= len(flows) <= GATEWAYS or len({flow.destination_port for flow in flows}) != len(flows):
        raise ValueError(f"{len(flows)} order connections: one or two, to different ports")
    if not 1 <= len(channel.incremental) <= FEEDS_MAX or len(channel.incremental) != len(channel.snapshot):
        raise ValueError(
            f"{len(channel.incremental)} incremental and {len(channel.snapshot)} snapshot feeds: 1 or 2 each"
        )
    if channel.snapshot_interval_ns <= 0:
        raise ValueError(f"snapshot_interval_ns must be positive, not {channel.snapshot_interval_ns}")
    if not 1 <= len(keys) <= CLIENTS_MAX or len({key.client_id for key in keys}) != len(keys):
        raise ValueError(f"{len(keys)} API keys: 1 to {CLIENTS_MAX}, all different")
    for key in keys:
        if not key.client_id.isascii() or not 1 <= len(key.client_id) <= CLIENT_ID_BYTES:
            raise ValueError(f"a client id is 1 to {CLIENT_ID_BYTES} ASCII characters")
        if not 1 <= len(key.secret) <= SECRET_BYTES:
            raise ValueError(f"client {key.client_id}: a secret is 1 to {SECRET_BYTES} bytes")
        if not 1 <= key.member < MEMBERS_MAX:
            raise ValueError(f"client {key.client_id}: member must be in 1..{MEMBERS_MAX - 1}, not {key.member}")
    if len(protections) > GROUPS_MAX:
        raise ValueError(f"{len(protections)} protection groups: at most {GROUPS_MAX}")
    for each in protections:
        if each.limit_lots <= 0 or each.window_ns <= 0 or each.freeze_ns < 0:
            raise ValueError(f"protection group {each.group_id}: limit, window or freeze is out of range")


def _set_groups(exchange: StarbaseExchange, protections: Sequence[Protection]) -> None:
    for number, each in enumerate(protections):
        group = exchange.matching.groups[number]
        group.group_id = each.group_id
        group.member = each.member
        group.is_quotes = int(each.is_quotes)
        group.limit_lots = each.limit_lots
        group.window_ns = each.window_ns
        group.freeze_ns = each.freeze_ns
        group.session = NO_SESSION
    exchange.matching.group_count = len(protections)


def _store(field_bytes: Array, value: bytes) -> None:
    for place, byte in enumerate(value):
        field_bytes[place] = byte


def _copy_flow(to: Flow, source: Flow) -> None:
    copy_struct(to, source)


def _connect(exchange: StarbaseExchange, flows: Sequence[Flow], start_ns: int) -> None:
    """Establish the in-process client's first connections, as if their SYN frames had just come."""
    exchange.stream_count = len(flows)
    for number, flow in enumerate(flows):
        stream = exchange.streams[number]
        _copy_flow(stream.flow, flow)
        stream.number = 1
        stream.begun = 1
        stream.is_up = 1
        served = exchange.gateways.served[number]
        served.is_open = 1
        served.gateway = number
        served.generation = 1
        served.last_received_ns = start_ns
        served.stream.ended = 0
        _copy_flow(served.stream.connection.flow, reverse_flow(flow))
