"""Simulated Starbase: everybody else. Seeded random orders around a price that walks, or follows a given path.

They add near the top, cancel, reduce and take, as a member that is nobody's client, by the same rules as everyone. All
is drawn from a counter and a seed, so a run is the same every time, whatever clients do: their orders change what the
random orders meet, not when those come nor of what kind they are.
"""

import math
from typing import Annotated

from crosswire.nic.memory.raw import GOLDEN, MIX_SECOND, mix_bits, multiply_u64, shift_right
from crosswire.nic.memory.struct import Array, Pointer, Struct, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import best_level
from crosswire.venues.market import MAP_INSTRUMENTS_MAX
from crosswire.venues.side import opposite, sign_of
from crosswire.venues.starbase.exchange.matching.amend import amend_order
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest, cancel_resting, has_level, place_order
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    NO_SESSION,
    NOBODY,
    NONE,
    Matching,
    OrderPlace,
    clear_outcome,
    find_exchange_order,
)
from crosswire.venues.starbase.wire.order_codes import WireTimeInForce

BACKGROUND_ORDERS_MAX = 512  # remembered, so that they can be cancelled; all instruments together
MICRO = 1_000_000
CHANCES = 1000
# Out of CHANCES events: what becomes of a random draw up to this is ...
ADD = 500
CANCEL = 800
REDUCE = 870  # ... and anything above takes


class ReferencePoint(Struct):
    """What an instrument is worth from a time on."""

    time_ns: i64
    instrument: i64  # market index
    price_ticks: i64


class Background(Struct):
    """The member that is nobody's client."""

    seed: i64
    draws: i64
    interval_ns: i64  # mean time between two events; 0: there are none
    next_ns: i64
    end_ns: i64  # no events from then on
    filling: i64  # events left that only add, all at the beginning
    walk_micro_ticks: i64  # half width of one event's step
    half_spread_ticks: i64
    depth_ticks: i64  # how far behind the top orders are added
    lots: i64  # typical quantity
    count: i64  # instruments
    events: i64
    point_count: i64
    next_point: i64
    points: Annotated[Pointer, ReferencePoint]  # by time; the prices walk only where there are none
    request: OrderRequest
    instruments: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # market indices
    reference_micro_ticks: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # by market index
    order_ids: Annotated[Array, i64, BACKGROUND_ORDERS_MAX]


