"""A simulated exchange, made from a configuration."""

from typing import Any

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Array
from crosswire.nic.packet import Flow
from crosswire.venues.adapter import ExchangeSetup
from crosswire.venues.exchange.latencies import set_model, set_wires
from crosswire.venues.exchange.settings import EXACT, EXAMPLE, Measured
from crosswire.venues.instrument import E9, text_of
from crosswire.venues.market import Market, copy_instruments
from crosswire.venues.starbase.exchange import exchange  # noqa: F401  registers it as a ring
from crosswire.venues.starbase.exchange.background import ReferencePoint
from crosswire.venues.starbase.exchange.setup import Channel, Crowd, Key, Protection, make_starbase_exchange
from crosswire.venues.starbase.exchange.state import StarbaseExchange
from crosswire.venues.starbase.settings import MarketSettings, credentials_of

FIRST_INSTRUMENT_ID = 1_000
EXCHANGE_IP = 0xC6_13_01_01  # 198.19.1.1, from what RFC 2544 sets aside for benchmarks
LINE_A, LINE_B = 0xE0_00_0C_C0, 0xE0_00_0C_D0  # 224.0.12.192 and .208, the first product's snapshots
INCREMENTAL_PORT, SNAPSHOT_PORT, RETRANSMIT_PORT = 4220, 4230, 4240


def make_exchange(setup: ExchangeSetup) -> StarbaseExchange:
    """Make a simulated exchange. ValueError, VenueError: one line that begins with the key that is wrong."""
    market: MarketSettings | None = setup.settings.market
    if market is None:
        raise ValueError("starbase.market is missing: who else trades at the simulated exchange")
    path = setup.follow("starbase.market.follow", market.follow) if market.follow else None
    start_ns = round(market.begin.timestamp()) * NS_PER_S if path is None else int(path[0, 0])
    key = credentials_of(setup.settings, setup.folder)
    if isinstance(setup.simulation.feed_latency, Measured):
        raise ValueError(
            "simulation: feed_latency: the exchange makes its market data itself, so nothing can be measured: write "
            f"another model, as feed_latency = {EXAMPLE}"
        )
    if setup.simulation.queue is not None and setup.simulation.queue.model != EXACT:
        raise ValueError(f'simulation: queue: the exchange matches order by order: leave it out, or write "{EXACT}"')
    prices = first_prices(setup, market, path)
    try:
        exchange = make_starbase_exchange(
            setup.number,
            exchange_terms(setup),
            setup.flows,
            market_channel(setup.number, market),
            [Key(key.client_id, key.secret)],
            prices,
            start_ns=start_ns,
            end_ns=start_ns + round(market.seconds * NS_PER_S),
            is_connected=setup.is_connected,
            feed_latency_ns=0,
            order_latency_ns=0,
            response_latency_ns=0,
            heartbeat_s=market.heartbeat_s,
            tokens_per_ms=setup.settings.tokens_per_ms,
            tokens_full=setup.settings.token_burst,
            quote_tokens_per_ms=setup.settings.quote_tokens_per_ms,
            quote_tokens_full=setup.settings.quote_token_burst,
            crowd=make_crowd(setup, market, path),
            sorts_on_accept=market.sorts_orders_at == "accept",
            protections=make_protections(setup, market),
            linker=setup.linker,
        )
        feed = exchange.feed
        feed.latency_ns = set_model(feed.latency, "feed", setup.simulation.feed_latency, setup.name, setup.folder)
        set_wires(exchange, setup)
    except ValueError as error:
        raise ValueError(f"starbase.market, simulation: {error}") from None
    return exchange


def own_instruments(setup: ExchangeSetup) -> list[int]:
    """List the market indices of the venue's instruments, in the order configured."""
    return [index for index in range(setup.market.count) if setup.market.instruments[index].venue == setup.number]


