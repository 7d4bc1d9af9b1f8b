"""The made-up market behind the default data: one efficient price, and two venues that follow it each in its own way.

Or three books of one venue that are a triangle: each of two follows a price of its own, the third what one of those
prices is in the other. Each is counted in money of its own kind, such that all prices begin at the same number: a tick
is then so much of that.

Whole numbers throughout, so that a seed gives the same market on every machine, compiled or not. Money is in 1e-6 USD
(`_e6`). The shapes are the field's: a random walk with jumps, a basis that reverts to its mean, dislocations that fade
in a millisecond or in seconds, ladders of 10 to 50 levels that are thin after a jump, bursts of updates microseconds
apart, and aggressors that sweep several levels. The figures are chosen so that opportunities appear and vanish; they
are no estimate of any real venue.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import E6
from crosswire.venues.side import ASK, BID, BUY, SELL

VENUES = 2
TRIANGLE = 3
VENUES_MAX = TRIANGLE
FOLLOWS_PRICE = 0
FOLLOWS_OTHER = 1
FOLLOWS_QUOTIENT = 2  # the other price in units of the first
RING_TICKS = 1 << 14  # sizes are kept by tick modulo this; a ladder spans a few hundred ticks
RING_MASK = RING_TICKS - 1
CHANGES_MAX = 32  # level changes of one event: what fits a datagram of any venue beside six trades and a ticker
FILLS_MAX = 6  # levels that one aggressor takes from
RETREAT_MAX = 5  # levels that one event gives up on a side, so that a large move takes several events

STEP_NS = 500_000  # of the efficient price
WALK_E6 = 150_000  # standard deviation of a step: 6.7 USD in a second, about 60 % a year at 60,000 USD
JUMP_STEPS = 6_000  # on average between jumps: 3 s
JUMP_MIN_E6 = 8 * E6
JUMP_RANGE_E6 = 40 * E6
BASIS_WALK_E6 = 30_000
BASIS_REVERSION = 20_000  # steps in which a basis loses 63 %: 10 s; its standard deviation is then 3 USD
SHOCK_STEPS = 1_400  # on average between dislocations: 0.7 s
SHOCK_MIN_E6 = 15 * E6
SHOCK_RANGE_E6 = 75 * E6
SHOCK_TENFOLD_PERCENT = 45  # chance that a dislocation lasts ten times longer, asked SHOCK_TENFOLDS_MAX times
SHOCK_TENFOLDS_MAX = 4  # lifetimes 0.5 ms, 5 ms, 50 ms, 0.5 s, 5 s: from out of reach to easy
BURST_EVENTS = 1_500  # on average between bursts without a cause
BURST_NS = 6_000  # at most between two events of a burst

# Lehmer generators combined as in L'Ecuyer, "Efficient and portable combined random number generators", CACM 31 (1988):
# every product stays far below 2**63, so nothing wraps around in either world.
FIRST_MODULUS = 2_147_483_563
FIRST_MULTIPLIER = 40_014
SECOND_MODULUS = 2_147_483_399
SECOND_MULTIPLIER = 40_692


class Random(Struct):
    """State of the generator; each part is 1 to its modulus - 1."""

    first: i64
    second: i64


class Change(Struct):
    """A level before and after one event."""

    side: i64
    price_ticks: i64
    before_lots: i64  # 0: there was no such level
    after_lots: i64  # 0: there is none any more


class Fill(Struct):
    """What an aggressor took at one price."""

    price_ticks: i64
    qty_lots: i64


class LadderSide(Struct):
    """One side of a venue's book; never empty after `open_ladder`."""

    levels: i64
    best_ticks: i64
    far_ticks: i64  # the level farthest from the other side


