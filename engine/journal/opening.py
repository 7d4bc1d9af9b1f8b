"""The beginning of a run: take over what the last one has left, and write down what that is."""

import time

from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import Core
from crosswire.engine.config import RunConfig
from crosswire.engine.journal.carry import ACCOUNT_NAME, HELD, Carried, CarriedOrder, kind_of
from crosswire.engine.orders import move_open
from crosswire.engine.records import IDS_RESERVED
from crosswire.engine.report.facts import strategy_names
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.journal.reader import JournalError
from crosswire.nic.memory.struct import Struct, clear_struct
from crosswire.risk.ledger import count_instrument
from crosswire.risk.position import Position
from crosswire.risk.records import (
    ACCOUNT,
    VERSION,
    ExecutionsRecord,
    HoldingRecord,
    IdsRecord,
    OpenedRecord,
    OrderCarried,
)
from crosswire.venues.order import ORDERS_BITS, ORDERS_MAX, Order, OrderState, is_open


def write_record(journal: Journal, cls: type[Struct], **fields: int) -> None:
    """Write one record, its other fields zero; only while no loop writes to the journal."""
    record = cls.at(begin_record(journal, cls.size))
    clear_struct(record)
    for name, value in fields.items():
        setattr(record, name, value)
    commit_record(journal, kind_of(cls), VERSION, cls.size, time.time_ns())


def take_over(core: Core, config: RunConfig, carried: Carried) -> None:
    """Begin with what an earlier run has left. JournalError names what this configuration has no place for."""
    engine, strategies = core.engine, strategy_names(config)
    places = {name: index for index, name in enumerate(instrument_names(config))}
    for (strategy, instrument), held in carried.holdings.items():
        if instrument not in places:
            if held.position_lots != 0:
                raise JournalError(
                    f"{carried.folder}: {held.position_lots} lots of {instrument} are held, and the configuration lacks"
                    " that instrument: add it"
                )
            continue
        if strategy == ACCOUNT_NAME:
            copy_holding(engine.gate.positions[places[instrument]], held)
        elif strategy in strategies:
            number = strategies.index(strategy)
            copy_holding(engine.seats[number].desk.positions[places[instrument]], held)
            copy_holding(engine.gate.own_positions[number * engine.market.count + places[instrument]], held)
    for index in range(engine.market.count):
        count_instrument(engine.gate, index)
    for number, venue in enumerate(config.venue):
        engine.orders.last_execution_ids[number] = carried.execution_ids.get(venue.name, 0)
    # Above all that may have been given, whether it was or not.
    engine.orders.counter = carried.reserved_id >> ORDERS_BITS
    engine.gate.last_client_order_id = carried.reserved_id
    for client_order_id, order in carried.orders.items():
        if order.instrument not in places:
            raise JournalError(
                f"{carried.folder}: what became of order {client_order_id} of {order.instrument} is not known, and the"
                " configuration lacks that instrument: add it"
            )
        restore_order(core, client_order_id, order, places[order.instrument], strategies)


def copy_holding(position: Position, held: Position) -> None:
    """Take over what is held."""
    for name in HELD:
        setattr(position, name, getattr(held, name))


def restore_order(
    core: Core, client_order_id: int, carried: CarriedOrder, instrument: int, strategies: list[str]
) -> None:
    """Put an order whose end is not known back where it was."""
    engine = core.engine
    table, slot = engine.orders, client_order_id & (ORDERS_MAX - 1)
    free = [table.free_slots[place] for place in range(ORDERS_MAX - table.count)]
    free.remove(slot)
    for place, each in enumerate(free):
        table.free_slots[place] = each
    table.count += 1
    order = table.orders[slot]
    clear_struct(order)
    for name in carried.terms:
        setattr(order, name, carried.terms[name])
    order.venue, order.instrument = engine.market.instruments[instrument].venue, instrument
    # Of a strategy that is gone the first one bears it: the account is right either way.
    order.strategy = strategies.index(carried.strategy) if carried.strategy in strategies else 0
    order.state = OrderState.LIVE if order.exchange_order_id else OrderState.PENDING_NEW
    order.acked_ns = int(order.exchange_order_id != 0)
    order.is_restored = 1
    engine.gate.venues[order.venue].open_orders += 1
    if order.is_quote and order.state == OrderState.PENDING_NEW:
        engine.gate.positions[instrument].quotes_pending += 1
    move_open(engine, order, 1, order.qty_lots - order.filled_lots)


def write_opening(core: Core, config: RunConfig, carried: Carried | None) -> None:
    """Write down all that was taken over, and reserve the first order ids."""
    engine = core.engine
    journal, count = engine.journal, engine.market.count
    accounts = [(ACCOUNT, engine.gate.positions)]
    accounts += [(number, engine.seats[number].desk.positions) for number in range(engine.seat_count)]
    holdings = 0
    for strategy, positions in accounts:
        for index in range(count):
            fields = {name: getattr(positions[index], name) for name in HELD}
            if any(fields.values()):
                write_record(journal, HoldingRecord, instrument=index, strategy=strategy, **fields)
                holdings += 1
    orders = open_orders(core)
    for order in orders:
        write_record(journal, OrderCarried, **{name: getattr(order, name) for name in OrderCarried.fields})
    for number, venue in enumerate(config.venue):
        # Of a venue that has told nobody its account it is not known which fills are in our positions.
        if carried is not None and venue.name in carried.execution_ids:
            execution_id = engine.orders.last_execution_ids[number]
            write_record(journal, ExecutionsRecord, venue=number, execution_id=execution_id)
    engine.orders.reserved = engine.orders.counter + IDS_RESERVED
    write_record(journal, IdsRecord, reserved_id=engine.orders.reserved << ORDERS_BITS)
    write_record(journal, OpenedRecord, holdings=holdings, orders=len(orders))


def open_orders(core: Core) -> list[Order]:
    """List the orders that are open."""
    table = core.engine.orders
    slots = table.orders.numpy()["state"].nonzero()[0]
    return [table.orders[int(slot)] for slot in slots if is_open(table.orders[int(slot)])]
