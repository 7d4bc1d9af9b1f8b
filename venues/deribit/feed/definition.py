"""Instrument definitions: matching them with the configured instruments, or taking them up.

An instrument's price grid is the greatest common divisor of its tick size and of all its tick steps, so that every
price lies on it: Deribit's BTC options trade in 0.0001 up to 0.001, in 0.0002 above.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, size_of, u8, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.deribit.feed.recovery import lose_chain, set_trading_state
from crosswire.venues.deribit.feed.state import DeribitFeed, Progress, SnapshotMode, Terms
from crosswire.venues.deribit.wire.layout import (
    NULL_ENUM,
    InstrumentKind,
    InstrumentState,
    InstrumentType,
    InstrumentV2,
    Period,
    TextHeader,
    TickStepEntry,
)
from crosswire.venues.deribit.wire.layout import Instrument as InstrumentMessage
from crosswire.venues.deribit.wire.walk import BAD, prove_block, to_nanoseconds, to_units
from crosswire.venues.feed import Reject, note_mismatch, reject
from crosswire.venues.instrument import (
    CURRENCY_BYTES,
    E9,
    SYMBOL_BYTES,
    Instrument,
    Kind,
    Payoff,
    common_divisor,
    has_terms,
)
from crosswire.venues.market import (
    MAP_INSTRUMENTS_MAX,
    Events,
    Market,
    add_instrument,
    find_instrument,
    find_symbol,
    same_symbol,
)

PRODUCT_MAX = 1 << 62  # of tick and lot, 1e-18 of the quote currency: 4.6 a lot and tick
ONE_E9 = float(E9)


class Name(Struct, packed=True):
    """Text of up to SYMBOL_BYTES; only as many bytes as its length says are read."""

    text: Annotated[Array, u8, SYMBOL_BYTES]


@compiled
def read_instrument(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read an Instrument message; False ends the packet."""
    if feed.block.root_length < size_of(InstrumentMessage):
        reject(feed, Reject.SHORT_BLOCK)
        return True
    feed.entries.count = 0  # it has no tick steps
    if read_terms(feed, view(InstrumentMessage, feed.block.root)):
        take_definition(feed, market, events, 0)
    else:
        reject(feed, Reject.BAD_VALUE)
    return True


