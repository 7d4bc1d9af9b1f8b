"""Book messages put into the order queues, and which books may be traded on.

A book is valid when it is proven, the instrument trades, no message of its channel is missing, and no transaction that
changed it is open. Whatever contradicts the book (an unknown order, a larger "reduced" quantity, a price off the tick)
loses it: it waits for a snapshot then. An order's fraction of a lot is left off: nobody can trade it. One that is less
than a lot keeps its place in the queue, with none.

Where there is no room for another order or price, those farthest from the market are let go; from then on no order is
taken that is so far away, and one that is unknown may have been among them.
"""

from crosswire.nic.memory.raw import round_half_even
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.book.book import Book, is_beyond, refresh_top, sees_best
from crosswire.venues.book.order_queue import (
    NONE,
    OrderQueue,
    delete_entry,
    delete_order,
    find_entry,
    let_go_far_orders,
    put_order,
    reduce_slot,
    slot_at,
)
from crosswire.venues.feed import Reject, known_instrument, note_rounded, reject
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Events, Market, publish_proof
from crosswire.venues.starbase.feed.state import TEMPLATE_IDS, Progress, Proof, StarbaseFeed
from crosswire.venues.starbase.wire.market_layout import (
    Delete,
    MessageHeader,
    OrderBlock,
    Put,
    QuantityReduced,
    Template,
)

BAD = -1  # lots of a quantity that the venue can't mean
# A product of a whole number and a rounded inverse is off by 2**-52 of itself at most: below 2**50 less than a half, so
# that rounding finds the quotient if there is a whole one. Multiplied back it is compared, so no wrong one passes.
UNITS_MAX = 1 << 50
PRICE_BITS = 60  # |price| in 1e-9 is below 2**60: what is beyond is damage


@inlined
def to_lots(feed: StarbaseFeed, proof: Proof, mantissa: int) -> int:
    """Convert to lots, rounded down and counted if there is a rest, or BAD: not above 0, or out of range."""
    if mantissa <= 0 or mantissa > proof.mantissa_max:
        return BAD
    units = mantissa * proof.multiply
    if proof.divide == 1:
        return units
    lots = round_half_even(units * proof.lots_per_unit)
    if lots * proof.divide == units:
        return lots
    note_rounded(feed)
    return units // proof.divide


@inlined
def to_ticks(proof: Proof, price_e9: int) -> int:
    """Convert to ticks; `is_price` tells whether that is what the venue can mean."""
    return round_half_even(price_e9 * proof.ticks_per_e9)


@inlined
def is_price(proof: Proof, price_e9: int, ticks: int) -> bool:
    """Tell whether a price is so many ticks. Only that of a combination, a difference, can be zero or less."""
    is_near = (price_e9 ^ (price_e9 >> 63)) >> PRICE_BITS == 0
    return is_near and ticks * proof.tick_e9 == price_e9 and (ticks > 0 or proof.is_signed != 0)


@inlined
def prove_message(feed: StarbaseFeed, address: int, end: int) -> int:
    """Prove that the message at `address` is of a known template and lies inside the packet with all of its root block.

    Its length, else 0: `judge_odd_message` then tells what is wrong.
    """
    left = end - address
    if left >= size_of(MessageHeader):
        message = view(MessageHeader, address)
        length = message.length
        template_id = message.template_id
        if template_id < TEMPLATE_IDS and feed.least_bytes[template_id] <= length <= left:
            return length
    return 0


@outlined
def judge_odd_message(feed: StarbaseFeed, address: int, end: int) -> int:
    """Count what is wrong with a message that `prove_message` does not believe; its length if it lies in the packet.

    One of an unknown template has a length, too: it is stepped over. So is one that lacks fields: its length is
    returned negative. Only if it is about an order and does not even say of which instrument, it can't be.
    """
    if end - address < size_of(MessageHeader):
        return reject(feed, Reject.SHORT_MESSAGE)
    message = view(MessageHeader, address)
    length = message.length
    if length < size_of(MessageHeader):
        return reject(feed, Reject.SHORT_BLOCK)
    if length > end - address:
        return reject(feed, Reject.BLOCK_OVERRUN)
    template_id = message.template_id
    if template_id >= TEMPLATE_IDS or feed.places[template_id] == 0:
        reject(feed, Reject.UNKNOWN_TEMPLATE)
        feed.version_read = max(feed.version_read, message.version)
        return length
    reject(feed, Reject.SHORT_BLOCK)
    is_named = length - size_of(MessageHeader) >= size_of(OrderBlock) or not is_of_order(template_id)
    return -length if is_named else 0