class MadeVenue(Struct):
    """One venue with one instrument: how it behaves, where it is, and what its last event did."""

    follows: i64  # FOLLOWS_PRICE, ...
    tick_e6: i64
    step_ticks: i64  # neighbouring levels are at most this far apart when a ladder is built
    depth_min: i64  # levels a side
    depth_max: i64
    typical_lots: i64
    half_spread_e6: i64
    response: i64  # each event closes one part in so many of the distance to the price it follows
    event_gap_ns: i64  # mean time between events outside of bursts
    jump_delay_ns: i64  # after which a jump of the price sets off a burst here
    latency_ns: i64  # from the venue to the capture point, at least
    jitter_ns: i64

    fair_e6: i64
    basis_e6: i64
    shock_e6: i64
    shock_decay_steps: i64
    next_ns: i64  # time of the next event, ns since the epoch
    burst_left: i64  # events
    sides: Annotated[Array, LadderSide, 2]
    ring: Annotated[Array, i64, RING_TICKS]  # lots by tick & RING_MASK

    time_ns: i64  # of the last event, by the venue's clock
    receive_ns: i64  # when its packets are captured; rises from event to event
    aggressor: i64  # side of the fills
    top_changed: i64
    change_count: i64
    fill_count: i64
    changes: Annotated[Array, Change, CHANGES_MAX]
    fills: Annotated[Array, Fill, FILLS_MAX]

    events: i64
    bursts: i64
    trade_throughs: i64  # aggressors that took more than one level


class Losses(Struct):
    """When packets of a venue get lost on their way to the capture point."""

    next_ns: i64  # when the next gap begins
    interval_ns: i64  # from gap to gap
    last_ns: i64  # none begins later
    events_left: i64  # still to be lost in the gap at hand
    gaps: i64
    packets: i64  # lost


class MadeMarket(Struct):
    """All venues, the price they follow, and what became of it all."""

    random: Random
    is_open: i64  # 1: `open_market` has been called
    count: i64  # VENUES or TRIANGLE
    price_e6: i64
    other_e6: i64  # of a triangle: the second price
    begin_e6: i64  # of a triangle: where all prices began
    step_ns: i64  # time of the next step of the price
    end_ns: i64
    venues: Annotated[Array, MadeVenue, VENUES_MAX]
    crossed: i64  # 1: one venue's bid is above the other's ask, or a triangle brings more than it costs before fees
    crossed_since_ns: i64
    crossed_moments: i64
    crossed_ns: i64  # total
    jumps: i64
    shocks: i64


def seed_random(random: Random, seed: int) -> None:
    """Start the generator: any whole number is a seed, and neighbours start far apart."""
    random.first = 1 + seed * 1_000_003 % (FIRST_MODULUS - 1)
    random.second = 1 + seed * 998_244_353 % (SECOND_MODULUS - 1)


@compiled
def draw(random: Random, bound: int) -> int:
    """Draw a number, uniform in 0..bound - 1, for bound up to 2**31 - 86."""
    random.first = random.first * FIRST_MULTIPLIER % FIRST_MODULUS
    random.second = random.second * SECOND_MULTIPLIER % SECOND_MODULUS
    return (random.first - random.second) % (FIRST_MODULUS - 1) % bound


@compiled
def bell(random: Random, deviation: int) -> int:
    """Draw a number, roughly normal with mean 0: the sum of four uniform numbers of the right width."""
    half = deviation * 866 // 1000  # four uniforms on -h..h have a deviation of 2 h / sqrt(3)
    total = 0
    for _ in range(4):
        total += draw(random, 2 * half + 1) - half
    return total


@compiled
def some_lots(random: Random, typical: int) -> int:
    """Draw a level's size: mostly below `typical`, now and then ten times as much."""
    size = 1 + draw(random, typical) * draw(random, typical) // typical
    return size * 10 if draw(random, 40) == 0 else size


@compiled
def size_at(venue: MadeVenue, price_ticks: int) -> int:
    """Lots at a price, 0 if there are none."""
    return venue.ring[price_ticks & RING_MASK]


@compiled
def set_level(venue: MadeVenue, side: int, price_ticks: int, qty_lots: int) -> bool:
    """Set a level's size and note the change; False if nothing is done.

    That is when the size is as it was, the event has no room for another change, or the side would lose its last level.
    """
    book = venue.sides[side]
    slot = price_ticks & RING_MASK
    before = venue.ring[slot]
    if before == qty_lots or (qty_lots == 0 and book.levels == 1):
        return False
    if not _note_change(venue, side, price_ticks, before, qty_lots):
        return False
    venue.ring[slot] = qty_lots
    away = 2 * side - 1
    if before == 0:
        book.levels += 1
        if (price_ticks - book.best_ticks) * away < 0:
            book.best_ticks = price_ticks
        if (price_ticks - book.far_ticks) * away > 0:
            book.far_ticks = price_ticks
    elif qty_lots == 0:
        book.levels -= 1
        while size_at(venue, book.best_ticks) == 0:
            book.best_ticks += away
        while size_at(venue, book.far_ticks) == 0:
            book.far_ticks -= away
    return True


