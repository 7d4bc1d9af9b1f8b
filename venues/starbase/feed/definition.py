"""Instrument definitions and what else is told of an instrument: its status, price band, mark price; and index prices.

An instrument's price grid is the greatest common divisor of its tick size and of all its larger ticks, so that every
price lies on it. Its lot is the smallest order. The wire tells no contract size and no fees: those are not compared.
"""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.feed import Reject, known_instrument, note_mismatch, reject
from crosswire.venues.instrument import CURRENCY_BYTES, E9, SYMBOL_BYTES, Instrument, Kind, Payoff, common_divisor
from crosswire.venues.market import (
    MAP_INSTRUMENTS_MAX,
    Events,
    Market,
    add_instrument,
    find_instrument,
    find_symbol,
    same_symbol,
)
from crosswire.venues.starbase.feed.book_messages import UNITS_MAX, lose_queue, publish
from crosswire.venues.starbase.feed.state import INDICES_MAX, StarbaseFeed
from crosswire.venues.starbase.wire.longer_roots import find_groups, tail_of
from crosswire.venues.starbase.wire.market_layout import (
    MESSAGE_ALIGNMENT_BYTES,
    MESSAGES,
    NAME_BYTES,
    VERSION,
    IndexInfo,
    InstrumentDefinition,
    InstrumentFlags,
    InstrumentInfo,
    InstrumentStatus,
    InstrumentStatusUpdate,
    InstrumentType,
    LargeTickSize,
    MessageHeader,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import GroupHeader

EXPONENT_MIN = -9  # of quantities: a finer one has no 1e-9 unit
EXPONENT_MAX = 8
UNIT_E9_MAX = 1 << 60  # a tick or lot beyond 1e9 units is damage
PRODUCT_MAX = 1 << 62  # of tick and lot, 1e-18 of the quote currency
_TAIL = next(tail_of(each) for each in MESSAGES if each.template_id == Template.INSTRUMENT_DEFINITION)
IS_REVERSED = int(InstrumentFlags.IS_REVERSED)


@compiled
def unit_e9_of(exponent: int) -> int:
    """Size of a mantissa of 1, 1e-9 of the size currency, for EXPONENT_MIN to EXPONENT_MAX."""
    unit = 1
    for _ in range(exponent - EXPONENT_MIN):
        unit *= 10
    return unit


@compiled
def grid_e9(definition: InstrumentDefinition, version: int, end: int) -> int:
    """The instrument's price grid, 0 if it makes no sense or its group of larger ticks ends after `end`."""
    grid = definition.tick_size_e9
    if not 0 < grid <= UNIT_E9_MAX:
        return 0
    group = address_of(definition) + size_of(InstrumentDefinition)
    if version > VERSION:
        group = find_groups(_TAIL, group, end, MESSAGE_ALIGNMENT_BYTES - 1)
        if group == 0:
            return 0
    if end - group < size_of(GroupHeader):
        return 0
    count = view(GroupHeader, group).count
    stride = view(GroupHeader, group).block_length
    first = group + size_of(GroupHeader)
    if count * stride > end - first or (count != 0 and stride < size_of(LargeTickSize)):
        return 0
    for position in range(count):
        large = view(LargeTickSize, first + position * stride).large_tick_size_e9
        if not 0 < large <= UNIT_E9_MAX:
            return 0
        grid = common_divisor(grid, large)
    return grid


@compiled
def lot_e9_of(definition: InstrumentDefinition) -> int:
    """The smallest order, 1e-9 of the size currency; 0 if it makes no sense."""
    exponent = definition.quantity_exponent
    minimum = definition.min_order_quantity
    if exponent < EXPONENT_MIN or exponent > EXPONENT_MAX or minimum <= 0:
        return 0
    unit = unit_e9_of(exponent)
    return minimum * unit if minimum <= UNIT_E9_MAX // unit else 0


@compiled
def kind_of(definition: InstrumentDefinition) -> int:
    if definition.type == InstrumentType.PERP_FUTURE:
        return Kind.PERPETUAL
    if definition.type == InstrumentType.DATED_FUTURE:
        return Kind.FUTURE
    if definition.type == InstrumentType.OPTION:
        return Kind.OPTION
    return Kind.SPOT if definition.type == InstrumentType.SPOT else Kind.COMBO


@compiled
def payoff_of(definition: InstrumentDefinition) -> int:
    """Linear, in the units used here: options are quoted in coins and sized in coins, whatever the flag says."""
    is_future = definition.type == InstrumentType.PERP_FUTURE or definition.type == InstrumentType.DATED_FUTURE
    return Payoff.INVERSE if is_future and definition.flags & IS_REVERSED != 0 else Payoff.LINEAR


@compiled
def read_definition(
    feed: StarbaseFeed, market: Market, events: Events, definition: InstrumentDefinition, message: MessageHeader
) -> None:
    """Compare an InstrumentDefinition with the instrument it names, or take it up, and map the venue's id."""
    tick_e9 = grid_e9(definition, message.version, address_of(message) + message.length)
    lot_e9 = lot_e9_of(definition)
    if tick_e9 == 0 or lot_e9 == 0 or definition.instrument_id < 0:
        reject(feed, Reject.BAD_VALUE)
        return
    index = name_instrument(feed, market, events, definition, tick_e9, lot_e9)
    if index < 0:
        reject(feed, Reject.UNKNOWN_INSTRUMENT)
        return
    instrument = market.instruments[index]
    agrees = (
        instrument.tick_e9 == tick_e9 and instrument.lot_e9 == lot_e9 and instrument.payoff == payoff_of(definition)
    )
    is_usable = (agrees or feed.ignores_definitions != 0) and fill_proof(
        feed, index, instrument, definition.quantity_exponent
    )
    if not (agrees and is_usable):
        note_mismatch(feed)
    if not is_usable:
        unmap_instrument(feed, market, events, index)
        return
    if instrument.venue_id != definition.instrument_id:
        unmap_instrument(feed, market, events, index)
        if not add_instrument(feed.map, definition.instrument_id, index):
            reject(feed, Reject.UNKNOWN_INSTRUMENT)
            return
        instrument.venue_id = definition.instrument_id
    set_status(feed, market, events, index, definition.status, message.transact_time_ns)


@compiled
def name_instrument(
    feed: StarbaseFeed, market: Market, events: Events, definition: InstrumentDefinition, tick_e9: int, lot_e9: int
) -> int:
    """Find the instrument that a definition names, taken up if that is allowed; its market index, or -1."""
    length = 0
    while length < NAME_BYTES and definition.name[length] != 0:
        length += 1
    if length == 0 or length > SYMBOL_BYTES:
        return -1
    index = find_instrument(feed.map, definition.instrument_id)
    if index >= 0:
        if same_symbol(market.instruments[index].symbol, definition.name, length):
            return index
        unmap_instrument(feed, market, events, index)  # the id now means another instrument
    index = find_symbol(market, feed.venue, definition.name, length)
    if index >= 0:
        return index if index < MAP_INSTRUMENTS_MAX else -1
    if feed.discover == 0 or market.count >= min(market.capacity, MAP_INSTRUMENTS_MAX):
        return -1
    index = market.count
    market.count += 1
    feed.waiting += 1
    instrument = market.instruments[index]
    instrument.index = index
    instrument.venue = feed.venue
    instrument.venue_id = -1
    instrument.underlying = index  # nobody trades what `discover` finds: no exposures to add up
    instrument.kind = kind_of(definition)
    instrument.payoff = payoff_of(definition)
    instrument.tick_e9 = tick_e9
    instrument.lot_e9 = lot_e9
    if instrument.payoff == Payoff.LINEAR and tick_e9 <= PRODUCT_MAX // lot_e9:
        instrument.tick_lot_e9 = tick_e9 * lot_e9 // E9
    instrument.contract_e9 = lot_e9
    instrument.expiry_ns = max(0, definition.expiry_ns)
    instrument.ticks_per_unit = E9 / tick_e9
    instrument.lots_per_unit = E9 / lot_e9
    copy_bytes(address_of(instrument.symbol), address_of(definition.name), length)
    copy_bytes(address_of(instrument.base), address_of(definition.underlying), CURRENCY_BYTES)
    copy_bytes(address_of(instrument.quote), address_of(definition.price_asset), CURRENCY_BYTES)
    is_inverse = instrument.payoff == Payoff.INVERSE
    settlement = address_of(definition.underlying) if is_inverse else address_of(definition.price_asset)
    copy_bytes(address_of(instrument.settlement), settlement, CURRENCY_BYTES)
    return index


@compiled
def fill_proof(feed: StarbaseFeed, index: int, instrument: Instrument, exponent: int) -> bool:
    """Set how the instrument's wire numbers become lots and ticks; False if lots would be out of range at once."""
    proof = feed.proofs[index]
    unit_e9 = unit_e9_of(exponent)
    divisor = common_divisor(unit_e9, instrument.lot_e9)
    proof.multiply = unit_e9 // divisor
    proof.divide = instrument.lot_e9 // divisor
    proof.mantissa_max = UNITS_MAX // proof.multiply
    proof.lots_per_unit = 1.0 / proof.divide
    proof.tick_e9 = instrument.tick_e9
    proof.ticks_per_e9 = 1.0 / instrument.tick_e9
    proof.is_signed = 1 if instrument.kind == Kind.COMBO else 0
    return proof.mantissa_max >= proof.divide


@compiled
def unmap_instrument(feed: StarbaseFeed, market: Market, events: Events, index: int) -> None:
    """Take an instrument's venue id away: nothing that the wire says is applied to it any more."""
    instrument = market.instruments[index]
    if instrument.venue_id >= 0:
        add_instrument(feed.map, instrument.venue_id, -1)
        instrument.venue_id = -1
        lose_queue(feed, market, events, index)
        feed.proofs[index].channel = 0
        feed.proofs[index].status_time_ns = 0


@compiled
def set_status(
    feed: StarbaseFeed, market: Market, events: Events, index: int, status: int, transact_time_ns: int
) -> None:
    """Note whether the instrument trades, as the venue says; its book is kept up either way.

    A snapshot cycle repeats definitions that may be older than the last update.
    """
    proof = feed.proofs[index]
    if transact_time_ns < proof.status_time_ns:
        return
    proof.status_time_ns = transact_time_ns
    is_halted = 0 if status == InstrumentStatus.OPEN else 1
    if proof.is_halted != is_halted:
        proof.is_halted = is_halted
        publish(feed, market, events, index)


@compiled
def read_status(
    feed: StarbaseFeed, market: Market, events: Events, update: InstrumentStatusUpdate, transact_time_ns: int
) -> None:
    """Read an InstrumentStatusUpdate. A status that the layout does not list is no OPEN."""
    index = known_instrument(feed, update.instrument_id)
    if index < 0:
        return
    set_status(feed, market, events, index, update.trading_status, transact_time_ns)


@compiled
def read_info(feed: StarbaseFeed, info: InstrumentInfo, transact_time_ns: int) -> None:
    """Read an InstrumentInfo, unless a later one is known: snapshot cycles repeat them."""
    index = known_instrument(feed, info.instrument_id)
    if index < 0:
        return
    own = feed.infos[index]
    if transact_time_ns >= own.time_ns:
        own.time_ns = transact_time_ns
        own.min_sell_price_e9 = info.min_sell_price_e9
        own.max_buy_price_e9 = info.max_buy_price_e9
        own.mark_price_e9 = info.mark_price_e9


@compiled
def read_index(feed: StarbaseFeed, info: IndexInfo, transact_time_ns: int) -> None:
    """Read an IndexInfo, unless a later one is known, or INDICES_MAX other indices are."""
    place = 0
    while place < feed.index_count and feed.indices[place].index_id != info.index_id:
        place += 1
    if place == INDICES_MAX:
        return
    feed.index_count = max(feed.index_count, place + 1)
    own = feed.indices[place]
    if transact_time_ns >= own.time_ns:
        own.index_id = info.index_id
        own.time_ns = transact_time_ns
        own.price_e9 = info.index_price_e9
