"""What a run's loop had before it, turn by turn: recorded while the run is made again, for somebody to look through.

A row of the tape is a turn that took a frame or sent something; in between nothing changed but the time. What a turn
changed is kept beside it, so that the state at any row is the last that was kept up to there. A tape holds TURNS_MAX
rows of a run, from any first row on: another part of a longer run is recorded by making the run again.
"""

from typing import Annotated

from crosswire.engine.explain.told import ToldClock, ToldRings, is_full
from crosswire.engine.loop import Status, look_at_rings, turn_once
from crosswire.engine.state import Engine
from crosswire.nic.clock import ReplayClock
from crosswire.nic.memory.struct import Array, Pointer, Struct, array, f64, i64, view
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.risk.records import INSTRUMENTS_MAX
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, best_level, executable_lots, next_level
from crosswire.venues.exchange.matching import RESTING_MAX, Matching
from crosswire.venues.order import VENUES_MAX
from crosswire.venues.side import ASK, BID

LEVELS_MAX = 10  # of each side of a book
TURNS_MAX = 1 << 18  # rows of a tape: 14 MB, and 90 MB of books if each turn changes one
BOOKS_MAX = 1 << 18
POSITIONS_MAX = 1 << 16
PLACES_MAX = 1 << 18  # of resting orders in their queues
INDEX_TURNS = 1 << 10  # one row in so many has its time and frames kept, of the whole run
INDEX_MAX = 1 << 20


class TapeTurn(Struct):
    """One row: a turn of the loop. What it changed ends at `*_end`, and begins where the row before it ends."""

    time_ns: i64  # of the turn, by the run's clock
    received_ns: i64  # receive time of the frame that was taken last
    frames: i64  # taken up to its end
    orders_sent: i64
    fills: i64
    places_end: i64


class TapeBook(Struct):
    """One book as a turn left it: its best levels, the best first."""

    row: i64
    instrument: i64
    valid: i64
    receive_time_ns: i64
    exchange_time_ns: i64
    update_id: i64
    quote_update_id: i64
    bids: i64  # levels of the side that are kept
    asks: i64
    bid_ticks: Annotated[Array, i64, LEVELS_MAX]
    bid_lots: Annotated[Array, i64, LEVELS_MAX]
    ask_ticks: Annotated[Array, i64, LEVELS_MAX]
    ask_lots: Annotated[Array, i64, LEVELS_MAX]


class TapePosition(Struct):
    """What is held of one instrument, as a turn left it."""

    row: i64
    instrument: i64
    position_lots: i64
    cash_e9: i64
    fees_e9: i64


class TapePlace(Struct):
    """Where one of our orders stands at its simulated exchange, as a turn found it."""

    client_order_id: i64
    leaves_lots: i64
    front_lots: f64  # estimated to trade before us
    shown_lots: i64  # at its price, when the level was seen last
    is_unseen: i64  # 1: the price lies beyond what the book shows, so what is ahead of us is not known


class Tape(Struct):
    """Rows of one run from `first` on, as far as there is room, and the times of some rows of all of it."""

    first: i64  # row of the run that `turns[0]` is
    stops: i64  # 1: the recording ends when there is no room; 0: it goes on, and only counts
    turns_max: i64  # rows that there is room for
    rows: i64  # of the run so far
    count: i64  # kept
    is_full: i64
    frames: i64  # that the last row had seen
    sent: i64  # orders, cancels and amends, likewise
    books_count: i64
    positions_count: i64
    places_count: i64
    index_count: i64
    turns: Annotated[Pointer, TapeTurn]
    books: Annotated[Pointer, TapeBook]
    positions: Annotated[Pointer, TapePosition]
    places: Annotated[Pointer, TapePlace]
    index_ns: Annotated[Pointer, i64]  # time of every INDEX_TURNS-th row
    index_frames: Annotated[Pointer, i64]  # and the frames taken up to its end
    last_book: Annotated[Array, i64, INSTRUMENTS_MAX]  # 1 + its place in `books`, 0: none yet
    last_position: Annotated[Array, i64, INSTRUMENTS_MAX]
    matchings: Annotated[Array, i64, VENUES_MAX]  # address of a venue's `Matching`, 0: it has none that can be read


def make_tape(first: int = 0, *, stops: bool = False, turns_max: int = TURNS_MAX) -> Tape:
    """Make a tape that keeps `turns_max` rows from `first` on."""
    tape = Tape(first=first, stops=int(stops), turns_max=turns_max)
    tape.turns = array(TapeTurn, turns_max)
    tape.books = array(TapeBook, BOOKS_MAX)
    tape.positions = array(TapePosition, POSITIONS_MAX)
    tape.places = array(TapePlace, PLACES_MAX)
    tape.index_ns, tape.index_frames = array(i64, INDEX_MAX), array(i64, INDEX_MAX)
    return tape


def watch(engine: Engine, clock: ReplayClock, tape: Tape) -> int:
    """Turn as `engine.loop.run` does, and record it; STOPPED: the tape is full, and was to stop then."""
    look_at_rings(engine)
    status: int = Status.TURNED
    while status == Status.TURNED:
        if tape.is_full != 0 and tape.stops != 0:
            return Status.STOPPED
        status = turn_once(engine, clock)
        note_turned(engine, tape)
    return status


