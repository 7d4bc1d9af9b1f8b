"""Small markets and connections that the order tests share."""

from crosswire.nic.memory.struct import Array
from crosswire.nic.packet import Flow
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import make_books
from crosswire.venues.instrument import Instrument, Kind, Payoff
from crosswire.venues.market import Market
from crosswire.venues.order import Approval, Order, OrderTable, new_order

TAKER_FEE_E9 = 500_000  # 5 bps
MAKER_FEE_E9 = 200_000  # 2 bps
VENUE = 1
FIRST_VENUE_ID = 700


@compiled
def open_order(
    table: OrderTable,
    venue: int,
    instrument: int,
    side: int,
    time_in_force: int,
    price_ticks: int,
    qty_lots: int,
    now_ns: int,
) -> Order:
    """A new order with these terms."""
    order = new_order(table, now_ns)
    order.venue = venue
    order.instrument = instrument
    order.side = side
    order.time_in_force = time_in_force
    order.price_ticks = price_ticks
    order.qty_lots = qty_lots
    return order


def make_market(count: int = 1, level_capacity: int = 256) -> Market:
    """`count` linear perpetuals of VENUE, tick 0.1, lot 0.001, with ids from FIRST_VENUE_ID and proven, empty books."""
    market = Market(count=count, capacity=count)
    market.instruments = Instrument.array(count)
    market.books = make_books(count, level_capacity)
    for index in range(count):
        set_terms(market.instruments[index], index)
        market.books[index].valid = 1
    return market


def set_terms(instrument: Instrument, index: int) -> None:
    instrument.index = index
    instrument.venue = VENUE
    instrument.venue_id = FIRST_VENUE_ID + index
    instrument.kind = Kind.PERPETUAL
    instrument.payoff = Payoff.LINEAR
    instrument.tick_e9 = 100_000_000
    instrument.lot_e9 = 1_000_000
    instrument.tick_lot_e9 = 100_000
    instrument.contract_e9 = 1_000_000_000
    instrument.taker_fee_e9 = TAKER_FEE_E9
    instrument.maker_fee_e9 = MAKER_FEE_E9
    instrument.ticks_per_unit = 10.0
    instrument.lots_per_unit = 1000.0


def make_flow() -> Flow:
    """The order connection, from the engine to the exchange."""
    return Flow(
        source_mac=0x02_00_00_00_00_01,
        destination_mac=0x02_00_00_00_00_02,
        source_ip=0x0A_00_00_01,
        destination_ip=0x0A_00_00_02,
        source_port=40_001,
        destination_port=7_001,
    )


def make_approval(
    client_order_id: int, side: int, time_in_force: int, price_ticks: int, qty_lots: int, instrument: int = 0
) -> Approval:
    """What the risk gate hands to a session for one order."""
    return Approval(
        armed=1,
        client_order_id=client_order_id,
        instrument=instrument,
        side=side,
        time_in_force=time_in_force,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
    )


def structs(array: Array, count: int) -> list[dict[str, int]]:
    """The first `count` elements as plain values."""
    return [{name: getattr(array[index], name) for name in array.element.fields} for index in range(count)]