def exchange_terms(setup: ExchangeSetup) -> Market:
    """Copy the run's instruments and give those of this venue ids, as the venue gives them out."""
    terms = Market()
    copy_instruments(terms, setup.market)
    for place, index in enumerate(own_instruments(setup)):
        terms.instruments[index].venue_id = FIRST_INSTRUMENT_ID + place
    return terms


def first_prices(setup: ExchangeSetup, market: MarketSettings, path: Any) -> dict[int, int]:
    """Find each instrument's first price in ticks: the followed one, or the configured one."""
    prices = {}
    for index in own_instruments(setup):
        instrument = setup.market.instruments[index]
        if path is not None:
            prices[index] = int(path[0, 1]) // instrument.tick_e9
            continue
        symbol = text_of(instrument.symbol)
        if symbol not in market.first_price:
            raise ValueError(f"starbase.market.first_price: {symbol} is missing")
        prices[index] = int(market.first_price[symbol] * E9 / instrument.tick_e9)
    return prices


def make_protections(setup: ExchangeSetup, market: MarketSettings) -> list[Protection]:
    """Describe the protection of the group that the session quotes in, and of its orders in each currency pair."""
    groups = [(setup.settings.mmp_group_id, True)]
    if setup.settings.mmp_risk_bypass:
        pairs = {int(setup.market.instruments[index].underlying) for index in own_instruments(setup)}
        groups += [(pair, False) for pair in sorted(pairs)]
    return [
        Protection(
            group_id=group_id,
            is_quotes=is_quotes,
            limit_lots=market.mmp_limit_lots,
            window_ns=market.mmp_window_ms * NS_PER_MS,
            freeze_ns=market.mmp_freeze_ms * NS_PER_MS,
        )
        for group_id, is_quotes in groups
    ]


def make_crowd(setup: ExchangeSetup, market: MarketSettings, path: Any) -> Crowd:
    """Describe everybody else's orders."""
    return Crowd(
        seed=market.seed,
        events_per_second=market.events_per_second,
        volatility_ticks=market.volatility_ticks,
        half_spread_ticks=market.half_spread_ticks,
        depth_ticks=market.depth_ticks,
        lots=market.lots,
        points=None if path is None else reference_points(setup, market, path),
    )


def reference_points(setup: ExchangeSetup, market: MarketSettings, path: Any) -> Array:
    """Convert the followed prices into ticks of each of the venue's instruments, `follow_delay_ms` later."""
    own = own_instruments(setup)
    points = ReferencePoint.array(len(path) * len(own))
    rows = points.numpy().reshape(len(path), len(own))
    for place, index in enumerate(own):
        rows["time_ns"][:, place] = path[:, 0] + market.follow_delay_ms * NS_PER_MS
        rows["instrument"][:, place] = index
        rows["price_ticks"][:, place] = path[:, 1] // setup.market.instruments[index].tick_e9
    return points


def market_channel(number: int, market: MarketSettings) -> Channel:
    """Lay out groups and ports as the venue has them: snapshots on the group before the incremental ones."""

    def flow(group: int, port: int) -> Flow:
        # 224.0.12/24 is the venue's; a multicast frame's MAC ends in the low 23 bits of its group (RFC 1112 6.4).
        return Flow(
            source_mac=0x02_00_00_00_02_00 + number,
            destination_mac=0x01_00_5E_00_00_00 | group & 0x7F_FFFF,
            source_ip=EXCHANGE_IP + number,
            destination_ip=group,
            source_port=port,
            destination_port=port,
        )

    groups = [LINE_A + 2 * number, LINE_B + 2 * number][: 2 if market.two_lines else 1]
    return Channel(
        incremental=[flow(group + 1, INCREMENTAL_PORT) for group in groups],
        snapshot=[flow(group, SNAPSHOT_PORT) for group in groups],
        retransmit=flow(EXCHANGE_IP + number, RETRANSMIT_PORT),
        snapshot_interval_ns=market.snapshot_interval_ms * NS_PER_MS,
    )
