"""One venue as the loop sees it: its ring, feed and order session behind the entries of one unit.

The unit is made from the classes of ring and session, and calls the feed's, which the simulated exchange shares. The
loop makes one call for a frame, one when it is done with it, and one for whatever it sends.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from crosswire.nic.memory.struct import Array, Reference, Struct, address_of, i64
from crosswire.nic.packet import PROTOCOL_TCP, PROTOCOL_UDP, Packet, PacketCounters, is_damaged_udp, parse_packet
from crosswire.nic.rings.ring import WATCH_NS, Frame, Watch, describe_watch, flush, next_time_ns, poll, release
from crosswire.nic.rings.tap import show_sent
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.venues.feed import feed_unit
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.order import (
    Approval,
    Approvals,
    Reports,
)
from crosswire.venues.session import (
    LINKS_MAX,
    Session,
    end_session,
    keep_session,
    read_reports,
    start_session,
    write_amend,
    write_cancel,
    write_cancel_by_id,
    write_mass_cancel,
    write_mass_quote,
    write_new,
)

# What `turn` found.
NOTHING = 0  # no frame
OTHER = 1  # a frame that is neither of the two below
MARKET_DATA = 2  # `events` are its own
REPORTS = 3  # `reports` are the first of its own


class Inbox(Struct):
    """What a venue's unit hands to the loop: the frame that it took, and what that says. One for all venues."""

    frame: Frame
    packet: Packet
    counters: PacketCounters
    events: Events
    reports: Reports


class VenueEntries(Struct):
    """Addresses of the entries of a venue's units, each with the name of its function below; `decode` is the feed's.

    0 where a session registers nothing for it, as a venue need not amend, quote, or cancel by its own ids.
    """

    decode: i64
    turn: i64
    read_on: i64
    finish_frame: i64
    wake: i64
    send_new: i64
    send_cancel: i64
    send_mass_cancel: i64
    send_amend: i64
    send_cancel_by_id: i64
    send_mass_quote: i64
    start: i64
    keep: i64
    end: i64


class Venue(Struct):
    """One venue of a run. The loop knows the base of its session; ring and feed are the unit's alone."""

    number: i64
    due_ns: i64  # when its ring has something to do, as `next_time_ns` says
    watch: Watch  # of its ring
    keep_ns: i64  # when its order session wants its timer
    is_lost: i64  # 1: its session was lost, and is not READY again
    losses: i64  # times that it was lost
    links_gone: i64  # of its session, as the loop has noted it
    accounts: i64  # times that the venue has told all that it has of us
    differences: i64  # positions that it had otherwise
    strangers: i64  # orders that it had open and we did not know, or not so; holdings that nobody configured
    recorded_state: i64  # of its session, as the journal has it
    recorded_numbers: Annotated[Array, i64, 2 * LINKS_MAX]
    cancels_due: i64  # orders with `cancel_due`
    checks_udp: i64  # 1: its ring delivers what the kernel would drop for its checksum
    damaged: i64  # datagrams that were not read for it
    cancel_due: i64  # 1: all orders are to be cancelled, and nothing that says so could be sent yet
    ring: i64  # address
    feed: i64  # address
    session: Annotated[Session, Reference]
    market: Annotated[Market, Reference]
    inbox: Annotated[Inbox, Reference]
    entries: VenueEntries


def turn(venue: Venue, ring: Struct, session: Session, now_ns: int) -> int:
    """Take the next frame received until `now_ns` and read it; return what it was."""
    inbox = venue.inbox
    if not poll(ring, inbox.frame, now_ns):
        look_ahead(venue, ring, now_ns)
        return NOTHING
    if not parse_packet(inbox.frame, inbox.packet, inbox.counters):
        return OTHER
    if inbox.packet.protocol == PROTOCOL_UDP:
        if venue.checks_udp != 0 and is_damaged_udp(inbox.packet):
            venue.damaged += 1
            return OTHER
        clear_events(inbox.events, venue.market)
        packet, market, events = address_of(inbox.packet), address_of(venue.market), address_of(inbox.events)
        call_entry(venue.entries.decode, venue.feed, packet, market, events)
        return MARKET_DATA
    if inbox.packet.protocol == PROTOCOL_TCP:
        inbox.reports.count = 0
        read_reports(session, inbox.packet, inbox.reports)
        return REPORTS
    return OTHER


def read_on(session: Session, inbox: Inbox) -> None:
    """Read the next reports of the packet that `turn` found."""
    inbox.reports.count = 0
    read_reports(session, inbox.packet, inbox.reports)