@compiled
def is_of_order(template_id: int) -> bool:
    """Tell whether messages of a template are about one resting order."""
    return Template.BID_PUT <= template_id <= Template.ASK_DELETE


@outlined
def spoil_book(feed: StarbaseFeed, market: Market, events: Events, address: int) -> None:
    """Lose the book of a message about an order that lacks fields."""
    if is_of_order(view(MessageHeader, address).template_id):
        index = known_instrument(feed, view(OrderBlock, address + size_of(MessageHeader)).instrument_id)
        if index >= 0 and feed.proofs[index].progress == Progress.PROVEN:
            lose_queue(feed, market, events, index)


@inlined
def count_message(feed: StarbaseFeed, template_id: int, version: int) -> None:
    """Count a proven message of a known template."""
    if version > feed.version_read:
        feed.version_read = version
    feed.messages[feed.places[template_id] - 1] += 1


@compiled
def set_progress(feed: StarbaseFeed, index: int, progress: Progress) -> None:
    proof = feed.proofs[index]
    before = proof.progress
    if before == Progress.PROVEN and progress != Progress.PROVEN:
        feed.waiting += 1
    elif before != Progress.PROVEN and progress == Progress.PROVEN:
        feed.waiting -= 1
    proof.progress = progress


@inlined
def publish(feed: StarbaseFeed, market: Market, events: Events, index: int) -> None:
    """Make the book valid or not, as it is proven, and tell."""
    proof = feed.proofs[index]
    is_proven = (
        proof.progress == Progress.PROVEN
        and proof.is_halted == 0
        and proof.is_touched == 0
        and feed.channels[proof.channel - 1].is_suspect == 0
        and sees_best(market.books[index])
    )
    publish_proof(proof, is_proven, market, events, index, feed.last_exchange_time_ns)


@outlined
def publish_apart(feed: StarbaseFeed, market: Market, events: Events, index: int) -> None:
    """Do `publish` where it is rare."""
    publish(feed, market, events, index)