@compiled
def _note_change(venue: MadeVenue, side: int, price_ticks: int, before_lots: int, after_lots: int) -> bool:
    """Note a change of a level; one that changes twice in one event is one change."""
    for index in range(venue.change_count):
        change = venue.changes[index]
        if change.price_ticks == price_ticks and change.side == side:
            change.after_lots = after_lots
            return True
    if venue.change_count == CHANGES_MAX:
        return False
    change = venue.changes[venue.change_count]
    venue.change_count += 1
    change.side = side
    change.price_ticks = price_ticks
    change.before_lots = before_lots
    change.after_lots = after_lots
    return True


@compiled
def add_far(random: Random, venue: MadeVenue, side: int) -> None:
    """Add one more level at the far end."""
    away = 2 * side - 1
    price_ticks = venue.sides[side].far_ticks + away * (1 + draw(random, venue.step_ticks))
    set_level(venue, side, price_ticks, some_lots(random, venue.typical_lots))


@compiled
def open_ladder(random: Random, venue: MadeVenue) -> None:
    """Build the book around the fair price, as no event."""
    for side in range(2):
        book = venue.sides[side]
        best = target_ticks(venue, side)
        book.best_ticks = best
        book.far_ticks = best
        book.levels = 1
        venue.ring[best & RING_MASK] = some_lots(random, venue.typical_lots)
        while book.levels < (venue.depth_min + venue.depth_max) // 2:
            venue.change_count = 0
            add_far(random, venue, side)
    venue.change_count = 0


@compiled
def open_market(market: MadeMarket) -> None:
    """Build all books."""
    for _ in range(16):  # until neighbouring seeds have parted
        draw(market.random, 2)
    for index in range(market.count):
        open_ladder(market.random, market.venues[index])
    market.is_open = 1


