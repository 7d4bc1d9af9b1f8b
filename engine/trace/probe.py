"""A clock between the stages of a turn, while a run is made again: no line of the loop is another for it.

The loop calls a venue's unit and a strategy's through addresses in structs. Here those addresses are of functions that
read the time-stamp counter, call what was there before, and read it again.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.engine.seat import Seat, SeatEntries
from crosswire.engine.state import Engine
from crosswire.engine.venue import Inbox, Venue, VenueEntries
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Pointer, Reference, Struct, address_of, array, copy_struct, i64, view
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.risk.records import STRATEGIES_MAX
from crosswire.venues.order import VENUES_MAX, Approval, Order

MARKS_MAX = 1 << 19  # stages that are kept: 46 MB


class Stage(IntEnum):
    """What is timed. `place` of a mark is the venue's number, from SIGNAL to CATCH_UP the strategy's."""

    TAKE = 0  # the ring is polled, the frame parsed and read; DECODE lies within it
    DECODE = 1  # of market data: messages read and applied to books
    SIGNAL = 2  # a strategy hears a packet's events
    HEAR_FILL = 3
    HEAR_ORDER = 4
    TIMER = 5
    CATCH_UP = 6  # a strategy does what it has put off until its orders were sent
    NEW = 7  # an order's frame is written and handed to the ring
    CANCEL = 8
    CANCEL_BY_ID = 9
    MASS_CANCEL = 10
    AMEND = 11
    MASS_QUOTE = 12


class Mark(Struct):
    """One stage of one turn, by the counter of the machine that made the run again."""

    stage: i64  # Stage
    place: i64
    turn: i64  # as `LoopState.turns` counts them
    time_ns: i64  # of the turn, by the run's clock
    begin_cycles: i64
    end_cycles: i64
    number: i64  # TAKE: what the frame was, as `engine.venue.turn` says; of orders: their id, 0 if there is none
    frame_time_ns: i64  # TAKE: the frame's receive time
    length: i64  # TAKE: its bytes
    source_port: i64  # TAKE: of its UDP or TCP header


class ProbeEntries(Struct):
    """Addresses of the entries of `probe_unit`, each with the name of its function below."""

    take_timed: i64
    decode_timed: i64
    finish_frame_passed: i64
    wake_passed: i64
    send_new_timed: i64
    send_cancel_timed: i64
    send_mass_cancel_timed: i64
    send_amend_timed: i64
    send_cancel_by_id_timed: i64
    send_mass_quote_timed: i64
    start_passed: i64
    keep_passed: i64
    end_passed: i64
    hear_timed: i64
    hear_fill_timed: i64
    hear_order_timed: i64
    hear_timer_timed: i64
    hear_named_timer_timed: i64
    hear_sent_timed: i64
    hear_finish_passed: i64
    hear_parameters_passed: i64
    hear_flattened_passed: i64


class Probe(Struct):
    """The marks of the turns whose time is in [from_ns, until_ns)."""

    from_ns: i64
    until_ns: i64
    count: i64
    lost: i64  # marks that there was no room for
    engine: Annotated[Engine, Reference]
    marks: Annotated[Pointer, Mark]


class VenueProbe(Struct):
    """Stands where the loop has a venue's ring and feed."""

    ring: i64  # address
    feed: i64  # address
    number: i64
    entries: VenueEntries  # the venue's own
    probe: Annotated[Probe, Reference]


class SeatProbe(Struct):
    """Stands where the loop has a strategy."""

    strategy: i64  # address
    number: i64
    entries: SeatEntries  # the strategy's own
    probe: Annotated[Probe, Reference]


