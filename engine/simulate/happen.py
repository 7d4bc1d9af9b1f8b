"""What happens in a simulated world at a moment of its plan."""

import sys
from collections.abc import Callable
from contextlib import suppress

from crosswire.engine.errors import LoopError
from crosswire.engine.simulate.cable import connection_number, cut_connection, is_dead
from crosswire.engine.simulate.commands import give_command
from crosswire.engine.simulate.judge import CATCH_UP_MS, judge_lie, judge_standstill
from crosswire.engine.simulate.plan import Event, Happening, Moment
from crosswire.engine.simulate.restart import can_restart, forget_records, judge_journal, restart
from crosswire.engine.simulate.world import World, hear_commands, is_broken, take_records, turn_until
from crosswire.engine.simulate.world_clock import engine_ns, step_clock
from crosswire.engine.standstill import STANDSTILL_NS
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.journal.journal import RESERVE_BYTES
from crosswire.nic.rings.delay import DelayRing
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.session import SessionState

KILL_PATIENCE_MS = 100  # for the moment at which the engine is to be killed
RESTART_MS = 300  # for logon, what was missed, and the account
REPEATED_MAX = 40  # messages that an exchange sends again at once
SILENCE_MS = 3_500  # until a connection that died without a word is noticed: three heartbeats and more
LIE_PATIENCE_MS = 2_000  # for an answer that the lie fits
HELD_MS = 5  # that answers are held for one to be found: longer than nothing happens
LATE_FOR_MS = 500  # that a line, or orders, are late
LOOKED_MS = 2  # after so long they are looked at


def happen(world: World, event: Event) -> None:
    """Let an event happen now."""
    now_ns = world.now_ns
    if world.trace:
        at_ms = (now_ns - world.start_ns) / NS_PER_MS
        print(f"{at_ms:9.3f} ms  venue {event.venue}: {event.happening.name} {event.for_ms} ms", file=sys.stderr)
    HAPPENINGS[event.happening](world, event, now_ns)


def end_of(event: Event, now_ns: int) -> int:
    """Tell until when an event lasts that begins now."""
    return now_ns + event.for_ms * NS_PER_MS


def delay_answers(world: World, event: Event, now_ns: int) -> None:
    """Let no answer arrive for a while."""
    cable = world.cables[event.venue]
    cable.late_until_ns = max(cable.late_until_ns, end_of(event, now_ns))


def fill_ring(world: World, event: Event, now_ns: int) -> None:
    """Leave the transmit ring no slot for a while."""
    cable = world.cables[event.venue]
    cable.full_until_ns = max(cable.full_until_ns, end_of(event, now_ns))


def cut_connections(world: World, event: Event, now_ns: int) -> None:
    """Cut one order connection, or both."""
    gateways = world.run.config.venue[event.venue].order_entry.gateways_max
    for gateway in range(gateways):
        if event.both or gateway == event.gateway % gateways:
            cut_connection(world.cables[event.venue], gateway, end_of(event, now_ns))
    world.has_cut = True


def kill_gateway(world: World, event: Event, now_ns: int) -> None:
    """Let a gateway's process die."""
    entry = world.run.config.venue[event.venue].order_entry
    if entry.kill_gateway is not None:
        entry.kill_gateway(world.run.parts[event.venue].exchange, event.gateway % entry.gateways_max, now_ns)
        world.happened["gateways killed"] += 1
        world.unheard_ns[event.venue] = now_ns + SILENCE_MS * NS_PER_MS


def repeat_answers(world: World, event: Event, now_ns: int) -> None:
    """Let a gateway send its last messages again."""
    entry = world.run.config.venue[event.venue].order_entry
    if entry.repeat_answers is not None:
        exchange = world.run.parts[event.venue].exchange
        entry.repeat_answers(exchange, event.gateway % entry.gateways_max, REPEATED_MAX, now_ns)
        world.happened["answers repeated"] += 1


