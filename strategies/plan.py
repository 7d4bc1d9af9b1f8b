"""How much of two books can be traded against each other, and in how many lots of each.

A plan walks the asks of one book and the bids of another at once, level against level, for as long as the marginal pair
of prices clears a rate. It takes what all of them offer, up to a size, and turns it into lots that both sides can
represent.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.strategies.listing import Listing, cost_e9, is_price, nearest_lots, rated_up_e9, sale_e9, value_e9
from crosswire.strategies.planned import OrderPlan, add_level
from crosswire.venues.book.book import Book, best_level, executable_lots, next_level
from crosswire.venues.instrument import Instrument, base_e9, divide_e9, lots_of_base, multiply_e9
from crosswire.venues.side import ASK, BID


class Plan(Struct):
    """One trade before it starts. Edges and values are 1e-9 of the common quote currency."""

    buy_ticks: i64  # the worst price that still clears, on each side
    sell_ticks: i64
    buy_value_e9: i64  # of one unit of base at them, after taker fees
    sell_value_e9: i64
    size_e9: i64  # base coin
    value_e9: i64  # what `size_e9` earns after taker fees at the prices of the levels it takes
    buy_lots: i64
    sell_lots: i64
    offered_size_e9: i64  # of all that clears within the depth; only when the whole was asked for
    offered_value_e9: i64
    buy_levels: OrderPlan  # that were walked, each with all that its book offers there
    sell_levels: OrderPlan


@inlined
def walk_books(
    plan: Plan,
    buy: Listing,
    buy_instrument: Instrument,
    buy_book: Book,
    sell: Listing,
    sell_instrument: Instrument,
    sell_book: Book,
    hurdle_rate_e9: int,
    depth: int,
    limit_e9: int,
    whole: bool,
) -> None:
    """Plan what up to `depth` levels a side and `limit_e9` (base coin) allow; size 0 if not even the best prices clear.

    A pair of prices clears when what the sale brings after fees is at least the bought price times `hurdle_rate_e9`.
    With `whole` the walk goes on beyond the limit, for `offered_size_e9` and `offered_value_e9`.
    """
    plan.size_e9 = 0
    plan.value_e9 = 0
    plan.buy_levels.count = 0
    plan.sell_levels.count = 0
    size_e9 = 0
    value = 0
    ask_left_e9 = 0
    bid_left_e9 = 0
    ask_count = 0
    bid_count = 0
    ask = best_level(buy_book, ASK)
    bid = best_level(sell_book, BID)
    sale = 0
    hurdle = 1
    if is_price(ask) and is_price(bid):
        sale = sale_e9(sell, sell_instrument, bid)
        hurdle = rated_up_e9(buy_instrument, ask, hurdle_rate_e9)
    while sale >= hurdle and (whole or size_e9 < limit_e9):
        if ask_left_e9 == 0:
            ask_lots = executable_lots(buy_book, ASK, ask)
            add_level(plan.buy_levels, ask, ask_lots)
            ask_left_e9 = base_e9(buy_instrument, ask, ask_lots)
            ask_count += 1
        if bid_left_e9 == 0:
            bid_lots = executable_lots(sell_book, BID, bid)
            add_level(plan.sell_levels, bid, bid_lots)
            bid_left_e9 = base_e9(sell_instrument, bid, bid_lots)
            bid_count += 1
        cost = cost_e9(buy, buy_instrument, ask)
        step_e9 = min(ask_left_e9, bid_left_e9)
        gain = value_e9(step_e9, sale - cost)
        if size_e9 < limit_e9:
            part_e9 = min(step_e9, limit_e9 - size_e9)
            plan.buy_ticks = ask
            plan.sell_ticks = bid
            plan.buy_value_e9 = cost
            plan.sell_value_e9 = sale
            plan.size_e9 = size_e9 + part_e9
            plan.value_e9 = value + (gain if part_e9 == step_e9 else value_e9(part_e9, sale - cost))
        size_e9 += step_e9
        value += gain
        ask_left_e9 -= step_e9
        bid_left_e9 -= step_e9
        if (ask_left_e9 == 0 and ask_count == depth) or (bid_left_e9 == 0 and bid_count == depth):
            break
        if ask_left_e9 == 0:
            ask = next_level(buy_book, ASK, ask)
            if not is_price(ask):
                break
            hurdle = rated_up_e9(buy_instrument, ask, hurdle_rate_e9)
        # A bid behind this one brings no more: where it does not clear, that one is not looked for.
        if bid_left_e9 == 0 and sale >= hurdle:
            bid = next_level(sell_book, BID, bid)
            if not is_price(bid):
                break
            sale = sale_e9(sell, sell_instrument, bid)
    plan.offered_size_e9 = size_e9
    plan.offered_value_e9 = value


@compiled
def choose_lots(plan: Plan, buy_instrument: Instrument, sell_instrument: Instrument, carry_e9: int) -> None:
    """Turn the planned size into lots of both sides; both 0 if one of them would be.

    The side with the coarser lot is rounded down; the other then takes the nearest number of its lots, so that with
    `carry_e9`, what earlier trades bought more than they sold, at most half of its lot remains. (Less than one lot,
    where the size on offer forbids rounding up.)
    """
    if base_e9(buy_instrument, plan.buy_ticks, 1) >= base_e9(sell_instrument, plan.sell_ticks, 1):
        plan.buy_lots = lots_of_base(buy_instrument, plan.buy_ticks, max(0, plan.size_e9 - max(0, carry_e9)))
        target_e9 = base_e9(buy_instrument, plan.buy_ticks, plan.buy_lots) + carry_e9
        offered = lots_of_base(sell_instrument, plan.sell_ticks, plan.size_e9)
        plan.sell_lots = min(offered, nearest_lots(sell_instrument, plan.sell_ticks, target_e9))
    else:
        plan.sell_lots = lots_of_base(sell_instrument, plan.sell_ticks, max(0, plan.size_e9 + min(0, carry_e9)))
        target_e9 = base_e9(sell_instrument, plan.sell_ticks, plan.sell_lots) - carry_e9
        offered = lots_of_base(buy_instrument, plan.buy_ticks, plan.size_e9)
        plan.buy_lots = min(offered, nearest_lots(buy_instrument, plan.buy_ticks, target_e9))
    if plan.buy_lots == 0 or plan.sell_lots == 0:
        plan.buy_lots = 0
        plan.sell_lots = 0
        return
    bought_e9 = base_e9(buy_instrument, plan.buy_ticks, plan.buy_lots)
    chosen_e9 = min(bought_e9, base_e9(sell_instrument, plan.sell_ticks, plan.sell_lots))
    if chosen_e9 < plan.size_e9:
        plan.value_e9 = multiply_e9(plan.value_e9, divide_e9(chosen_e9, plan.size_e9))
        plan.size_e9 = chosen_e9