@inlined
def look_ahead(venue: Venue, ring: Struct, now_ns: int) -> None:
    """Note when the ring has something to do next, and where that will show."""
    venue.due_ns = next_time_ns(ring)
    venue.watch.until_ns = now_ns + WATCH_NS
    describe_watch(ring, venue.watch)


def finish_frame(venue: Venue, ring: Struct, now_ns: int) -> None:
    """Give the frame's slot back."""
    release(ring)
    look_ahead(venue, ring, now_ns)


def wake(venue: Venue, ring: Struct, now_ns: int) -> None:
    """Wake the driver if it wants that, and look ahead: sending may change what the ring has to do."""
    flush(ring)
    look_ahead(venue, ring, now_ns)


# A tap may keep what the six below commit: what else a session sends may hold a secret.


def send_new(session: Session, ring: Struct, approval: Approval, now_ns: int) -> bool:
    """Call `write_new`."""
    show_sent(ring, 1)
    is_sent = write_new(session, ring, approval, now_ns)
    show_sent(ring, 0)
    return is_sent


def send_cancel(session: Session, ring: Struct, client_order_id: int, instrument: int, now_ns: int) -> bool:
    """Call `write_cancel`."""
    show_sent(ring, 1)
    is_sent = write_cancel(session, ring, client_order_id, instrument, now_ns)
    show_sent(ring, 0)
    return is_sent


def send_mass_cancel(session: Session, ring: Struct, now_ns: int) -> bool:
    """Call `write_mass_cancel`."""
    show_sent(ring, 1)
    is_sent = write_mass_cancel(session, ring, now_ns)
    show_sent(ring, 0)
    return is_sent


def send_amend(session: Session, ring: Struct, approval: Approval, now_ns: int) -> bool:
    """Call `write_amend`."""
    show_sent(ring, 1)
    is_sent = write_amend(session, ring, approval, now_ns)
    show_sent(ring, 0)
    return is_sent


def send_cancel_by_id(session: Session, ring: Struct, exchange_order_id: int, instrument: int, now_ns: int) -> bool:
    """Call `write_cancel_by_id`."""
    show_sent(ring, 1)
    is_sent = write_cancel_by_id(session, ring, exchange_order_id, instrument, now_ns)
    show_sent(ring, 0)
    return is_sent


def send_mass_quote(session: Session, ring: Struct, approvals: Approvals, now_ns: int) -> bool:
    """Call `write_mass_quote`."""
    show_sent(ring, 1)
    is_sent = write_mass_quote(session, ring, approvals, now_ns)
    show_sent(ring, 0)
    return is_sent


def start(session: Session, ring: Struct, now_ns: int) -> None:
    """Call `start_session`."""
    start_session(session, ring, now_ns)


def keep(session: Session, ring: Struct, now_ns: int) -> int:
    """Call `keep_session`."""
    return keep_session(session, ring, now_ns)


def end(session: Session, ring: Struct, now_ns: int) -> None:
    """Call `end_session`."""
    end_session(session, ring, now_ns)


def venue_unit(ring: type[Struct], session: type[Session]) -> Unit:
    """Describe the unit of venues with these classes."""
    functions: dict[Callable[..., Any], tuple[Any, ...]] = {
        turn: (Venue, ring, session, "i64"),
        read_on: (session, Inbox),
        finish_frame: (Venue, ring, "i64"),
        wake: (Venue, ring, "i64"),
        send_new: (session, ring, Approval, "i64"),
        send_cancel: (session, ring, "i64", "i64", "i64"),
        send_mass_cancel: (session, ring, "i64"),
        start: (session, ring, "i64"),
        keep: (session, ring, "i64"),
        end: (session, ring, "i64"),
    }
    if write_amend.is_registered(session):
        functions[send_amend] = (session, ring, Approval, "i64")
    if write_cancel_by_id.is_registered(session):
        functions[send_cancel_by_id] = (session, ring, "i64", "i64", "i64")
    if write_mass_quote.is_registered(session):
        functions[send_mass_quote] = (session, ring, Approvals, "i64")
    return unit_of(f"venue-{short_name(ring)}-{session.__name__}", functions)


def short_name(cls: type) -> str:
    """Shorten a class's name for use in a file's name; for a made class, its base's."""
    return cls.__qualname__.partition("[")[0]


