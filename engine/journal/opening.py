"""The beginning of a run: take over what the last one has left, and write down what that is."""

import time
from collections.abc import Sequence
from decimal import Decimal

from crosswire.engine.build.market import instrument_names, underlying_names
from crosswire.engine.build.run import Core
from crosswire.engine.config import RunConfig
from crosswire.engine.journal.carry import ACCOUNT_NAME, HELD, NO_NUMBERS, Carried, CarriedOrder, kind_of
from crosswire.engine.orders import move_open
from crosswire.engine.records import IDS_RESERVED
from crosswire.engine.report.currency import e9
from crosswire.engine.report.facts import strategy_names
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.journal.reader import JournalError
from crosswire.nic.memory.struct import Struct, clear_struct
from crosswire.risk.ledger import count_instrument
from crosswire.risk.position import Position
from crosswire.risk.records import (
    ACCOUNT,
    VERSION,
    DoubtRecord,
    ExecutionKnown,
    ExecutionsRecord,
    HoldingRecord,
    IdsRecord,
    OpenedRecord,
    OrderCarried,
    SessionRecord,
)
from crosswire.venues.instrument import Kind, Payoff
from crosswire.venues.order import (
    ORDERS_BITS,
    ORDERS_MAX,
    RESTORED,
    AmendState,
    Order,
    OrderState,
    is_open,
    is_unsettled_quote,
    open_lots,
)
from crosswire.venues.session import Resumed, ResumedOrder, Session

ORDER_TERMS = tuple(name for name in OrderCarried.fields if name in Order.fields)


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
    places = places_of(config)
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
    engine.gate.is_unmarked = 1  # until the first look at all
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


def net_held(core: Core, config: RunConfig) -> dict[str, Decimal]:
    """Return what is held of each underlying, long less short, in base coin: near 0 if each leg has its opposite.

    An inverse contract counts for the coins that it was entered for. Where one was taken over at no price, or an option
    or a combination is held, no such sum says what is hedged, and the underlying is left out.
    """
    nets_e9: dict[int, int] = {}
    unknown: set[int] = set()
    for index in range(core.engine.market.count):
        position, instrument = core.engine.gate.positions[index], core.engine.market.instruments[index]
        if position.position_lots == 0:
            continue
        is_inverse = instrument.payoff == Payoff.INVERSE
        held_e9 = position.entry_cash_e9 if is_inverse else position.position_lots * instrument.lot_e9
        if held_e9 == 0 or instrument.kind in (Kind.OPTION, Kind.COMBO):
            unknown.add(instrument.underlying)
        nets_e9[instrument.underlying] = nets_e9.get(instrument.underlying, 0) + held_e9
    names = underlying_names(config)
    return {names[number]: e9(net_e9) for number, net_e9 in nets_e9.items() if number not in unknown}


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
    for name in ORDER_TERMS:
        setattr(order, name, carried.terms[name])
    order.venue, order.instrument = engine.market.instruments[instrument].venue, instrument
    # Of a strategy that is gone the first one bears it: the account is right either way.
    order.strategy = strategies.index(carried.strategy) if carried.strategy in strategies else 0
    order.state = OrderState.LIVE if order.exchange_order_id else OrderState.PENDING_NEW
    order.acked_ns = int(order.exchange_order_id != 0)
    order.amend_state = AmendState.PENDING if order.amend_lots else AmendState.NONE
    order.is_restored = RESTORED
    engine.gate.venues[order.venue].open_orders += 1
    if is_unsettled_quote(order):
        engine.gate.positions[instrument].quotes_pending += 1
    move_open(engine, order, 1, open_lots(order))


def places_of(config: RunConfig) -> dict[str, int]:
    """Map the names of a run's instruments to their market indices."""
    return {name: index for index, name in enumerate(instrument_names(config))}


def resumed_at(venue: str, config: RunConfig, carried: Carried) -> Resumed:
    """Say where a venue's session stood, in the market indices of this run."""
    places = places_of(config)
    orders = [
        ResumedOrder(
            instrument=places[order.instrument],
            **{name: order.terms[name] for name in ResumedOrder._fields if name != "instrument"},
        )
        for order in carried.orders.values()
        if order.instrument.startswith(f"{venue}/")
    ]
    return Resumed(
        numbers=carried.numbers.get(venue, NO_NUMBERS),
        quote_id=carried.quote_ids.get(venue, 0),
        execution_id=carried.execution_ids.get(venue),
        orders=orders,
        fills=list(carried.fills.get(venue, ())),
    )


def write_opening(
    core: Core, config: RunConfig, carried: Carried | None, sessions: Sequence[Session] | None = None
) -> None:
    """Write down all that was taken over, and reserve the first order ids.

    `sessions` go on from the earlier run's numbers: they are in use from now on, whether anything is sent or not. None:
    there are none yet, and the numbers stay as they were.
    """
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
    if carried is not None:
        for order in orders:
            terms = carried.orders[order.client_order_id].terms
            own = {name: getattr(order, name) for name in ORDER_TERMS}
            write_record(journal, OrderCarried, **(terms | own))
        write_sessions(core, config, carried, sessions)
        for number, venue in enumerate(config.venue):
            if venue.name in carried.doubts:
                write_record(journal, DoubtRecord, venue=number, reports=carried.doubts[venue.name])
    engine.orders.reserved = engine.orders.counter + IDS_RESERVED
    write_record(journal, IdsRecord, reserved_id=engine.orders.reserved << ORDERS_BITS)
    write_record(journal, OpenedRecord, holdings=holdings, orders=len(orders))


def write_sessions(core: Core, config: RunConfig, carried: Carried, sessions: Sequence[Session] | None) -> None:
    """Write down where the venues' fills, and the numbers of their sessions, stand."""
    journal = core.engine.journal
    for number, venue in enumerate(config.venue):
        # Of a venue that has told nobody its account it is not known which fills are in our positions.
        if venue.name in carried.execution_ids:
            execution_id = core.engine.orders.last_execution_ids[number]
            write_record(journal, ExecutionsRecord, venue=number, execution_id=execution_id)
        for fill in carried.fills.get(venue.name, ()):
            write_record(journal, ExecutionKnown, venue=number, **fill._asdict())
        left = carried.numbers.get(venue.name, NO_NUMBERS)
        numbers = list(left if sessions is None else sessions[number].numbers)
        if any(numbers):
            sent, received, sent_b, received_b = numbers
            quote_id = carried.quote_ids.get(venue.name, 0)
            write_record(
                journal, SessionRecord, venue=number, sent=sent, received=received, sent_b=sent_b,
                received_b=received_b, quote_id=quote_id,
            )  # fmt: skip


def open_orders(core: Core) -> list[Order]:
    """List the orders that are open."""
    table = core.engine.orders
    slots = table.orders.numpy()["state"].nonzero()[0]
    return [table.orders[int(slot)] for slot in slots if is_open(table.orders[int(slot)])]
