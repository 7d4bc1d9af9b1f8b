"""What the loop writes into the journal, record by record; `risk/records.py` says what is in each.

What recovery needs of an order is written before its frame is: an order that may have left is one that a later run
knows of.
"""

from crosswire.engine.control.mailbox import CLIENT_BYTES, ITEMS_MAX
from crosswire.engine.state import Engine
from crosswire.engine.venue import Venue
from crosswire.nic.journal.format import WORD_BYTES
from crosswire.nic.journal.journal import begin_record, commit_record, wants_segment
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.risk.position import Position
from crosswire.risk.records import (
    TURN_ACTED_BIT,
    TURN_TIME_BIT,
    TURNS_MAX,
    VERSION,
    AmendSent,
    BookRecord,
    CancelSent,
    ClosedRecord,
    CommandItemRecord,
    CommandRecord,
    DifferenceRecord,
    FillRecord,
    FlattenedRecord,
    IdsRecord,
    NotSent,
    OrderRecord,
    OrderSent,
    RecordKind,
    ReportRecord,
    SampleRecord,
    SessionRecord,
    StandstillRecord,
    StateRecord,
)
from crosswire.strategies.planned import PLANS_MAX, use_up
from crosswire.venues.order import ORDERS_BITS, ORDERS_MAX, Order, Report, copy_terms, is_open
from crosswire.venues.session import Session

IDS_RESERVED = 1 << 20  # at once, in units of an order: a block lasts minutes at the highest rate that a gate allows
IDS_AHEAD = IDS_RESERVED // 2  # left when the next block is reserved: it is on the disk long before it is needed


@compiled
def record_order_sent(engine: Engine, order: Order, now_ns: int) -> None:
    """Write that an order is about to leave."""
    session = engine.venues[order.venue].session
    _record_sent(engine, order, session, session.order_link, 0, now_ns)


@compiled
def record_quote_sent(engine: Engine, order: Order, now_ns: int) -> None:
    """Write that a side of a mass quote is about to leave."""
    session = engine.venues[order.venue].session
    _record_sent(engine, order, session, session.quoting_link, session.quote_id + 1, now_ns)


@inlined
def _record_sent(engine: Engine, order: Order, session: Session, link: int, quote_id: int, now_ns: int) -> None:
    journal = engine.journal
    record = view(OrderSent, begin_record(journal, size_of(OrderSent)))
    copy_terms(record, order)
    record.link = link
    record.sequence = session.numbers[2 * max(link, 0)] + 1
    record.quote_id = quote_id
    commit_record(journal, RecordKind.ORDER_SENT, VERSION, size_of(OrderSent), now_ns)


@compiled
def record_amend_sent(engine: Engine, order: Order, price_ticks: int, qty_lots: int, now_ns: int) -> None:
    """Write that an amend is about to leave."""
    journal = engine.journal
    record = view(AmendSent, begin_record(journal, size_of(AmendSent)))
    record.client_order_id = order.client_order_id
    record.price_ticks = price_ticks
    record.qty_lots = qty_lots
    commit_record(journal, RecordKind.AMEND_SENT, VERSION, size_of(AmendSent), now_ns)


@compiled
def record_not_sent(engine: Engine, order: Order, is_amend: int, now_ns: int) -> None:
    """Write that what was about to leave did not."""
    journal = engine.journal
    record = view(NotSent, begin_record(journal, size_of(NotSent)))
    record.client_order_id = order.client_order_id
    record.is_amend = is_amend
    commit_record(journal, RecordKind.NOT_SENT, VERSION, size_of(NotSent), now_ns)


@compiled
def record_cancel_sent(engine: Engine, venue: int, client_order_id: int, exchange_order_id: int, now_ns: int) -> None:
    """Write that a cancel has left: of one order by either id, or of all with neither."""
    journal = engine.journal
    record = view(CancelSent, begin_record(journal, size_of(CancelSent)))
    record.venue = venue
    record.client_order_id = client_order_id
    record.exchange_order_id = exchange_order_id
    commit_record(journal, RecordKind.CANCEL_SENT, VERSION, size_of(CancelSent), now_ns)


@compiled
def record_report(engine: Engine, report: Report, outcome: int, now_ns: int) -> None:
    """Write what a venue said of an order, and what became of that."""
    journal = engine.journal
    record = view(ReportRecord, begin_record(journal, size_of(ReportRecord)))
    record.venue = report.venue
    record.report_kind = report.kind
    record.outcome = outcome
    record.client_order_id = report.client_order_id
    record.exchange_order_id = report.exchange_order_id
    record.execution_id = report.execution_id
    record.instrument = report.instrument
    record.side = report.side
    record.price_ticks = report.price_ticks
    record.qty_lots = report.qty_lots
    record.leaves_lots = report.leaves_lots
    record.filled_lots = report.filled_lots
    record.reason = report.reason
    record.exchange_time_ns = report.exchange_time_ns
    record.queued = report.queued
    commit_record(journal, RecordKind.REPORT, VERSION, size_of(ReportRecord), now_ns)