def set_background(
    background: Background,
    instruments: dict[int, int],
    seed: int,
    start_ns: int,
    end_ns: int,
    *,
    events_per_second: float,
    volatility_ticks: float,
    half_spread_ticks: int,
    depth_ticks: int,
    lots: int,
    points: Array | None,
) -> None:
    """Set up the random orders.

    `instruments`: market index -> first price in ticks. Volatility: deviation over a second.
    """
    background.seed = seed
    background.interval_ns = round(1e9 / events_per_second) if events_per_second > 0 else 0
    background.next_ns = start_ns if background.interval_ns else NEVER_NS
    background.end_ns = end_ns
    background.filling = min(BACKGROUND_ORDERS_MAX // 2, 40 * len(instruments))
    if background.interval_ns:
        # A uniform step of half width w has a deviation of w / sqrt(3); each instrument has its share of the events.
        share = len(instruments) / events_per_second
        background.walk_micro_ticks = round(MICRO * volatility_ticks * math.sqrt(3 * share))
    background.half_spread_ticks = half_spread_ticks
    background.depth_ticks = depth_ticks
    background.lots = lots
    background.count = len(instruments)
    for place, (index, price_ticks) in enumerate(instruments.items()):
        background.instruments[place] = index
        background.reference_micro_ticks[index] = price_ticks * MICRO
    if points is not None:
        background.points = points
        background.point_count = len(points)


@compiled
def draw(background: Background, bound: int) -> int:
    """Draw a uniform number in 0..bound - 1, for bound below 2**31."""
    background.draws += 1
    mixed = multiply_u64(background.draws, GOLDEN) ^ multiply_u64(background.seed + 1, MIX_SECOND)
    mixed = mix_bits(mixed)
    return shift_right(mixed ^ shift_right(mixed, 31), 33) % bound


@compiled
def next_background_ns(background: Background) -> int:
    """Tell when the next event is due, NEVER_NS."""
    return background.next_ns


@compiled
def background_event(background: Background, matching: Matching, now_ns: int) -> None:
    """Make one event happen; what it did is in the outcome."""
    clear_outcome(matching)
    background.events += 1
    if background.filling > 0:
        background.filling -= 1
    else:
        background.next_ns = now_ns + 1 + draw(background, 2 * background.interval_ns)
    if background.next_ns >= background.end_ns:
        background.next_ns = NEVER_NS
    index = background.instruments[draw(background, background.count)]
    move_reference(background, index, now_ns)
    reference_ticks = background.reference_micro_ticks[index] // MICRO
    matching.mark_ticks[index] = reference_ticks
    side = draw(background, 2)
    chance = draw(background, CHANCES)
    place = draw(background, BACKGROUND_ORDERS_MAX)
    lots = 1 + draw(background, background.lots) + draw(background, background.lots)
    ticks = draw(background, background.depth_ticks) * draw(background, background.depth_ticks)
    if background.filling > 0 or chance < ADD:
        slot = find_exchange_order(matching, background.order_ids[place])
        if slot != NONE:
            withdraw_own(matching, slot)
            return
        away_ticks = background.half_spread_ticks + ticks // background.depth_ticks
        price_ticks = reference_ticks - sign_of(side) * away_ticks
        background.order_ids[place] = place_own(
            background, matching, index, side, price_ticks, lots, WireTimeInForce.GTC, now_ns
        )
    elif chance < REDUCE:
        slot = find_exchange_order(matching, background.order_ids[place])
        if slot == NONE:
            return
        order = matching.orders[slot]
        left_lots = order.qty_lots - order.filled_lots
        if chance < CANCEL or left_lots < 2:
            withdraw_own(matching, slot)
        elif order.place == OrderPlace.RESTING:
            amend_order(matching, slot, order.price_ticks, order.qty_lots - left_lots // 2, 0, 0, now_ns)
    else:
        book = matching.market.books[index]
        if has_level(book, opposite(side)):
            price_ticks = best_level(book, opposite(side)) + sign_of(side) * draw(background, 3)
            place_own(background, matching, index, side, price_ticks, lots, WireTimeInForce.IOC, now_ns)


@compiled
def move_reference(background: Background, index: int, now_ns: int) -> None:
    """Move the price: along the path if there is one, else a random step, never below one spread."""
    if background.point_count == 0:
        width = background.walk_micro_ticks
        moved = background.reference_micro_ticks[index] + draw(background, 2 * width + 1) - width
        floor = (background.half_spread_ticks + background.depth_ticks + 1) * MICRO
        background.reference_micro_ticks[index] = max(floor, moved)
        return
    while background.next_point < background.point_count:
        point = background.points[background.next_point]
        if point.time_ns > now_ns:
            return
        background.reference_micro_ticks[point.instrument] = point.price_ticks * MICRO
        background.next_point += 1


@compiled
def withdraw_own(matching: Matching, slot: int) -> None:
    """Cancel an order that rests; leave one that is held."""
    if matching.orders[slot].place == OrderPlace.RESTING:
        cancel_resting(matching, slot)


@compiled
def place_own(
    background: Background,
    matching: Matching,
    index: int,
    side: int,
    price_ticks: int,
    lots: int,
    time_in_force: int,
    now_ns: int,
) -> int:
    """Place a new order; return its id, 0 if it was refused or is gone already."""
    request = background.request
    request.session = NO_SESSION
    request.member = NOBODY
    request.instrument = index
    request.side = side
    request.time_in_force = time_in_force
    request.price_ticks = price_ticks
    request.qty_lots = lots
    request.group = NONE
    if place_order(matching, request, now_ns) != ACCEPTED:
        return 0
    return matching.orders[matching.outcome.slot].order_id