def kill_engine(world: World, event: Event, now_ns: int) -> None:
    """Kill the engine's process at the moment that the event names, or soon, and start another one."""
    if not can_restart(world.run):
        return
    cable = world.cables[event.venue]
    if event.moment != Moment.BETWEEN_TURNS:
        cable.kill_moment, cable.kill_count = int(event.moment), event.count
        with suppress(LoopError):
            turn_until(world, now_ns + KILL_PATIENCE_MS * NS_PER_MS)
        cable.kill_moment = 0
    if cable.killed == 0:
        judge_journal(world)
    elif event.moment == Moment.AMID_RECORDS:
        world.turns_forgotten = forget_records(world.kept, event.unwritten)
    take_records(world)
    restart(world, event.is_torn, event.for_ms * NS_PER_MS)
    hear_commands(world)
    world.watch.is_leaving = 0
    for number in range(len(world.cables)):
        world.watch.second_ns[number] = 0  # another process has its whole rate again
    world.is_disk_full = False
    world.turns_forgotten = 0
    world.alarm_seen_ns = world.no_room_ns = 0
    world.accounts_seen.clear()
    world.displaced.clear()
    until_ns = world.now_ns + event.for_ms * NS_PER_MS + RESTART_MS * NS_PER_MS
    for number in range(len(world.cables)):
        world.unheard_ns[number] = max(until_ns, world.unheard_ns.get(number, 0))


def tell_lie(world: World, event: Event, now_ns: int) -> None:
    """Let an exchange lie in the next answer that a lie fits, and see what the engine makes of it.

    Only while the session is ready: what it is told before that it may know.
    """
    number, cable = event.venue, world.cables[event.venue]
    lies = world.run.config.venue[number].order_entry.lies()
    first = event.lie % len(lies) if lies else 0
    names = [*list(lies)[first:], *list(lies)[:first]]
    session = world.run.parts[number].session
    while world.now_ns < now_ns + LIE_PATIENCE_MS * NS_PER_MS and not is_broken(world):
        cable.late_until_ns = max(cable.late_until_ns, world.now_ns + HELD_MS * NS_PER_MS)
        turn_until(world, world.now_ns + LOOKED_MS * NS_PER_MS)
        if session.state != SessionState.READY:
            return
        name = next((name for name in names if lies[name].tell(cable.answers)), None)
        if name is not None:
            if world.trace:
                print(f"               venue {number} lies: {name}", file=sys.stderr)
            world.lies[number] += 1
            world.watch.has_lied = 1
            world.happened["lies told"] += 1
            hear_lie(world, number, name)
            return


def hear_lie(world: World, number: int, name: str) -> None:
    """Turn until all that is under way was heard, and judge what came of it."""
    engine = world.run.engine
    outcome = world.run.config.venue[number].order_entry.lies()[name].outcome
    before = engine.orders.outcomes[outcome]
    hear(world, world.cables[number].answers)
    judge_lie(world, number, name, engine.orders.outcomes[outcome] - before)


def hear(world: World, wire: DelayRing) -> None:
    """Turn until all that is under way on a wire was received."""
    last = wire.sent
    while wire.received < last and not is_broken(world):
        turn_until(world, world.now_ns + NS_PER_MS)


def fill_disk(world: World, event: Event, _now_ns: int) -> None:
    """Leave the journal little more than what it keeps for the last turns, and no other segment."""
    if world.is_disk_full:
        return
    take_records(world)
    journal = world.kept.journal
    journal.turn_limit = journal.position + event.room_bytes
    journal.limit = journal.turn_limit + RESERVE_BYTES
    world.is_disk_full = True


def set_clock(world: World, event: Event, now_ns: int) -> None:
    """Set the host's clock. A slow one sends its heartbeats late: sessions may be lost by it."""
    if world.trace:
        print(f"               by {event.step_ns / NS_PER_MS:.0f} ms", file=sys.stderr)
    before = silences(world)
    step_clock(world.clock, world.engine_clock, event.step_ns)
    if event.step_ns > 0:
        turn_until(world, now_ns + LOOKED_MS * NS_PER_MS)
        judge_silences(world, before)
    world.happened["clocks set forward" if event.step_ns > 0 else "clocks set back"] += 1
    world.has_cut = True


def displace(world: World, event: Event, _now_ns: int) -> None:
    """Let another client take our place at a gateway, and the engine hear so."""
    number, cable, part = event.venue, world.cables[event.venue], world.run.parts[event.venue]
    entry = world.run.config.venue[number].order_entry
    gateway = event.gateway % entry.gateways_max
    # A gateway that was killed a moment ago has ended the connection, and we have not heard it yet.
    hear(world, part.exchange.answers)
    hear(world, cable.answers)
    connection = connection_number(cable, gateway)
    # Whoever has no connection there is told nothing, and comes back.
    is_there = connection != 0 and not is_dead(cable, gateway)
    if entry.displace is None or part.session.state != SessionState.READY or not is_there:
        return
    if entry.displace(part.exchange, gateway, world.now_ns):
        hear(world, part.exchange.answers)
        hear(world, cable.answers)
        world.displaced[number, gateway] = connection
        world.unheard_ns[number] = max(world.now_ns + CATCH_UP_MS * NS_PER_MS, world.unheard_ns.get(number, 0))
        world.happened["sessions displaced"] += 1


