"""Simulated Starbase: what its matching engine remembers, and how that is looked up.

Every order of every member, resting or held in the speed bump, has a slot in one table; its exchange order id is
counter << ORDERS_BITS | slot. Member 0 is everybody who is nobody's client.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.raw import hash_bits
from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.order_queue import OrderQueue
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Market, find_instrument
from crosswire.venues.market import InstrumentMap as VenueIds

ORDERS_BITS = 14
EXCHANGE_ORDERS_MAX = 1 << ORDERS_BITS  # orders alive at once, all members and instruments together
MEMBERS_MAX = 4  # NOBODY included
OPEN_ORDERS_MAX = 2000  # of a member, quotes included (the venue's limit)
TOUCHED_MAX = 500  # makers that one order can trade with or cancel; it ends there (the venue's own limit is 2,000)
CANCELS_MAX = OPEN_ORDERS_MAX  # by one request
CHANGES_MAX = CANCELS_MAX + 64  # of the books, by one request
BUCKET_BITS = 12  # of the index by client order id
SEEN_BITS = 17  # client order ids that a member ever used: at most half of the table is remembered
HELD_MAX = 256  # orders in speed bumps, all members together
GROUPS_MAX = 8  # of market maker protection
QUOTED_MAX = 64  # instruments quoted in one group
NOBODY = 0  # the member of background orders
NONE = -1
NO_SESSION = NONE
ACCEPTED = -1  # in place of a reject reason


class OrderPlace(IntEnum):
    GONE = 0
    RESTING = 1
    HELD = 2  # in the speed bump
    TAKING = 3  # being matched


class ChangeKind(IntEnum):
    NOTHING = 0
    PUT = 1
    REDUCED = 2
    DELETED = 3
    SUMMARY = 4
    TRADED = 5


class ExchangeOrder(Struct):
    """What is kept of an order. The fields stay readable after it has ended, until the next order is placed."""

    order_id: i64
    client_order_id: i64  # of a quote: the quote id
    correlation_id: i64
    sort_order_id: i64  # its place in time among the orders at its price; given as it rests, or as it is accepted
    member: i64
    session: i64  # that placed it: its events go there; NO_SESSION
    instrument: i64  # market index
    side: i64
    time_in_force: i64  # as on the wire
    price_ticks: i64
    qty_lots: i64  # what is filled included
    filled_lots: i64
    self_match_id: i64  # 0: none
    self_trading_mode: i64
    flags: i64  # OrderFlags
    is_quote: i64
    group: i64  # of market maker protection, NONE
    place: i64  # OrderPlace
    convert_reason: i64  # CancelReason of what made a held order an IOC, 0: nothing did
    next_in_bucket: i64  # slot, NONE


class ExchangeFill(Struct):
    """One match of the order being handled, from its maker's side."""

    match_id: i64
    price_ticks: i64
    qty_lots: i64
    session: i64  # of the maker
    client_order_id: i64
    order_id: i64
    instrument: i64
    side: i64  # of the maker
    total_filled_lots: i64
    is_quote: i64
    is_done: i64  # the maker is fully filled


class ExchangeCancel(Struct):
    """An order that was cancelled beside the one being handled."""

    session: i64
    client_order_id: i64
    order_id: i64
    instrument: i64
    total_filled_lots: i64
    reason: i64  # CancelReason
    is_quote: i64


class BookChange(Struct):
    """One thing to be published. All of one `Outcome` are one transaction."""

    kind: i64  # ChangeKind
    instrument: i64
    side: i64  # SUMMARY: of the taker; TRADED: of the maker
    order_id: i64  # SUMMARY: the taker's; TRADED: the maker's
    price_ticks: i64  # SUMMARY: the deepest
    qty_lots: i64  # PUT, REDUCED: what is left
    sort_order_id: i64
    match_id: i64
    count: i64  # SUMMARY: trades


class Outcome(Struct):
    """What one request, or one release from the speed bump, did."""

    slot: i64  # of its order, if it is of one
    status: i64  # OrderStatus of that
    cancel_reason: i64
    fill_count: i64
    cancel_count: i64
    change_count: i64
    fills: Annotated[Array, ExchangeFill, TOUCHED_MAX]
    cancels: Annotated[Array, ExchangeCancel, CANCELS_MAX]
    changes: Annotated[Array, BookChange, CHANGES_MAX]


class QuoteOutcome(Struct):
    """What came of one side of a quote."""

    status: i64  # QuoteStatus
    reject_reason: i64  # OrderRejectReason, ACCEPTED
    order_id: i64  # 0: none
    price_ticks: i64
    qty_lots: i64
    filled_lots: i64  # now