def watch_told(engine: Engine, clock: ToldClock, rings: ToldRings, tape: Tape) -> int:
    """Follow told turns as `engine.explain.told.follow` does, and record them."""
    look_at_rings(engine)
    turns = clock.turns
    status: int = Status.TURNED
    while status == Status.TURNED and turns.position < turns.count:
        if is_full(engine, rings):
            return Status.JOURNAL
        status = turn_once(engine, clock)
        note_turned(engine, tape)
    return status


@compiled
def note_turned(engine: Engine, tape: Tape) -> None:
    """Add a row if the turn took a frame or sent something."""
    state = engine.state
    sent = state.orders_sent + state.cancels_sent + state.amends_sent
    if state.frames == tape.frames and sent == tape.sent:
        return
    tape.frames = state.frames
    tape.sent = sent
    row = tape.rows
    tape.rows += 1
    if row % INDEX_TURNS == 0 and tape.index_count < INDEX_MAX:
        tape.index_ns[tape.index_count] = state.now_ns
        tape.index_frames[tape.index_count] = state.frames
        tape.index_count += 1
    if row < tape.first or tape.is_full != 0:
        return
    note_row(engine, tape, row)
    count = engine.market.count
    has_room = tape.count < tape.turns_max and tape.books_count + count <= BOOKS_MAX
    has_room = has_room and tape.positions_count + count <= POSITIONS_MAX
    if not has_room or tape.places_count + VENUES_MAX * RESTING_MAX > PLACES_MAX:
        tape.is_full = 1


@compiled
def note_row(engine: Engine, tape: Tape, row: int) -> None:
    """Keep a turn, and what it changed."""
    state = engine.state
    turn = tape.turns[tape.count]
    tape.count += 1
    turn.time_ns = state.now_ns
    turn.received_ns = engine.inbox.frame.time_ns
    turn.frames = state.frames
    turn.orders_sent = state.orders_sent
    turn.fills = state.fills
    for instrument in range(engine.market.count):
        note_book_at(tape, engine.market.books[instrument], instrument, row)
        note_position_at(engine, tape, instrument, row)
    for number in range(engine.venue_count):
        if tape.matchings[number] != 0:
            note_places(tape, view(Matching, tape.matchings[number]))
    turn.places_end = tape.places_count


@compiled
def note_book_at(tape: Tape, book: Book, instrument: int, row: int) -> None:
    """Keep a book if it is not as it was kept last."""
    last = tape.last_book[instrument]
    if last != 0:
        before = tape.books[last - 1]
        is_same = before.receive_time_ns == book.receive_time_ns and before.exchange_time_ns == book.exchange_time_ns
        is_same = is_same and before.update_id == book.update_id and before.quote_update_id == book.quote_update_id
        if is_same and before.valid == book.valid:
            return
    kept = tape.books[tape.books_count]
    tape.books_count += 1
    tape.last_book[instrument] = tape.books_count
    kept.row = row
    kept.instrument = instrument
    kept.valid = book.valid
    kept.receive_time_ns = book.receive_time_ns
    kept.exchange_time_ns = book.exchange_time_ns
    kept.update_id = book.update_id
    kept.quote_update_id = book.quote_update_id
    kept.bids = 0
    kept.asks = 0
    if book.valid == 0:
        return
    ticks = best_level(book, BID)
    while kept.bids < LEVELS_MAX and ticks != NO_BID:
        kept.bid_ticks[kept.bids] = ticks
        kept.bid_lots[kept.bids] = executable_lots(book, BID, ticks)
        kept.bids += 1
        ticks = next_level(book, BID, ticks)
    ticks = best_level(book, ASK)
    while kept.asks < LEVELS_MAX and ticks != NO_ASK:
        kept.ask_ticks[kept.asks] = ticks
        kept.ask_lots[kept.asks] = executable_lots(book, ASK, ticks)
        kept.asks += 1
        ticks = next_level(book, ASK, ticks)


@compiled
def note_position_at(engine: Engine, tape: Tape, instrument: int, row: int) -> None:
    """Keep a position if it is not as it was kept last."""
    position, last = engine.gate.positions[instrument], tape.last_position[instrument]
    if last != 0:
        before = tape.positions[last - 1]
        is_same = before.position_lots == position.position_lots and before.cash_e9 == position.cash_e9
        if is_same and before.fees_e9 == position.fees_e9:
            return
    kept = tape.positions[tape.positions_count]
    tape.positions_count += 1
    tape.last_position[instrument] = tape.positions_count
    kept.row = row
    kept.instrument = instrument
    kept.position_lots = position.position_lots
    kept.cash_e9 = position.cash_e9
    kept.fees_e9 = position.fees_e9


@compiled
def note_places(tape: Tape, matching: Matching) -> None:
    """Keep where each resting order of ours stands."""
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        kept = tape.places[tape.places_count]
        tape.places_count += 1
        kept.client_order_id = resting.client_order_id
        kept.leaves_lots = resting.leaves_lots
        kept.front_lots = resting.place.front_lots
        kept.shown_lots = resting.place.shown_lots
        kept.is_unseen = resting.place.is_unseen


class WatchEntries(Struct):
    """Address of the entry of `watch_unit` or `watch_told_unit`."""

    watch: i64
    watch_told: i64


def watch_unit() -> Unit:
    """Describe the unit of the loop that records a backtest."""
    return unit_of("watch", {watch: (Engine, ReplayClock, Tape)})


def watch_told_unit() -> Unit:
    """Describe the unit of the loop that records what a live run is told again."""
    return unit_of("watch-told", {watch_told: (Engine, ToldClock, ToldRings, Tape)})