@compiled
def begin_mark(probe: Probe, stage: int, place: int, begin_cycles: int, end_cycles: int) -> int:
    """Note a stage; return the address of its `Mark`, 0: this turn is not in the window, or there is no room."""
    now_ns = probe.engine.state.now_ns
    if now_ns < probe.from_ns or now_ns >= probe.until_ns:
        return 0
    if probe.count == MARKS_MAX:
        probe.lost += 1
        return 0
    mark = probe.marks[probe.count]
    probe.count += 1
    mark.stage = stage
    mark.place = place
    mark.turn = probe.engine.state.turns
    mark.time_ns = now_ns
    mark.begin_cycles = begin_cycles
    mark.end_cycles = end_cycles
    return address_of(mark)


@compiled
def note_order(probe: Probe, stage: int, place: int, begin_cycles: int, order_id: int) -> None:
    """Note a stage that ends now and is about an order."""
    address = begin_mark(probe, stage, place, begin_cycles, cycle_count())
    if address != 0:
        view(Mark, address).number = order_id


def take_timed(venue: Venue, it: VenueProbe, session: int, now_ns: int) -> int:
    """Call `turn`."""
    begin_cycles = cycle_count()
    kind = call_entry(it.entries.turn, address_of(venue), it.ring, session, now_ns)
    end_cycles = cycle_count()
    if kind != 0:
        address = begin_mark(it.probe, Stage.TAKE, it.number, begin_cycles, end_cycles)
        if address != 0:
            note_frame(view(Mark, address), venue.inbox, kind)
    return kind


@compiled
def note_frame(mark: Mark, inbox: Inbox, kind: int) -> None:
    """Keep what a frame was."""
    mark.number = kind
    mark.frame_time_ns = inbox.frame.time_ns
    mark.length = inbox.frame.length
    mark.source_port = inbox.packet.source_port


def decode_timed(it: VenueProbe, packet: int, market: int, events: int) -> None:
    """Call `decode`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.decode, it.feed, packet, market, events)
    begin_mark(it.probe, Stage.DECODE, it.number, begin_cycles, cycle_count())


def finish_frame_passed(venue: int, it: VenueProbe, now_ns: int) -> None:
    """Call `finish_frame`."""
    call_entry(it.entries.finish_frame, venue, it.ring, now_ns)


def wake_passed(venue: int, it: VenueProbe, now_ns: int) -> None:
    """Call `wake`."""
    call_entry(it.entries.wake, venue, it.ring, now_ns)


def send_new_timed(session: int, it: VenueProbe, approval: Approval, now_ns: int) -> int:
    """Call `send_new`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_new, session, it.ring, address_of(approval), now_ns)
    note_order(it.probe, Stage.NEW, it.number, begin_cycles, approval.client_order_id)
    return is_sent


def send_amend_timed(session: int, it: VenueProbe, approval: Approval, now_ns: int) -> int:
    """Call `send_amend`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_amend, session, it.ring, address_of(approval), now_ns)
    note_order(it.probe, Stage.AMEND, it.number, begin_cycles, approval.client_order_id)
    return is_sent


def send_cancel_timed(session: int, it: VenueProbe, client_order_id: int, instrument: int, now_ns: int) -> int:
    """Call `send_cancel`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_cancel, session, it.ring, client_order_id, instrument, now_ns)
    note_order(it.probe, Stage.CANCEL, it.number, begin_cycles, client_order_id)
    return is_sent


def send_cancel_by_id_timed(session: int, it: VenueProbe, exchange_order_id: int, instrument: int, now_ns: int) -> int:
    """Call `send_cancel_by_id`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_cancel_by_id, session, it.ring, exchange_order_id, instrument, now_ns)
    note_order(it.probe, Stage.CANCEL_BY_ID, it.number, begin_cycles, 0)
    return is_sent


def send_mass_cancel_timed(session: int, it: VenueProbe, now_ns: int) -> int:
    """Call `send_mass_cancel`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_mass_cancel, session, it.ring, now_ns)
    note_order(it.probe, Stage.MASS_CANCEL, it.number, begin_cycles, 0)
    return is_sent