@compiled
def record_fill(engine: Engine, order: Order, report: Report, account: Position, own: Position, now_ns: int) -> None:
    """Write an execution that was booked, with the positions after it."""
    journal = engine.journal
    record = view(FillRecord, begin_record(journal, size_of(FillRecord)))
    record.time_ns = now_ns
    record.exchange_time_ns = report.exchange_time_ns
    record.client_order_id = report.client_order_id
    record.execution_id = report.execution_id
    record.instrument = report.instrument
    record.strategy = order.strategy
    record.side = report.side
    record.price_ticks = report.price_ticks
    record.qty_lots = report.qty_lots
    record.decision_ticks = order.decision_ticks
    record.fee_e9 = report.fee_e9
    record.is_maker = report.is_maker
    record.position_lots = account.position_lots
    record.strategy_position_lots = own.position_lots
    record.trade_id = order.trade_id
    record.match_id = report.match_id
    record.exchange_order_id = report.exchange_order_id
    record.planned_tick_lots = planned_tick_lots(engine, order, report.qty_lots)
    commit_record(journal, RecordKind.FILL, VERSION, size_of(FillRecord), now_ns)


@compiled
def planned_tick_lots(engine: Engine, order: Order, qty_lots: int) -> int:
    """Return the sum over some lots of an order of the price planned for each, in ticks; they are used up."""
    if 0 < order.plan <= PLANS_MAX:
        return use_up(engine.seats[order.strategy].desk.plans[order.plan - 1], qty_lots, order.decision_ticks)
    return qty_lots * order.decision_ticks


@compiled
def record_order_ended(engine: Engine, order: Order, now_ns: int) -> None:
    """Write an order's whole life down, or what there was of it by the end of the data."""
    engine.seats[order.strategy].orders += 1
    journal = engine.journal
    record = view(OrderRecord, begin_record(journal, size_of(OrderRecord)))
    record.created_ns = order.created_ns
    record.trigger_ns = order.trigger_ns
    record.acked_ns = order.acked_ns
    record.closed_ns = order.closed_ns
    record.client_order_id = order.client_order_id
    record.instrument = order.instrument
    record.strategy = order.strategy
    record.side = order.side
    record.time_in_force = order.time_in_force
    record.price_ticks = order.price_ticks
    record.qty_lots = order.qty_lots
    record.filled_lots = order.filled_lots
    record.state = order.state
    record.reason = order.reason
    record.trade_id = order.trade_id
    commit_record(journal, RecordKind.ORDER_ENDED, VERSION, size_of(OrderRecord), now_ns)


@compiled
def record_open_orders(engine: Engine, now_ns: int) -> bool:
    """Write down the orders that the end of the data left open; False to be called again with a new segment.

    A live run has no such end: it cancels what is open, and an order that stays open is the next run's.
    """
    while engine.state.slots_ended < ORDERS_MAX:
        if wants_segment(engine.journal):
            return False
        order = engine.orders.orders[engine.state.slots_ended]
        engine.state.slots_ended += 1
        if is_open(order):
            record_order_ended(engine, order, now_ns)
    return True


@compiled
def record_sample(engine: Engine, index: int, now_ns: int) -> None:
    """Write what is held of an instrument, and its best prices."""
    journal = engine.journal
    book, position = engine.market.books[index], engine.gate.positions[index]
    record = view(SampleRecord, begin_record(journal, size_of(SampleRecord)))
    record.time_ns = now_ns
    record.instrument = index
    record.valid = book.valid
    record.bid_ticks = book.bid_ticks
    record.ask_ticks = book.ask_ticks
    record.position_lots = position.position_lots
    record.cash_e9 = position.cash_e9
    record.fees_e9 = position.fees_e9
    commit_record(journal, RecordKind.SAMPLE, VERSION, size_of(SampleRecord), now_ns)


@compiled
def record_book(engine: Engine, instrument: int, valid: int, now_ns: int) -> None:
    """Write that a book was lost or is proven again."""
    journal = engine.journal
    record = view(BookRecord, begin_record(journal, size_of(BookRecord)))
    record.instrument = instrument
    record.valid = valid
    commit_record(journal, RecordKind.BOOK, VERSION, size_of(BookRecord), now_ns)


@compiled
def record_difference(engine: Engine, instrument: int, ours_lots: int, theirs_lots: int, now_ns: int) -> None:
    """Write that a venue has a position otherwise than we do."""
    journal = engine.journal
    record = view(DifferenceRecord, begin_record(journal, size_of(DifferenceRecord)))
    record.instrument = instrument
    record.ours_lots = ours_lots
    record.theirs_lots = theirs_lots
    commit_record(journal, RecordKind.DIFFERENCE, VERSION, size_of(DifferenceRecord), now_ns)