def delay_line(world: World, event: Event, now_ns: int) -> None:
    """Let one of two lines of market data be late for a while."""
    cable = world.cables[event.venue]
    cable.late_line = event.gateway
    cable.line.latency_ns = event.for_ms * NS_PER_MS
    cable.line_late_until_ns = now_ns + LATE_FOR_MS * NS_PER_MS


def throttle(world: World, event: Event, now_ns: int) -> None:
    """Let an exchange refuse orders by rate for a while."""
    entry = world.run.config.venue[event.venue].order_entry
    if entry.throttle is not None:
        entry.throttle(world.run.parts[event.venue].exchange, end_of(event, now_ns))
        world.happened["exchanges throttled"] += 1


def delay_orders(world: World, event: Event, now_ns: int) -> None:
    """Let an exchange take orders later for a while."""
    orders = world.run.parts[event.venue].exchange.orders
    _, usual_ns = world.slowed.get(event.venue, (0, orders.latency_ns))
    world.slowed[event.venue] = now_ns + LATE_FOR_MS * NS_PER_MS, usual_ns
    orders.latency_ns = usual_ns + event.for_ms * NS_PER_MS
    world.happened["orders late"] += 1


def let_orders_be_quick(world: World) -> None:
    """Let exchanges take orders as soon as usual again, where that is due."""
    for number, (until_ns, usual_ns) in list(world.slowed.items()):
        if world.now_ns >= until_ns:
            world.run.parts[number].exchange.orders.latency_ns = usual_ns
            del world.slowed[number]


def silences(world: World) -> list[int]:
    """Count, by venue, how often its session was given up because nothing was heard."""
    return [part.session.silences for part in world.run.parts]


def judge_silences(world: World, before: list[int]) -> None:
    """Judge what the engine makes of time in which it did not listen, where everything arrives."""
    for number, (part, cable) in enumerate(zip(world.run.parts, world.cables, strict=True)):
        gateways = range(world.run.config.venue[number].order_entry.gateways_max)
        is_heard = world.now_ns >= cable.late_until_ns and not any(is_dead(cable, each) for each in gateways)
        if is_heard and part.session.state != SessionState.ENDED:
            judge_standstill(world, number, part.session.silences - before[number])


def stand_still(world: World, event: Event, now_ns: int) -> None:
    """Let the engine's thread stand still, and then read what has come; nobody is to be given up for silence then."""
    engine = world.run.engine
    before = silences(world)
    for cable in world.cables:
        cable.stamps_read = int(event.both)
    woken_ns = engine_ns(world.clock, end_of(event, now_ns))
    world.engine_clock.now_ns = max(world.engine_clock.now_ns, woken_ns)
    engine.state.standstill_ns = STANDSTILL_NS
    turn_until(world, end_of(event, now_ns) + LOOKED_MS * NS_PER_MS)
    engine.state.standstill_ns = NEVER_NS
    for cable in world.cables:
        cable.stamps_read = 0
    judge_silences(world, before)
    world.happened["standstills"] += 1
    world.has_cut = True  # an exchange may have given us up


# What happens is counted here, unless something else counts it.
HAPPENED = (
    "gateways killed",
    "failovers",
    "answers repeated",
    "lies told",
    "disks full",
    "clocks set forward",
    "clocks set back",
    "sessions displaced",
    "exchanges throttled",
    "orders late",
    "standstills",
    "commands given",
)
HAPPENINGS: dict[Happening, Callable[[World, Event, int], None]] = {
    Happening.ANSWERS_LATE: delay_answers,
    Happening.RING_FULL: fill_ring,
    Happening.CONNECTION_CUT: cut_connections,
    Happening.GATEWAY_KILLED: kill_gateway,
    Happening.ANSWERS_REPEATED: repeat_answers,
    Happening.ENGINE_KILLED: kill_engine,
    Happening.LIE_TOLD: tell_lie,
    Happening.DISK_FULL: fill_disk,
    Happening.CLOCK_STEPPED: set_clock,
    Happening.DISPLACED: displace,
    Happening.LINE_LATE: delay_line,
    Happening.THROTTLED: throttle,
    Happening.ORDERS_LATE: delay_orders,
    Happening.STOOD_STILL: stand_still,
    Happening.COMMANDED: give_command,
}
