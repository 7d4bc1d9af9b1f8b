"""A made-up market as a source of the venue's messages: `venues.generate` decides what happens, this writes it down."""

from collections.abc import Iterator

from crosswire.nic.duration import NS_PER_MS, NS_PER_US
from crosswire.nic.unit.call import machine_code
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.messages import Message
from crosswire.venues.bridge.binance.exchange.player import Source, Timed
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import to_e9
from crosswire.venues.generate.market import (
    VENUES,
    MadeMarket,
    MadeVenue,
    next_event,
    open_market,
    seed_random,
    size_at,
)
from crosswire.venues.side import BID, BUY, SELL

START_NS = 1_767_225_600_000_000_000  # 2026-01-01, by the made-up host's clock
FOREVER_NS = 1 << 62
FIRST_UPDATE_ID = 5_000_000_000
FIRST_TRADE_ID = 900_000_000
DEPTH_MIN, DEPTH_MAX = 12, 40
TYPICAL_E9 = 50_000 * 10**9  # value of a typical level, in the quote currency
OPEN = machine_code(open_market)
NEXT = machine_code(next_event)


def made_up(listed: Listed) -> Source:
    """Make the source of an instrument without a recording."""
    return lambda: _events(listed)


def _make_market(listed: Listed) -> MadeMarket:
    """Make a market of which only the first venue is played."""
    config = listed.config
    price_e6 = to_e9(config.start_price, "start_price") // 1_000
    market = MadeMarket(count=VENUES, price_e6=price_e6, step_ns=START_NS, end_ns=FOREVER_NS)
    seed_random(market.random, config.seed)
    for venue in market.venues:
        venue.tick_e6 = max(1, listed.tick_e9 // 1_000)
        venue.step_ticks = 12
        lot_value_e9 = listed.lot_e9 * price_e6 // 10**6 if listed.market != Market.COINM else listed.lot_e9
        venue.typical_lots = max(2, TYPICAL_E9 // max(1, lot_value_e9))
        venue.half_spread_e6 = max(venue.tick_e6, price_e6 // 400_000)
        venue.response = 5
        venue.depth_min, venue.depth_max = DEPTH_MIN, DEPTH_MAX
        venue.event_gap_ns = config.event_gap_us * NS_PER_US
        venue.fair_e6 = price_e6
        venue.shock_decay_steps = 1
        venue.latency_ns = venue.jitter_ns = 1
        venue.time_ns = venue.receive_ns = venue.next_ns = START_NS
    OPEN(market)
    market.venues[1].next_ns = FOREVER_NS  # nobody plays it
    return market


def _events(listed: Listed) -> Iterator[Timed]:
    market = _make_market(listed)
    venue = market.venues[0]
    update_id, trade_id = FIRST_UPDATE_ID, FIRST_TRADE_ID
    yield START_NS, _snapshot(listed, venue, update_id)
    while (index := NEXT(market)) >= 0:
        if index != 0:
            continue
        time_ns = venue.time_ns
        time_ms = time_ns // NS_PER_MS
        for place in range(venue.fill_count):
            fill = venue.fills[place]
            trade_id += 1
            yield (
                time_ns,
                Message(
                    e="trade",
                    E=time_ms,
                    T=time_ms,
                    s=listed.symbol,
                    t=trade_id,
                    p=listed.price_text(fill.price_ticks),
                    q=listed.size_text(fill.qty_lots),
                    m=venue.aggressor == SELL,
                    X="" if listed.market == Market.SPOT else "MARKET",
                ),
            )
        if venue.change_count:
            delta = _delta(listed, venue, update_id, time_ms)
            update_id = delta.u
            yield time_ns, delta


def _delta(listed: Listed, venue: MadeVenue, update_id: int, time_ms: int) -> Message:
    levels: dict[int, list[tuple[str, str]]] = {BUY: [], SELL: []}
    for place in range(venue.change_count):
        change = venue.changes[place]
        levels[change.side].append((listed.price_text(change.price_ticks), listed.size_text(change.after_lots)))
    message = Message(e="depthUpdate", E=time_ms, s=listed.symbol, U=update_id + 1, u=update_id + venue.change_count)
    message.b, message.a = levels[BUY], levels[SELL]
    if listed.market != Market.SPOT:
        message.T, message.pu = time_ms, update_id
    return message


def _snapshot(listed: Listed, venue: MadeVenue, update_id: int) -> Message:
    sides: list[list[tuple[str, str]]] = []
    for side in (BID, 1 - BID):
        ladder = venue.sides[side]
        step = -1 if side == BID else 1
        prices = range(ladder.best_ticks, ladder.far_ticks + step, step)
        sized = ((ticks, size_at(venue, ticks)) for ticks in prices)
        sides.append([(listed.price_text(ticks), listed.size_text(lots)) for ticks, lots in sized if lots])
    return Message(lastUpdateId=update_id, bids=sides[0], asks=sides[1])