@compiled
def record_session(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Write where a venue's order session stands."""
    journal, session = engine.journal, venue.session
    record = view(SessionRecord, begin_record(journal, size_of(SessionRecord)))
    record.venue = venue.number
    record.state = session.state
    record.sent = session.numbers[0]
    record.received = session.numbers[1]
    record.sent_b = session.numbers[2]
    record.received_b = session.numbers[3]
    record.quote_id = session.quote_id
    record.is_resumed = session.is_resumed
    commit_record(journal, RecordKind.SESSION, VERSION, size_of(SessionRecord), now_ns)


@compiled
def record_state(engine: Engine, now_ns: int) -> None:
    """Write what may be sent, and why."""
    journal, gate = engine.journal, engine.gate
    record = view(StateRecord, begin_record(journal, size_of(StateRecord)))
    record.state = gate.state
    record.why = gate.why
    record.alarms = gate.alarms
    record.leaving = engine.state.winding_down
    commit_record(journal, RecordKind.STATE, VERSION, size_of(StateRecord), now_ns)


@outlined
def record_standstill(engine: Engine, since_ns: int, is_over: int, now_ns: int) -> None:
    """Write that the loop stood still, or that it has read what waited."""
    journal = engine.journal
    record = view(StandstillRecord, begin_record(journal, size_of(StandstillRecord)))
    record.since_ns = since_ns
    record.is_over = is_over
    commit_record(journal, RecordKind.STANDSTILL, VERSION, size_of(StandstillRecord), now_ns)


@outlined
def record_command(engine: Engine, now_ns: int) -> None:
    """Write what an operator asked for and what is about to become of it: first its items, the command behind them."""
    journal, control = engine.journal, engine.control
    command = control.command
    items = min(max(command.item_count, 0), ITEMS_MAX)
    for place in range(items):
        item = view(CommandItemRecord, begin_record(journal, size_of(CommandItemRecord)))
        item.number = control.seen
        item.parameter = command.items[place].parameter
        item.value = command.items[place].value
        commit_record(journal, RecordKind.COMMAND_ITEM, VERSION, size_of(CommandItemRecord), now_ns)
    address = begin_record(journal, size_of(CommandRecord))
    record = view(CommandRecord, address)
    record.number = control.seen
    record.command = command.kind
    record.outcome = control.outcome
    record.detail = control.detail
    record.venue = command.venue
    record.instrument = command.instrument
    record.strategy = command.strategy
    record.items = items
    copy_bytes(address + size_of(CommandRecord) - CLIENT_BYTES, address_of(command.client), CLIENT_BYTES)
    commit_record(journal, RecordKind.COMMAND, VERSION, size_of(CommandRecord), now_ns)


@outlined
def record_flattened(engine: Engine, instrument: int, left_lots: int, now_ns: int) -> None:
    """Write what FLATTEN has made of an instrument."""
    journal, flatten = engine.journal, engine.control.flatten
    record = view(FlattenedRecord, begin_record(journal, size_of(FlattenedRecord)))
    record.number = flatten.number
    record.instrument = instrument
    record.begun_lots = flatten.begun_lots[instrument]
    record.left_lots = left_lots
    record.tries = flatten.tries[instrument]
    record.ending = flatten.state
    commit_record(journal, RecordKind.FLATTENED, VERSION, size_of(FlattenedRecord), now_ns)


@outlined
def reserve_ids(engine: Engine, now_ns: int) -> None:
    """Write down the order ids that may be given next, well before they are."""
    orders, journal = engine.orders, engine.journal
    orders.reserved = orders.counter + IDS_RESERVED
    record = view(IdsRecord, begin_record(journal, size_of(IdsRecord)))
    record.reserved_id = orders.reserved << ORDERS_BITS
    commit_record(journal, RecordKind.IDS, VERSION, size_of(IdsRecord), now_ns)


@inlined
def note_turn(engine: Engine, venues: int, acted: int, now_ns: int) -> None:
    """Note a turn that took frames of these venues, a bit each, or acted; it is told at once if it has written more.

    Timers alone, as of a session that looks each millisecond whether it can connect, do not make a record each.
    """
    state = engine.state
    if state.tells_turns == 0:
        return
    if state.turn_count == 0:
        state.told_turns.begun_ns = now_ns
    after_ns = now_ns - state.told_turns.begun_ns
    state.told_turns.turns[state.turn_count] = after_ns << TURN_TIME_BIT | acted << TURN_ACTED_BIT | venues
    state.turn_count += 1
    if state.turn_count == TURNS_MAX or engine.journal.sequence != state.told_sequence:
        record_turns(engine, now_ns)


@compiled
def record_turns(engine: Engine, now_ns: int) -> None:
    """Write down the turns that were noted."""
    state, journal = engine.state, engine.journal
    payload_bytes = (1 + state.turn_count) * WORD_BYTES
    copy_bytes(begin_record(journal, payload_bytes), address_of(state.told_turns), payload_bytes)
    commit_record(journal, RecordKind.TURNS, VERSION, payload_bytes, now_ns)
    state.turn_count = 0
    state.told_sequence = journal.sequence


@compiled
def record_closed(engine: Engine, now_ns: int) -> None:
    """Write that the loop has ended."""
    journal, state = engine.journal, engine.state
    if state.turn_count != 0:
        record_turns(engine, now_ns)
    record = view(ClosedRecord, begin_record(journal, size_of(ClosedRecord)))
    record.turns = state.turns
    record.orders_sent = state.orders_sent
    record.fills = state.fills
    commit_record(journal, RecordKind.CLOSED, VERSION, size_of(ClosedRecord), now_ns)
