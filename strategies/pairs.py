"""Two listings of a leg strategy against each other: their middles, what is held of both, a trade between them."""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk
from crosswire.strategies.legs import (
    Legs,
    blocked_by,
    instrument_of,
    market_ticks,
    position_of,
    room_e9,
    start_trade,
    walk,
)
from crosswire.strategies.listing import is_price
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.plan import Plan, choose_lots
from crosswire.venues.instrument import base_e9, multiply_e9
from crosswire.venues.side import SELL


@compiled
def middle_e9(legs: Legs, desk: Desk, listing: int) -> int:
    """Return the middle of a book in the common currency; 0 if it is not proven or a side is empty."""
    instrument = instrument_of(legs, desk, listing)
    book = desk.books[instrument.index]
    if book.valid == 0 or not is_price(book.bid_ticks) or not is_price(book.ask_ticks):
        return 0
    middle = (book.bid_ticks + book.ask_ticks) * instrument.tick_e9 // 2
    return multiply_e9(middle, legs.listings[listing].unit_e9)


@compiled
def positions_e9(legs: Legs, desk: Desk, a: int, b: int) -> int:
    """Return what the positions hold of both: above 0 long the first and short the second; both books are proven.

    It is right after a restart, too, which trades know nothing of.
    """
    first, second = position_of(legs, desk, a).position_lots, position_of(legs, desk, b).position_lots
    if (first > 0) == (second > 0) or first == 0 or second == 0:
        return 0
    first_e9 = base_e9(instrument_of(legs, desk, a), market_ticks(legs, desk, a, SELL), abs(first))
    second_e9 = base_e9(instrument_of(legs, desk, b), market_ticks(legs, desk, b, SELL), abs(second))
    return min(first_e9, second_e9) if first > 0 else -min(first_e9, second_e9)


@compiled
def is_holding(legs: Legs, desk: Desk, a: int, b: int, held_e9: int) -> bool:
    """Tell whether two listings hold at least a lot of both; what is less is left to the next trade."""
    instrument_a = instrument_of(legs, desk, a)
    instrument_b = instrument_of(legs, desk, b)
    lot_a_e9 = base_e9(instrument_a, desk.books[instrument_a.index].bid_ticks, 1)
    lot_b_e9 = base_e9(instrument_b, desk.books[instrument_b.index].bid_ticks, 1)
    return abs(held_e9) >= max(lot_a_e9, lot_b_e9)


@compiled
def enter_pair(
    legs: Legs,
    desk: Desk,
    plan: Plan,
    buy: int,
    sell: int,
    hurdle_rate_e9: int,
    depth: int,
    size_max_e9: int,
    size_min_e9: int,
    direction: int,
    opportunity: int,
) -> int:
    """Start a trade into a pair, of what there is room for; NONE if one was started, else why not."""
    blocked = blocked_by(legs, desk, buy, sell)
    if blocked != Blocked.NONE:
        return blocked
    limit_e9 = min(room_e9(legs, desk, buy, sell), size_max_e9)
    if limit_e9 <= 0:
        return Blocked.POSITION
    return plan_and_start(
        legs, desk, plan, buy, sell, hurdle_rate_e9, depth, limit_e9, size_min_e9, direction, opportunity
    )


@compiled
def plan_and_start(
    legs: Legs,
    desk: Desk,
    plan: Plan,
    buy: int,
    sell: int,
    hurdle_rate_e9: int,
    depth: int,
    limit_e9: int,
    size_min_e9: int,
    direction: int,
    opportunity: int,
) -> int:
    """Plan and start one trade that nothing blocks, of `size_min_e9` to `limit_e9`; NONE if it was, else why not."""
    walk(legs, desk, plan, buy, sell, hurdle_rate_e9, depth, limit_e9, False)
    if plan.size_e9 > 0:
        choose_lots(plan, instrument_of(legs, desk, buy), instrument_of(legs, desk, sell), legs.carry_e9)
    if plan.size_e9 < max(1, size_min_e9) or plan.buy_lots == 0:
        return Blocked.NO_SIZE
    return Blocked.NONE if start_trade(legs, desk, buy, sell, plan, direction, opportunity) else Blocked.IN_FLIGHT
