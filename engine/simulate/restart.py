"""The engine's process dies in a simulation, and another one takes its place: from the journal, as a live run does."""

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import Core, Run, build_core
from crosswire.engine.build.venue import make_parts
from crosswire.engine.faults import plain_faults
from crosswire.engine.journal.carry import ACCOUNT_NAME, Carried, fold
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import resumed_at, take_over, write_opening
from crosswire.engine.report.facts import describe_run
from crosswire.engine.simulate.cable import mend
from crosswire.engine.simulate.deliveries import forget_deliveries
from crosswire.engine.simulate.record import Recording
from crosswire.engine.simulate.watch import Invariant, judge_books, watch_unit
from crosswire.engine.simulate.world_clock import begin_clock
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.format import WORD_BYTES, RecordHeader
from crosswire.nic.journal.reader import Batch, JournalReader, read_memory
from crosswire.nic.memory.struct import Struct
from crosswire.nic.rings.ring import Frame, next_time_ns, poll, release
from crosswire.risk.records import RecordKind
from crosswire.venues.market import Market

if TYPE_CHECKING:
    from crosswire.engine.simulate.world import World

TORN_BYTES = 96  # of a record that its writer did not finish


@dataclass
class History:
    """The journal of the process that runs now, as a disk would hold it."""

    images: list[tuple[int, bytes]] = field(default_factory=list)  # segments that were taken
    order_ids: set[int] = field(default_factory=set)  # ever sent, by every process
    restarts: int = 0


def can_restart(run: Run) -> bool:
    """Tell whether all venues can be asked for our account, and let another process connect."""
    entries = [venue.order_entry for venue in run.config.venue]
    return all(entry.resume is not None and entry.connect_anew is not None for entry in entries)


def begin_journal(run: Run, carried: Carried | None = None, recording: Recording | None = None) -> MemoryJournal:
    """Write what a journal begins with."""
    kept = MemoryJournal(run.engine.journal, recording.journal if recording else None)
    run.engine.state.tells_turns = 1
    capture = recording.capture if recording else None
    described = describe_run(run.core, run.config, run.config_path, "simulation", capture=capture)
    write_description(kept.journal, described)
    write_opening(run.core, run.config, carried, [part.session for part in run.parts])
    return kept