def send_mass_quote_timed(session: int, it: VenueProbe, approvals: int, now_ns: int) -> int:
    """Call `send_mass_quote`."""
    begin_cycles = cycle_count()
    is_sent = call_entry(it.entries.send_mass_quote, session, it.ring, approvals, now_ns)
    note_order(it.probe, Stage.MASS_QUOTE, it.number, begin_cycles, 0)
    return is_sent


def start_passed(session: int, it: VenueProbe, now_ns: int) -> None:
    """Call `start`."""
    call_entry(it.entries.start, session, it.ring, now_ns)


def keep_passed(session: int, it: VenueProbe, now_ns: int) -> int:
    """Call `keep`."""
    return call_entry(it.entries.keep, session, it.ring, now_ns)


def end_passed(session: int, it: VenueProbe, now_ns: int) -> None:
    """Call `end`."""
    call_entry(it.entries.end, session, it.ring, now_ns)


def hear_timed(it: SeatProbe, desk: int, events: int) -> None:
    """Call `hear`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear, it.strategy, desk, events)
    begin_mark(it.probe, Stage.SIGNAL, it.number, begin_cycles, cycle_count())


def hear_fill_timed(it: SeatProbe, desk: int, order: Order, report: int) -> None:
    """Call `hear_fill`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear_fill, it.strategy, desk, address_of(order), report)
    note_order(it.probe, Stage.HEAR_FILL, it.number, begin_cycles, order.client_order_id)


def hear_order_timed(it: SeatProbe, desk: int, order: Order) -> None:
    """Call `hear_order`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear_order, it.strategy, desk, address_of(order))
    note_order(it.probe, Stage.HEAR_ORDER, it.number, begin_cycles, order.client_order_id)


def hear_timer_timed(it: SeatProbe, desk: int) -> None:
    """Call `hear_timer`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear_timer, it.strategy, desk)
    begin_mark(it.probe, Stage.TIMER, it.number, begin_cycles, cycle_count())