def set_venue(venue: Venue, part: "VenueParts", market: Market, inbox: Inbox, linker: Linker) -> None:
    """Fill in a venue; it can be used once `linker` has loaded. `part` must outlive it."""
    venue.number = part.session.venue
    venue.due_ns = venue.keep_ns = 0
    venue.checks_udp = int(part.checks_udp)
    venue.ring = address_of(part.ring)
    venue.feed = address_of(part.feed)
    venue.session = part.session
    venue.market = market
    venue.inbox = inbox
    linker.link_all(venue.entries, venue_unit(type(part.ring), type(part.session)))
    linker.link_all(venue.entries, feed_unit(type(part.feed)))


class VenueParts(NamedTuple):
    """One venue's part: where its frames come from, who decodes them, who takes its orders."""

    ring: Any
    feed: Any
    session: Any
    exchange: Any = None  # the simulated one at the ring's other end, in a backtest
    checks_udp: bool = False


@compiled
def take_turn(venue: Venue, now_ns: int) -> int:
    """Call `turn` in the venue's unit."""
    return call_entry(venue.entries.turn, address_of(venue), venue.ring, address_of(venue.session), now_ns)


@compiled
def take_more_reports(venue: Venue) -> None:
    """Call `read_on` in the venue's unit."""
    call_entry(venue.entries.read_on, address_of(venue.session), address_of(venue.inbox))


@compiled
def give_frame_back(venue: Venue, now_ns: int) -> None:
    """Call `finish_frame` in the venue's unit."""
    call_entry(venue.entries.finish_frame, address_of(venue), venue.ring, now_ns)


@compiled
def wake_ring(venue: Venue, now_ns: int) -> None:
    """Call `wake` in the venue's unit."""
    call_entry(venue.entries.wake, address_of(venue), venue.ring, now_ns)


@compiled
def send_new_order(venue: Venue, approval: Approval, now_ns: int) -> bool:
    """Call `send_new` in the venue's unit."""
    session = address_of(venue.session)
    return call_entry(venue.entries.send_new, session, venue.ring, address_of(approval), now_ns) != 0


@compiled
def send_order_cancel(venue: Venue, client_order_id: int, instrument: int, now_ns: int) -> bool:
    """Call `send_cancel` in the venue's unit."""
    session = address_of(venue.session)
    return call_entry(venue.entries.send_cancel, session, venue.ring, client_order_id, instrument, now_ns) != 0


@compiled
def can_amend(venue: Venue) -> bool:
    """Tell whether the venue's session amends orders."""
    return venue.entries.send_amend != 0


@compiled
def can_cancel_by_id(venue: Venue) -> bool:
    """Tell whether the venue's session cancels by the venue's own ids."""
    return venue.entries.send_cancel_by_id != 0


@compiled
def can_quote(venue: Venue) -> bool:
    """Tell whether the venue's session sends mass quotes."""
    return venue.entries.send_mass_quote != 0


@compiled
def send_order_amend(venue: Venue, approval: Approval, now_ns: int) -> bool:
    """Call `send_amend` in the venue's unit."""
    session = address_of(venue.session)
    return call_entry(venue.entries.send_amend, session, venue.ring, address_of(approval), now_ns) != 0


@compiled
def send_exchange_order_cancel(venue: Venue, exchange_order_id: int, instrument: int, now_ns: int) -> bool:
    """Call `send_cancel_by_id` in the venue's unit."""
    session = address_of(venue.session)
    return call_entry(venue.entries.send_cancel_by_id, session, venue.ring, exchange_order_id, instrument, now_ns) != 0


@compiled
def send_quotes(venue: Venue, approvals: Approvals, now_ns: int) -> bool:
    """Call `send_mass_quote` in the venue's unit."""
    session = address_of(venue.session)
    return call_entry(venue.entries.send_mass_quote, session, venue.ring, address_of(approvals), now_ns) != 0


@compiled
def cancel_all(venue: Venue, now_ns: int) -> bool:
    """Call `send_mass_cancel` in the venue's unit."""
    return call_entry(venue.entries.send_mass_cancel, address_of(venue.session), venue.ring, now_ns) != 0


@compiled
def log_on(venue: Venue, now_ns: int) -> None:
    """Call `start` in the venue's unit."""
    call_entry(venue.entries.start, address_of(venue.session), venue.ring, now_ns)


@compiled
def keep_logged_on(venue: Venue, now_ns: int) -> None:
    """Call `keep` in the venue's unit, and note when that is wanted next."""
    venue.keep_ns = call_entry(venue.entries.keep, address_of(venue.session), venue.ring, now_ns)


@compiled
def log_out(venue: Venue, now_ns: int) -> None:
    """Call `end` in the venue's unit."""
    call_entry(venue.entries.end, address_of(venue.session), venue.ring, now_ns)