def read_history(world: "World", is_torn: bool = False) -> Carried:
    """Read the journal of the process that runs now, or has just died: perhaps in the middle of a record."""
    image = bytes(world.kept.written())
    if is_torn:
        image += bytes(RecordHeader.size // 2) + struct.pack("<q", world.kept.journal.sequence + 1) * (TORN_BYTES // 8)
    number = world.kept.segment.number
    # The segment to come is allocated already, as it is on a disk.
    segments = [*world.history.images, (number, image), (number + 1, bytes(WORD_BYTES))]
    reader = JournalReader([(number, np.frombuffer(data, np.uint8)) for number, data in segments], "simulated")
    carried = fold(reader, world.run.config_path)
    assert carried is not None
    return carried


def forget_records(kept: MemoryJournal, count: int) -> int:
    """Undo the last records, as if the process had died before it wrote them; what announced a frame stays.

    Return how many of them told turns.
    """
    turns = 0
    ends = [record for batch in read_memory(kept).batches() for record in places_of(batch)]
    while ends and count > 0 and ends[-1][1] not in (RecordKind.ORDER_SENT, RecordKind.AMEND_SENT):
        journal, (place, kind) = kept.journal, ends.pop()
        turns += kind == RecordKind.TURNS
        written = np.frombuffer(kept.written(), np.uint8)
        written[place:] = 0
        journal.position = kept.segment.address + place
        journal.sequence -= 1
        count -= 1
    return turns


def places_of(batch: Batch) -> list[tuple[int, int]]:
    """List a batch's records: (byte in the segment, kind)."""
    return list(zip((batch.places * WORD_BYTES).tolist(), batch.commits["kind"].tolist(), strict=True))


def judge_journal(world: "World") -> None:
    """Hold what the journal says against what is in memory."""
    carried, engine = read_history(world), world.run.engine
    world.watch.evaluated[Invariant.JOURNAL_TELLS] += 1
    for index, name in enumerate(instrument_names(world.run.config)):
        held = carried.holdings.get((ACCOUNT_NAME, name))
        told = tuple(getattr(held, each, 0) for each in ("position_lots", "cash_e9", "fees_e9", "fills"))
        position = engine.gate.positions[index]
        ours = (position.position_lots, position.cash_e9, position.fees_e9, position.fills)
        if told != ours:
            world.violate(Invariant.JOURNAL_TELLS, index, f"(position, cash, fees, fills) {told}", str(ours))
    if world.lies:
        return  # what a lie says of an order is booked as a position, and not believed of the order
    orders = {order.client_order_id: order.filled_lots for order in world.open_orders()}
    told_orders = {client_order_id: order.terms["filled_lots"] for client_order_id, order in carried.orders.items()}
    if orders != told_orders:
        world.violate(Invariant.JOURNAL_TELLS, 0, f"open {told_orders}", str(orders))


def restart(world: "World", is_torn: bool, down_ns: int) -> None:
    """Start another engine in place of one that has died, `down_ns` later."""
    old = world.run
    carried = read_history(world, is_torn)
    now_ns = world.now_ns
    # The turn that it died in was not judged, and the exchange's past books are not remembered for long.
    judge_books(world.watch, old.engine)
    # While a wire is cut the next process could not log on: whoever starts it waits.
    let_exchanges_go_on(world, max(now_ns + down_ns, *(cable.cut_until_ns for cable in world.cables)))
    for cable in world.cables:
        mend(cable)
    for number, venue in enumerate(old.config.venue):
        connect = venue.order_entry.connect_anew
        assert connect is not None
        connect(old.parts[number].exchange, max(now_ns, old.parts[number].exchange.now_ns))
    world.count_past()
    core = build_core(old.config, old.config_path)
    for index in range(core.engine.market.count):
        core.engine.gate.limits[index].position_lots_max = old.engine.gate.limits[index].position_lots_max
    take_over(core, old.config, carried)
    take_over_market(core, old.engine.market)
    parts = tuple(
        make_parts(number, old.config, old.engine.market, old.config_path, cable)._replace(
            feed=old.parts[number].feed, exchange=old.parts[number].exchange, checks_udp=True
        )
        for number, cable in enumerate(world.cables)
    )
    begin_clock(world.clock, world.engine_clock)
    run = Run(old.config, old.config_path, core, parts, old.clock, old.replays)
    run.core.linker.link_all(world.entries, watch_unit())
    run.load()
    for number, venue in enumerate(run.config.venue):
        resume = venue.order_entry.resume
        assert resume is not None
        # The first process has asked no venue for its account: it began with none, so that no fill is in it.
        known = carried.execution_ids.get(venue.name, 0)
        resume(parts[number].session, resumed_at(venue.name, run.config, carried)._replace(execution_id=known))
    world.run = run
    forget_deliveries(world)
    world.history.images.clear()
    world.history.restarts += 1
    world.kept = begin_journal(run, carried)


def take_over_market(core: Core, market: Market) -> None:
    """Begin with the books as they are: snapshots come every 10 s, and a seed lasts 5 s."""
    engine = core.engine
    engine.market = market
    engine.orders.instruments = market.instruments
    for number in range(engine.seat_count):
        desk = engine.seats[number].desk
        desk.instruments, desk.books = market.instruments, market.books


def let_exchanges_go_on(world: "World", until_ns: int) -> None:
    """Let time pass with no engine: what it has sent arrives, and nobody takes the answers."""
    frame = Frame()
    world.clock.slow_until_ns = 0
    for cable in world.cables:
        cable.killed = cable.kill_moment = cable.was_answer = 0
        with plain_faults(world.run.config_path):
            take_until(cable, frame, until_ns + world.clock.offset_ns)


def take_until(cable: Struct, frame: Frame, until_ns: int) -> None:
    """Take all frames that come until then, by the engine's clock, and drop them."""
    while 0 <= next_time_ns(cable) <= until_ns:
        if poll(cable, frame, until_ns):
            release(cable)