class HeldOrder(Struct):
    release_ns: i64
    order_id: i64


class QuotedInstrument(Struct):
    """The orders that a group quotes one instrument with; 0: none."""

    instrument: i64
    order_ids: Annotated[Array, i64, 2]  # by side


class Group(Struct):
    """Market maker protection of one mass quote group, or of one member's flagged orders in a currency pair."""

    group_id: i64  # the currency pair's if it is for orders
    member: i64
    is_quotes: i64
    limit_lots: i64  # traded within the window: then it freezes
    window_ns: i64
    freeze_ns: i64  # 0: until it is reset
    session: i64  # that used it last: told what happens
    window_started_ns: i64
    traded_lots: i64
    is_frozen: i64
    frozen_until_ns: i64
    is_due: i64  # the limit is reached: to be frozen after this match
    quoted_count: i64
    quoted: Annotated[Array, QuotedInstrument, QUOTED_MAX]


class Member(Struct):
    """The exchange's own books of a member."""

    open_orders: i64
    held_orders: i64
    fills: i64
    new_orders: i64  # requests, whatever became of them
    duplicate_orders: i64  # of these, with a client order id that was used before
    unremembered: i64  # ids that the table of used ones had no room for
    seen_count: i64
    position_lots: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # by market index
    seen: Annotated[Pointer, i64]  # client order ids + 1, open addressing


class Matching(Struct):
    """One matching engine, behind both gateways."""

    market: Market  # the exchange's own instruments and books
    ids: VenueIds
    queues: Annotated[Pointer, OrderQueue]  # by market index
    mark_ticks: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # 0: unknown
    price_band_ppm: i64  # around the mark that an order's price must lie in; 0: no limits
    qty_max_lots: i64  # of one order
    held_member_max: i64
    order_counter: i64
    sort_counter: i64
    sorts_on_accept: i64  # 1: an order gets its `sort_order_id` as it is accepted, 0: as it comes to rest
    match_counter: i64
    execution_counter: i64
    order_count: i64
    held_count: i64
    group_count: i64
    queue_full: i64  # orders cancelled because a book had no room; checked to stay zero
    orders: Annotated[Pointer, ExchangeOrder]
    free_slots: Annotated[Pointer, i64]  # a stack
    buckets: Annotated[Pointer, i64]  # slot of the first order, NONE
    held: Annotated[Array, HeldOrder, HELD_MAX]  # by release time
    groups: Annotated[Array, Group, GROUPS_MAX]
    members: Annotated[Array, Member, MEMBERS_MAX]
    outcome: Outcome


def set_tables(matching: Matching) -> None:
    """Make all tables empty."""
    matching.orders = array(ExchangeOrder, EXCHANGE_ORDERS_MAX)
    matching.free_slots = array(i64, EXCHANGE_ORDERS_MAX)
    matching.free_slots.numpy(EXCHANGE_ORDERS_MAX)[:] = range(EXCHANGE_ORDERS_MAX - 1, -1, -1)
    matching.buckets = array(i64, 1 << BUCKET_BITS)
    matching.buckets.numpy(1 << BUCKET_BITS)[:] = NONE
    for number in range(1, MEMBERS_MAX):
        matching.members[number].seen = array(i64, 1 << SEEN_BITS)


@compiled
def clear_outcome(matching: Matching) -> None:
    """Empty the outcome before each request and each release. What says what became of an order is written for it."""
    outcome = matching.outcome
    outcome.cancel_reason = 0
    outcome.fill_count = 0
    outcome.cancel_count = 0
    outcome.change_count = 0


@compiled
def add_change(matching: Matching, kind: int, instrument: int, side: int, order_id: int) -> BookChange:
    """Append a change and return it for the rest of what its kind tells; what is summed up begins at 0."""
    outcome = matching.outcome
    assert outcome.change_count < CHANGES_MAX
    change: BookChange = outcome.changes[outcome.change_count]
    outcome.change_count += 1
    change.kind = kind
    change.instrument = instrument
    change.side = side
    change.order_id = order_id
    change.qty_lots = 0
    change.count = 0
    return change


@compiled
def market_index(matching: Matching, venue_id: int) -> int:
    """Find the market index of a wire instrument id, NONE if unknown."""
    return find_instrument(matching.ids, venue_id)


