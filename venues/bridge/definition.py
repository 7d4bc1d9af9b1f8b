"""An instrument's definition on the bridge feed, and what it makes an instrument of."""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.layout import UNIT_E9_MAX, InstrumentDefinition
from crosswire.venues.instrument import CURRENCY_BYTES, SYMBOL_BYTES, Kind, Payoff, multiply_e9
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Market


@compiled
def is_definition_damaged(definition: InstrumentDefinition) -> bool:
    """Tell whether an instrument's terms can't be any instrument's."""
    return (
        definition.kind > Kind.COMBO
        or definition.payoff > Payoff.INVERSE
        or not 0 < definition.tick_e9 <= UNIT_E9_MAX
        or not 0 < definition.lot_e9 <= UNIT_E9_MAX
        or not 0 < definition.contract_e9 <= UNIT_E9_MAX
    )


@compiled
def discover_instrument(venue: int, definition: InstrumentDefinition, market: Market) -> int:
    """Append the instrument to the market; its index, or -1 when the market is full."""
    if market.count >= market.capacity or market.count >= MAP_INSTRUMENTS_MAX:
        return -1
    index = market.count
    market.count += 1
    instrument = market.instruments[index]
    instrument.index = index
    instrument.venue = venue
    instrument.kind = definition.kind
    instrument.payoff = definition.payoff
    instrument.tick_e9 = definition.tick_e9
    instrument.lot_e9 = definition.lot_e9
    instrument.tick_lot_e9 = multiply_e9(definition.tick_e9, definition.lot_e9)
    instrument.contract_e9 = definition.contract_e9
    instrument.maker_fee_e9 = definition.maker_fee_e9
    instrument.taker_fee_e9 = definition.taker_fee_e9
    instrument.expiry_ns = definition.expiry_ns
    instrument.ticks_per_unit = 1e9 / definition.tick_e9
    instrument.lots_per_unit = 1e9 / definition.lot_e9
    copy_bytes(address_of(instrument.symbol), address_of(definition.symbol), SYMBOL_BYTES)
    copy_bytes(address_of(instrument.base), address_of(definition.base), CURRENCY_BYTES)
    copy_bytes(address_of(instrument.quote), address_of(definition.quote), CURRENCY_BYTES)
    copy_bytes(address_of(instrument.settlement), address_of(definition.settlement), CURRENCY_BYTES)
    return index