@compiled
def publish_channel(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Publish every proven book of a channel."""
    for index in range(min(market.count, MAP_INSTRUMENTS_MAX)):
        proof = feed.proofs[index]
        if proof.channel == slot + 1 and proof.progress == Progress.PROVEN:
            publish_apart(feed, market, events, index)


@outlined
def lose_queue(feed: StarbaseFeed, market: Market, events: Events, index: int) -> None:
    """Wait for a snapshot: the orders can't be trusted any more."""
    set_progress(feed, index, Progress.LOST)
    publish_apart(feed, market, events, index)


@inlined
def touch(feed: StarbaseFeed, slot: int, index: int) -> None:
    """Remember that the transaction at hand changed a book."""
    proof = feed.proofs[index]
    if proof.is_touched == 0:
        channel = feed.channels[slot]
        proof.is_touched = 1
        proof.next_touched = channel.touched
        channel.touched = index + 1


@inlined
def close_transaction(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Show what a transaction did, now that it is complete."""
    channel = feed.channels[slot]
    channel.in_transaction = 0
    channel.taker_instrument = 0
    touched = channel.touched
    channel.touched = 0
    while touched != 0:
        proof = feed.proofs[touched - 1]
        proof.is_touched = 0
        publish(feed, market, events, touched - 1)
        touched = proof.next_touched


@outlined
def close_apart(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Do `close_transaction` where it is rare."""
    close_transaction(feed, market, events, slot)


@outlined
def hold_open_books(feed: StarbaseFeed, market: Market, slot: int) -> None:
    """Hide the books of a transaction that the packet breaks off, unless the strategy asks for its half."""
    touched = feed.channels[slot].touched
    while touched != 0:
        book = market.books[touched - 1]
        if feed.act_on_trades == 0:
            book.valid = 0
        elif book.valid != 0:
            refresh_top(book)
        touched = feed.proofs[touched - 1].next_touched


@outlined
def put_into_full_book(
    feed: StarbaseFeed, queue: OrderQueue, book: Book, put: Put, side: int, ticks: int, lots: int
) -> bool:
    """Make room for an order that had none, and put it, unless its price was among those let go."""
    while let_go_far_orders(queue, book):
        if is_beyond(book, side, ticks):
            return True
        if put_order(queue, book, put.order_id, side, ticks, lots, put.sort_order_id) != NONE:
            return True
    return reject(feed, Reject.BOOK_FULL)


@inlined
def apply_change(feed: StarbaseFeed, market: Market, index: int, template_id: int, block: int) -> bool:
    """Apply one of the six book messages; False if it contradicts the book or there is no room for it."""
    queue = feed.queues[index]
    book = market.books[index]
    proof = feed.proofs[index]
    if template_id <= Template.ASK_PUT:
        put = view(Put, block)
        ticks = to_ticks(proof, put.price_e9)
        lots = to_lots(feed, proof, put.quantity_mantissa)
        if lots < 0 or not is_price(proof, put.price_e9, ticks):
            return reject(feed, Reject.BAD_VALUE)
        side = template_id - Template.BID_PUT
        if is_beyond(book, side, ticks):
            delete_order(queue, book, put.order_id)  # it may have been nearer before
            book.pages.levels_let_go += 1
            return True
        if put_order(queue, book, put.order_id, side, ticks, lots, put.sort_order_id) == NONE:
            return put_into_full_book(feed, queue, book, put, side, ticks, lots)
        return True
    position = find_entry(queue, view(Delete, block).order_id)
    slot = slot_at(queue, position)
    if slot == NONE:
        return is_unknown_order_right(feed, book)
    # Templates come in pairs, the bid's is even.
    if queue.orders[slot].side != template_id & 1:
        feed.continuity_breaks += 1
        return False
    if template_id <= Template.ASK_QUANTITY_REDUCED:
        lots = to_lots(feed, proof, view(QuantityReduced, block).quantity_mantissa)
        if lots < 0 or lots > queue.orders[slot].qty_lots:
            return reject(feed, Reject.BAD_VALUE)
        reduce_slot(queue, book, slot, lots)
        return True
    delete_entry(queue, book, position)
    return True


@outlined
def is_unknown_order_right(feed: StarbaseFeed, book: Book) -> bool:
    """Tell whether an order that is not there may be one of those that were let go."""
    if book.pages.is_cut != 0:
        return True
    feed.continuity_breaks += 1
    return False


@outlined
def change_channel(feed: StarbaseFeed, market: Market, events: Events, index: int, slot: int) -> None:
    """Note which channel carries an instrument, which is known for sure only with the first change."""
    proof = feed.proofs[index]
    if proof.progress != Progress.LOST:
        lose_queue(feed, market, events, index)
    proof.channel = slot + 1


@outlined
def apply_apart(feed: StarbaseFeed, market: Market, index: int, template_id: int, block: int) -> bool:
    """Do `apply_change` where it is rare."""
    return apply_change(feed, market, index, template_id, block)


@inlined
def change_book(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, template_id: int) -> None:
    """Apply one of the six book messages, the next of its incremental channel."""
    block = address + size_of(MessageHeader)
    index = known_instrument(feed, view(Delete, block).instrument_id)
    if index < 0:
        return
    proof = feed.proofs[index]
    if proof.channel != slot + 1:
        change_channel(feed, market, events, index, slot)
    sequence = feed.channels[slot].next
    if proof.progress != Progress.PROVEN or sequence <= proof.applied:
        return
    if not apply_change(feed, market, index, template_id, block):
        lose_queue(feed, market, events, index)
        return
    feed.level_updates += 1
    book = market.books[index]
    book.update_id = sequence
    book.exchange_time_ns = feed.last_exchange_time_ns
    book.receive_time_ns = feed.time_ns
    touch(feed, slot, index)