@compiled
def _bucket_of(client_order_id: int) -> int:
    """The bucket that all members' orders of this number are in."""
    return hash_bits(client_order_id, BUCKET_BITS)


@compiled
def find_client_order(matching: Matching, member: int, client_order_id: int) -> int:
    """Find the slot of a member's live order, quotes excepted; NONE."""
    slot = matching.buckets[_bucket_of(client_order_id)]
    while slot != NONE:
        order = matching.orders[slot]
        if order.client_order_id == client_order_id and order.member == member:
            return slot
        slot = order.next_in_bucket
    return NONE


@compiled
def find_exchange_order(matching: Matching, order_id: int) -> int:
    """Find the slot of a live order, NONE."""
    slot = order_id & (EXCHANGE_ORDERS_MAX - 1)
    order = matching.orders[slot]
    return slot if order.place != OrderPlace.GONE and order.order_id == order_id else NONE


@compiled
def is_indexed(order: ExchangeOrder) -> bool:
    """Tell whether the order is found by its client order id."""
    return order.member != NOBODY and order.is_quote == 0


@compiled
def take_slot(matching: Matching, member: int, client_order_id: int, is_quote: int) -> int:
    """Take the slot of a new order, with an id; the caller fills in the rest and has seen that there is room."""
    slot = matching.free_slots[EXCHANGE_ORDERS_MAX - 1 - matching.order_count]
    matching.order_count += 1
    matching.order_counter += 1
    order = matching.orders[slot]
    order.order_id = matching.order_counter << ORDERS_BITS | slot
    order.client_order_id = client_order_id
    order.member = member
    order.is_quote = is_quote
    order.filled_lots = 0
    order.convert_reason = 0
    order.place = OrderPlace.TAKING
    matching.members[member].open_orders += 1
    if is_indexed(order):
        bucket = _bucket_of(client_order_id)
        order.next_in_bucket = matching.buckets[bucket]
        matching.buckets[bucket] = slot
    return slot


@compiled
def give_slot(matching: Matching, slot: int) -> None:
    """Give back the slot of an order that has ended; it rests and waits nowhere."""
    order = matching.orders[slot]
    if is_indexed(order):
        bucket = _bucket_of(order.client_order_id)
        if matching.buckets[bucket] == slot:
            matching.buckets[bucket] = order.next_in_bucket
        else:
            before = matching.buckets[bucket]
            while matching.orders[before].next_in_bucket != slot:
                before = matching.orders[before].next_in_bucket
            matching.orders[before].next_in_bucket = order.next_in_bucket
    order.place = OrderPlace.GONE
    matching.members[order.member].open_orders -= 1
    matching.order_count -= 1
    matching.free_slots[EXCHANGE_ORDERS_MAX - 1 - matching.order_count] = slot


@compiled
def note_client_order(matching: Matching, number: int, client_order_id: int) -> None:
    """Count a new-order request with this id, and whether the id came before."""
    member = matching.members[number]
    member.new_orders += 1
    mask = (1 << SEEN_BITS) - 1
    position = hash_bits(client_order_id, SEEN_BITS)
    while member.seen[position] != 0:
        if member.seen[position] == client_order_id + 1:
            member.duplicate_orders += 1
            return
        position = (position + 1) & mask
    if member.seen_count > mask >> 1:
        member.unremembered += 1
        return
    member.seen[position] = client_order_id + 1
    member.seen_count += 1


@compiled
def add_held(matching: Matching, order_id: int, release_ns: int) -> None:
    """Put an order into the queue of held ones, behind all released no later. The caller has seen there is room."""
    place = matching.held_count
    matching.held_count += 1
    while place > 0 and matching.held[place - 1].release_ns > release_ns:
        _copy_held(matching, place, place - 1)
        place -= 1
    matching.held[place].release_ns = release_ns
    matching.held[place].order_id = order_id


@compiled
def remove_first_held(matching: Matching) -> None:
    """Take the order that is released next out of the queue."""
    matching.held_count -= 1
    for place in range(matching.held_count):
        _copy_held(matching, place, place + 1)


@compiled
def _copy_held(matching: Matching, to: int, source: int) -> None:
    matching.held[to].release_ns = matching.held[source].release_ns
    matching.held[to].order_id = matching.held[source].order_id


@compiled
def find_group(matching: Matching, member: int, group_id: int, is_quotes: int) -> int:
    """Find the index of a member's protection group, NONE."""
    for index in range(matching.group_count):
        group = matching.groups[index]
        if group.member == member and group.group_id == group_id and group.is_quotes == is_quotes:
            return index
    return NONE