@compiled
def target_ticks(venue: MadeVenue, side: int) -> int:
    """The best price that the venue's makers want on a side; their ask is above their bid."""
    bid_ticks = (venue.fair_e6 - venue.half_spread_e6) // venue.tick_e6
    if side == BID:
        return bid_ticks
    return max(-(-(venue.fair_e6 + venue.half_spread_e6) // venue.tick_e6), bid_ticks + 1)


@compiled
def take(random: Random, venue: MadeVenue, aggressor: int, levels: int) -> None:
    """Have an aggressor take that many levels from the other side, the last of them perhaps in part."""
    side = ASK if aggressor == BUY else BID
    book = venue.sides[side]
    venue.aggressor = aggressor
    for taken in range(levels):
        price_ticks = book.best_ticks
        resting = size_at(venue, price_ticks)
        qty_lots = resting
        if taken == levels - 1 and resting > 1:
            qty_lots = 1 + draw(random, resting - 1)
        if venue.fill_count == FILLS_MAX or not set_level(venue, side, price_ticks, resting - qty_lots):
            return
        fill = venue.fills[venue.fill_count]
        venue.fill_count += 1
        fill.price_ticks = price_ticks
        fill.qty_lots = qty_lots


@compiled
def retreat(random: Random, venue: MadeVenue, side: int) -> None:
    """Have makers give up the levels that are better than they want: cancelled, or one time in eight taken."""
    book = venue.sides[side]
    away = 2 * side - 1
    target = target_ticks(venue, side)
    is_taken = venue.fill_count == 0 and draw(random, 8) == 0
    for _ in range(RETREAT_MAX):
        if (book.best_ticks - target) * away >= 0:
            return
        if book.levels <= venue.depth_min:
            add_far(random, venue, side)
        if is_taken:
            take(random, venue, BUY if side == ASK else SELL, 1)
        else:
            set_level(venue, side, book.best_ticks, 0)


@compiled
def advance(random: Random, venue: MadeVenue, side: int) -> None:
    """Have makers improve the best price towards what they want, never into the other side."""
    away = 2 * side - 1
    target = target_ticks(venue, side)
    limit = venue.sides[1 - side].best_ticks + away
    price_ticks = max(target, limit) if side == ASK else min(target, limit)
    if (price_ticks - venue.sides[side].best_ticks) * away < 0:
        set_level(venue, side, price_ticks, some_lots(random, venue.typical_lots))


@compiled
def stir(random: Random, venue: MadeVenue, side: int) -> None:
    """Have someone add, change or cancel a level behind the best."""
    book = venue.sides[side]
    away = 2 * side - 1
    price_ticks = book.best_ticks + away * draw(random, 12 * venue.step_ticks)
    resting = size_at(venue, price_ticks)
    if resting == 0 and book.levels >= venue.depth_max:
        return
    if resting != 0 and price_ticks != book.best_ticks and book.levels > venue.depth_min and draw(random, 3) == 0:
        set_level(venue, side, price_ticks, 0)
    elif (book.far_ticks - price_ticks) * away >= 0:
        set_level(venue, side, price_ticks, some_lots(random, venue.typical_lots))
    else:
        set_level(venue, side, book.best_ticks, some_lots(random, venue.typical_lots))


@compiled
def keep_depth(random: Random, venue: MadeVenue, side: int) -> None:
    """Have the far end follow: at least `depth_min` levels, and sooner or later at most `depth_max`."""
    book = venue.sides[side]
    if book.levels < venue.depth_min:
        add_far(random, venue, side)
    elif book.levels > venue.depth_max:
        set_level(venue, side, book.far_ticks, 0)


@compiled
def quotient_e6(market: MadeMarket, price_e6: int, by_e6: int) -> int:
    """Return a price in units of another one, right to 2e-7: the product stays below 2**60."""
    return price_e6 * (market.begin_e6 // 10_000) // (by_e6 // 10_000)


@compiled
def followed_e6(market: MadeMarket, venue: MadeVenue) -> int:
    """Return the price that a venue follows."""
    if venue.follows == FOLLOWS_PRICE:
        return market.price_e6
    if venue.follows == FOLLOWS_OTHER:
        return market.other_e6
    return quotient_e6(market, market.other_e6, market.price_e6)


@compiled
def venue_event(market: MadeMarket, venue: MadeVenue) -> None:
    """Make one event: the venue follows the price, someone trades or quotes; the time of the next is drawn."""
    random = market.random
    bids, asks = venue.sides[BID], venue.sides[ASK]
    bid_ticks, ask_ticks = bids.best_ticks, asks.best_ticks
    bid_lots, ask_lots = size_at(venue, bid_ticks), size_at(venue, ask_ticks)
    venue.change_count = 0
    venue.fill_count = 0
    venue.events += 1
    venue.time_ns = venue.next_ns
    venue.fair_e6 += (followed_e6(market, venue) + venue.basis_e6 + venue.shock_e6 - venue.fair_e6) // venue.response
    kind = draw(random, 1000)
    if kind < 3:
        take(random, venue, draw(random, 2), 2 + draw(random, FILLS_MAX - 1))
    elif kind < 90:
        take(random, venue, draw(random, 2), 1)
    for side in range(2):
        retreat(random, venue, side)
    for side in range(2):
        advance(random, venue, side)
    for _ in range(1 + draw(random, 3)):
        stir(random, venue, draw(random, 2))
    for side in range(2):
        keep_depth(random, venue, side)
    if venue.fill_count > 1:
        venue.trade_throughs += 1
    same_prices = bids.best_ticks == bid_ticks and asks.best_ticks == ask_ticks
    same_sizes = size_at(venue, bids.best_ticks) == bid_lots and size_at(venue, asks.best_ticks) == ask_lots
    venue.top_changed = 0 if same_prices and same_sizes else 1
    venue.receive_ns = max(venue.receive_ns + 1, venue.time_ns + venue.latency_ns + draw(random, venue.jitter_ns))
    _schedule_event(random, venue)
    _watch_cross(market, venue.time_ns)


@compiled
def _schedule_event(random: Random, venue: MadeVenue) -> None:
    if venue.burst_left > 0:
        venue.burst_left -= 1
        venue.next_ns += 1 + draw(random, BURST_NS)
        return
    if draw(random, BURST_EVENTS) == 0:
        start_burst(random, venue)
    venue.next_ns += 1 + draw(random, 2 * venue.event_gap_ns)


@compiled
def start_burst(random: Random, venue: MadeVenue) -> None:
    """Have the next 20 to 80 events come microseconds apart."""
    venue.burst_left = 20 + draw(random, 61)
    venue.bursts += 1


@compiled
def best_e6(venue: MadeVenue, side: int) -> int:
    """Return the best price of a side."""
    return venue.sides[side].best_ticks * venue.tick_e6


@compiled
def _watch_cross(market: MadeMarket, time_ns: int) -> None:
    """Count the moments in which one venue bids more than the other asks, or a triangle is worth going round."""
    first, second = market.venues[0], market.venues[1]
    crossed = 0
    if market.count == TRIANGLE:
        third = market.venues[2]
        if quotient_e6(market, best_e6(second, BID), best_e6(first, ASK)) > best_e6(third, ASK):
            crossed = 1
        if quotient_e6(market, best_e6(second, ASK), best_e6(first, BID)) < best_e6(third, BID):
            crossed = 1
    elif best_e6(first, BID) > best_e6(second, ASK) or best_e6(second, BID) > best_e6(first, ASK):
        crossed = 1
    if crossed == market.crossed:
        return
    market.crossed = crossed
    if crossed == 1:
        market.crossed_moments += 1
        market.crossed_since_ns = time_ns
    else:
        market.crossed_ns += time_ns - market.crossed_since_ns


@compiled
def step_price(market: MadeMarket) -> None:
    """Move the price, each basis, and what is left of each dislocation by one step."""
    random = market.random
    market.price_e6 += bell(random, WALK_E6)
    if market.count == TRIANGLE:
        market.other_e6 += bell(random, WALK_E6)
    if draw(random, JUMP_STEPS) == 0:
        jump_e6 = JUMP_MIN_E6 + draw(random, JUMP_RANGE_E6)
        market.price_e6 += jump_e6 if draw(random, 2) == 0 else -jump_e6
        market.jumps += 1
        for index in range(market.count):
            venue = market.venues[index]
            start_burst(random, venue)
            venue.next_ns = max(venue.time_ns + 1, market.step_ns + venue.jump_delay_ns)
    for index in range(market.count):
        venue = market.venues[index]
        venue.basis_e6 += bell(random, BASIS_WALK_E6) - venue.basis_e6 // BASIS_REVERSION
        venue.shock_e6 -= venue.shock_e6 // venue.shock_decay_steps
    if draw(random, SHOCK_STEPS) == 0:
        start_shock(market, market.venues[draw(random, market.count)])
    market.step_ns += STEP_NS


@compiled
def start_shock(market: MadeMarket, venue: MadeVenue) -> None:
    """Push one venue alone off the price, in a burst; the push fades."""
    random = market.random
    shock_e6 = SHOCK_MIN_E6 + draw(random, SHOCK_RANGE_E6)
    venue.shock_e6 = shock_e6 if draw(random, 2) == 0 else -shock_e6
    venue.shock_decay_steps = 1
    for _ in range(SHOCK_TENFOLDS_MAX):
        if draw(random, 100) >= SHOCK_TENFOLD_PERCENT:
            break
        venue.shock_decay_steps *= 10
    start_burst(random, venue)
    venue.next_ns = max(venue.time_ns + 1, market.step_ns)
    market.shocks += 1


@compiled
def is_lost(random: Random, losses: Losses, venue: MadeVenue) -> bool:
    """Tell whether the last event's packets get lost. A gap is 1 to 3 events; the first changes the book."""
    if losses.events_left == 0:
        if venue.time_ns < losses.next_ns or venue.time_ns > losses.last_ns or venue.change_count == 0:
            return False
        losses.next_ns += losses.interval_ns
        losses.gaps += 1
        losses.events_left = 1 + draw(random, 3)
    losses.events_left -= 1
    return True


@compiled
def next_event(market: MadeMarket) -> int:
    """Let the market live until one venue has an event; its index, or -1 when `end_ns` is reached."""
    while True:
        index = 0
        for other in range(1, market.count):
            if market.venues[other].next_ns < market.venues[index].next_ns:
                index = other
        venue = market.venues[index]
        if min(venue.next_ns, market.step_ns) >= market.end_ns:
            return -1
        if market.step_ns <= venue.next_ns:
            step_price(market)
            continue
        venue_event(market, venue)
        return index
