"""How much of two books can be traded against each other, and in how many lots of each.

A plan walks the asks of one book and the bids of another at once, level against level, for as long as the marginal pair
of prices clears a rate. It takes what all of them offer, up to a size, and turns it into lots that both sides can
represent.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.strategies.listing import (
    Listing,
    cost_e9,
    gain_e9,
    is_price,
    nearest_lots,
    rated_up_e9,
    sale_e9,
    value_e9,
)
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
    lot_e9: i64  # base coin: a lot of the side where it is larger
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


@inlined
def match_tops(plan: Plan, buy_book: Book, sell_book: Book, lot_e9: int, cost: int, sale: int, limit_lots: int) -> None:
    """Plan one level a side of two books whose best prices clear, in lots: both linear, with lots of the same size.

    The plan is the one that `walk_books` (depth 1, `whole`) and `choose_lots` (nothing carried) make of a limit of
    `limit_lots` lots. `cost` and `sale` are what those prices are worth after fees. Proof: with L = lot_e9 > 0 a level
    of n lots is n * L of base, and min(a * L, b * L) = min(a, b) * L; so every size is a whole number of lots, and with
    P lots planned choose_lots takes P * L // L = P to buy. Those are P * L of base, of which the nearest number of lots
    to sell is P, none is left over, and neither size nor value is cut. Where the walk would not begin, or would find
    nothing, P is 0. Nothing is multiplied before the minimum is taken: no size overflows that does not in both books.
    """
    plan.buy_levels.count = 0
    plan.sell_levels.count = 0
    add_level(plan.buy_levels, buy_book.ask_ticks, buy_book.ask_lots)
    add_level(plan.sell_levels, sell_book.bid_ticks, sell_book.bid_lots)
    offered_lots = min(buy_book.ask_lots, sell_book.bid_lots)
    plan.offered_size_e9 = offered_lots * lot_e9
    plan.offered_value_e9 = gain_e9(plan.offered_size_e9, sale - cost)
    lots = max(0, min(offered_lots, limit_lots))
    plan.buy_ticks = buy_book.ask_ticks
    plan.sell_ticks = sell_book.bid_ticks
    plan.buy_value_e9 = cost
    plan.sell_value_e9 = sale
    plan.buy_lots = lots
    plan.sell_lots = lots
    plan.size_e9 = lots * lot_e9
    plan.value_e9 = plan.offered_value_e9 if lots == offered_lots else gain_e9(plan.size_e9, sale - cost)
    plan.lot_e9 = lot_e9


@compiled
def choose_lots(plan: Plan, buy_instrument: Instrument, sell_instrument: Instrument, carry_e9: int) -> None:
    """Turn the planned size into lots of both sides; both 0 if one of them would be.

    The side with the coarser lot is rounded down; the other then takes the nearest number of its lots, so that with
    `carry_e9`, what earlier trades bought more than they sold, at most half of its lot remains. (Less than one lot,
    where the size on offer forbids rounding up.)
    """
    buy_lot_e9 = base_e9(buy_instrument, plan.buy_ticks, 1)
    sell_lot_e9 = base_e9(sell_instrument, plan.sell_ticks, 1)
    plan.lot_e9 = max(buy_lot_e9, sell_lot_e9)
    if buy_lot_e9 >= sell_lot_e9:
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