@compiled
def read_instrument_v2(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read an InstrumentV2 message; False ends the packet."""
    if not prove_block(feed, size_of(InstrumentV2), size_of(TickStepEntry)):
        return True
    if read_terms(feed, view(InstrumentV2, feed.block.root)):
        take_definition(feed, market, events, 1)
    else:
        reject(feed, Reject.BAD_VALUE)
    return True


@compiled
def take_definition(feed: DeribitFeed, market: Market, events: Events, is_v2: int) -> None:
    """Compare `feed.terms` with the instrument they name, or fill them in, and map the venue's id."""
    terms = feed.terms
    index = name_instrument(feed, market, events)
    if index < 0:
        reject(feed, Reject.UNKNOWN_INSTRUMENT)
        return
    proof = feed.proofs[index]
    instrument = market.instruments[index]
    if is_v2 == 0 and proof.from_v2 != 0:
        return
    if not has_terms(instrument, terms.tick_e9, terms.lot_e9, terms.contract_e9, terms.payoff):
        if feed.ignores_definitions != 0:
            note_mismatch(feed)
        elif feed.discover == 0 or proof.from_v2 != 0:
            note_mismatch(feed)
            unmap_instrument(feed, market, events, index)
            return
        else:
            lose_chain(feed, market, events, index)
            fill_terms(instrument, terms)
    proof.from_v2 = is_v2
    if instrument.venue_id != terms.instrument_id:
        unmap_instrument(feed, market, events, index)
        if not add_instrument(feed.map, terms.instrument_id, index):
            reject(feed, Reject.UNKNOWN_INSTRUMENT)
            return
        instrument.venue_id = terms.instrument_id
        proof.progress = Progress.NEW
        proof.snapshot_mode = SnapshotMode.NONE
    if terms.state != NULL_ENUM:
        set_trading_state(feed, market, events, index, 0 if terms.state == InstrumentState.OPEN else 1)


@compiled
def name_instrument(feed: DeribitFeed, market: Market, events: Events) -> int:
    """Find the instrument that the message in `feed.block` names, taken up if that is allowed; its index, or -1."""
    terms = feed.terms
    length = view(TextHeader, feed.block.texts).length
    name = view(Name, feed.block.texts + size_of(TextHeader)).text
    index = find_instrument(feed.map, terms.instrument_id)
    if index >= 0:
        if same_symbol(market.instruments[index].symbol, name, length):
            return index
        unmap_instrument(feed, market, events, index)  # the id now means another instrument
    index = find_symbol(market, feed.venue, name, length)
    if index >= 0:
        return index if index < MAP_INSTRUMENTS_MAX else -1
    if feed.discover == 0 or market.count >= min(market.capacity, MAP_INSTRUMENTS_MAX):
        return -1
    index = market.count
    market.count += 1
    instrument = market.instruments[index]
    instrument.index = index
    instrument.venue = feed.venue
    instrument.venue_id = -1
    instrument.underlying = index  # nobody trades what `discover` finds: no exposures to add up
    copy_bytes(address_of(instrument.symbol), address_of(name), length)
    copy_bytes(address_of(instrument.base), terms.base, CURRENCY_BYTES)
    copy_bytes(address_of(instrument.quote), terms.quote, CURRENCY_BYTES)
    copy_bytes(address_of(instrument.settlement), terms.settlement, CURRENCY_BYTES)
    fill_terms(instrument, terms)
    return index


@compiled
def unmap_instrument(feed: DeribitFeed, market: Market, events: Events, index: int) -> None:
    """Take an instrument's venue id away: nothing that the wire says is applied to it any more."""
    instrument = market.instruments[index]
    if instrument.venue_id >= 0:
        add_instrument(feed.map, instrument.venue_id, -1)
        instrument.venue_id = -1
        feed.proofs[index].channel_key = 0
        lose_chain(feed, market, events, index)


@compiled
def read_terms(feed: DeribitFeed, message: InstrumentMessage | InstrumentV2) -> bool:
    """Fill `feed.terms`; False if there is no name that fits, or a value makes no sense."""
    if feed.block.texts == 0:
        return False
    length = view(TextHeader, feed.block.texts).length
    if length == 0 or length > SYMBOL_BYTES:
        return False
    terms = feed.terms
    terms.instrument_id = message.instrument_id
    terms.state = message.state
    terms.base = address_of(message.base_currency)
    terms.quote = address_of(message.quote_currency)
    terms.settlement = address_of(message.settlement_currency)
    terms.tick_e9 = to_units(message.tick_size, ONE_E9)
    terms.lot_e9 = to_units(message.min_trade_amount, ONE_E9)
    terms.contract_e9 = to_units(message.contract_size, ONE_E9)
    terms.maker_fee_e9 = to_units(message.maker_commission, ONE_E9)
    terms.taker_fee_e9 = to_units(message.taker_commission, ONE_E9)
    if terms.tick_e9 <= 0 or terms.lot_e9 <= 0 or terms.contract_e9 <= 0:
        return False
    if terms.maker_fee_e9 == BAD or terms.taker_fee_e9 == BAD:
        return False
    for position in range(feed.entries.count):
        step = view(TickStepEntry, feed.entries.first + position * feed.entries.stride)
        step_e9 = to_units(step.tick_size, ONE_E9)
        if step_e9 <= 0:
            return False
        terms.tick_e9 = common_divisor(terms.tick_e9, step_e9)
    terms.kind = to_kind(message.kind, message.settlement_period)
    # "reversed" alone does not tell: Deribit's BTC options are, yet they are sized and priced in BTC.
    is_inverse = message.instrument_type == InstrumentType.REVERSED and message.kind == InstrumentKind.FUTURE
    terms.payoff = Payoff.INVERSE if is_inverse else Payoff.LINEAR
    if terms.payoff == Payoff.LINEAR and terms.tick_e9 > PRODUCT_MAX // terms.lot_e9:
        return False
    terms.expiry_ns = 0
    if terms.kind == Kind.FUTURE or terms.kind == Kind.OPTION or terms.kind == Kind.COMBO:
        terms.expiry_ns = max(0, to_nanoseconds(message.expiration_timestamp_ms))
    return True


@compiled
def to_kind(kind: int, settlement_period: int) -> int:
    if kind == InstrumentKind.FUTURE:
        return Kind.PERPETUAL if settlement_period == Period.PERPETUAL else Kind.FUTURE
    if kind == InstrumentKind.OPTION:
        return Kind.OPTION
    return Kind.SPOT if kind == InstrumentKind.SPOT else Kind.COMBO


@compiled
def fill_terms(instrument: Instrument, terms: Terms) -> None:
    instrument.kind = terms.kind
    instrument.payoff = terms.payoff
    instrument.tick_e9 = terms.tick_e9
    instrument.lot_e9 = terms.lot_e9
    instrument.tick_lot_e9 = terms.tick_e9 * terms.lot_e9 // E9 if terms.payoff == Payoff.LINEAR else 0
    instrument.contract_e9 = terms.contract_e9
    instrument.maker_fee_e9 = terms.maker_fee_e9
    instrument.taker_fee_e9 = terms.taker_fee_e9
    instrument.expiry_ns = terms.expiry_ns
    instrument.ticks_per_unit = E9 / terms.tick_e9
    instrument.lots_per_unit = E9 / terms.lot_e9