def hear_named_timer_timed(it: SeatProbe, desk: int) -> None:
    """Call `hear_named_timer`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear_named_timer, it.strategy, desk)
    begin_mark(it.probe, Stage.TIMER, it.number, begin_cycles, cycle_count())


def hear_sent_timed(it: SeatProbe, desk: int) -> None:
    """Call `hear_sent`."""
    begin_cycles = cycle_count()
    call_entry(it.entries.hear_sent, it.strategy, desk)
    begin_mark(it.probe, Stage.CATCH_UP, it.number, begin_cycles, cycle_count())


def hear_finish_passed(it: SeatProbe, desk: int) -> None:
    """Call `hear_finish`."""
    call_entry(it.entries.hear_finish, it.strategy, desk)


def hear_parameters_passed(it: SeatProbe, desk: int) -> None:
    """Call `hear_parameters`."""
    call_entry(it.entries.hear_parameters, it.strategy, desk)


def hear_flattened_passed(it: SeatProbe, desk: int) -> None:
    """Call `hear_flattened`."""
    call_entry(it.entries.hear_flattened, it.strategy, desk)


def probe_unit() -> Unit:
    """Describe the unit of what stands between the loop and its venues and strategies."""
    return unit_of(
        "probe",
        {
            take_timed: (Venue, VenueProbe, "i64", "i64"),
            decode_timed: (VenueProbe, "i64", "i64", "i64"),
            finish_frame_passed: ("i64", VenueProbe, "i64"),
            wake_passed: ("i64", VenueProbe, "i64"),
            send_new_timed: ("i64", VenueProbe, Approval, "i64"),
            send_amend_timed: ("i64", VenueProbe, Approval, "i64"),
            send_cancel_timed: ("i64", VenueProbe, "i64", "i64", "i64"),
            send_cancel_by_id_timed: ("i64", VenueProbe, "i64", "i64", "i64"),
            send_mass_cancel_timed: ("i64", VenueProbe, "i64"),
            send_mass_quote_timed: ("i64", VenueProbe, "i64", "i64"),
            start_passed: ("i64", VenueProbe, "i64"),
            keep_passed: ("i64", VenueProbe, "i64"),
            end_passed: ("i64", VenueProbe, "i64"),
            hear_timed: (SeatProbe, "i64", "i64"),
            hear_fill_timed: (SeatProbe, "i64", Order, "i64"),
            hear_order_timed: (SeatProbe, "i64", Order),
            hear_timer_timed: (SeatProbe, "i64"),
            hear_named_timer_timed: (SeatProbe, "i64"),
            hear_sent_timed: (SeatProbe, "i64"),
            hear_finish_passed: (SeatProbe, "i64"),
            hear_parameters_passed: (SeatProbe, "i64"),
            hear_flattened_passed: (SeatProbe, "i64"),
        },
    )


VENUE_ENTRIES = {  # an entry of a venue that takes its ring or feed, and what is put in its place
    "decode": "decode_timed",
    "turn": "take_timed",
    "finish_frame": "finish_frame_passed",
    "wake": "wake_passed",
    "send_new": "send_new_timed",
    "send_cancel": "send_cancel_timed",
    "send_mass_cancel": "send_mass_cancel_timed",
    "send_amend": "send_amend_timed",
    "send_cancel_by_id": "send_cancel_by_id_timed",
    "send_mass_quote": "send_mass_quote_timed",
    "start": "start_passed",
    "keep": "keep_passed",
    "end": "end_passed",
}
SEAT_ENTRIES = {  # an entry of a strategy, and what is put in its place
    "hear": "hear_timed",
    "hear_fill": "hear_fill_timed",
    "hear_order": "hear_order_timed",
    "hear_timer": "hear_timer_timed",
    "hear_named_timer": "hear_named_timer_timed",
    "hear_sent": "hear_sent_timed",
    "hear_finish": "hear_finish_passed",
    "hear_parameters": "hear_parameters_passed",
    "hear_flattened": "hear_flattened_passed",
}
assert {*VENUE_ENTRIES, "read_on"} == set(VenueEntries.fields)  # `read_on` takes neither ring nor feed
assert set(SEAT_ENTRIES) == set(SeatEntries.fields)


class ProbeOnlooker:
    """Puts a probe into a run that is made again, for the turns of a window."""

    def __init__(self, from_ns: int, until_ns: int) -> None:
        """Time the turns in [from_ns, until_ns)."""
        self.probe = Probe(from_ns=from_ns, until_ns=until_ns)
        self.probe.marks = array(Mark, MARKS_MAX)
        self.entries = ProbeEntries()
        self.venues = [VenueProbe(number=number) for number in range(VENUES_MAX)]
        self.seats = [SeatProbe(number=number) for number in range(STRATEGIES_MAX)]

    def link(self, linker: Linker) -> None:
        """Ask for the unit of the probe."""
        linker.link_all(self.entries, probe_unit())

    def begin(self, engine: Engine) -> None:
        """Put it between the loop and what that calls; all units are loaded."""
        self.probe.engine = engine
        for number in range(engine.venue_count):
            self._look_at_venue(engine.venues[number], self.venues[number])
        for number in range(engine.seat_count):
            self._look_at_seat(engine.seats[number], self.seats[number])

    def _look_at_venue(self, venue: Venue, it: VenueProbe) -> None:
        it.probe = self.probe
        it.ring, it.feed = venue.ring, venue.feed
        copy_struct(it.entries, venue.entries)
        self._replace(venue.entries, VENUE_ENTRIES)
        venue.ring = venue.feed = address_of(it)

    def _look_at_seat(self, seat: Seat, it: SeatProbe) -> None:
        it.probe = self.probe
        it.strategy = seat.strategy
        copy_struct(it.entries, seat.entries)
        self._replace(seat.entries, SEAT_ENTRIES)
        seat.strategy = address_of(it)

    def _replace(self, entries: Struct, names: dict[str, str]) -> None:
        for name, ours in names.items():
            if getattr(entries, name) != 0:
                setattr(entries, name, getattr(self.entries, ours))
