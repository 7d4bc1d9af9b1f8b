"""What happens in a simulated world at a moment of its plan."""

import sys
from contextlib import suppress

from crosswire.engine.errors import LoopError
from crosswire.engine.simulate.cable import cut_connection
from crosswire.engine.simulate.plan import Event, Happening, Moment
from crosswire.engine.simulate.restart import can_restart, forget_records, judge_journal, restart
from crosswire.engine.simulate.world import World, take_records, turn_until
from crosswire.nic.duration import NS_PER_MS

KILL_PATIENCE_MS = 100  # for the moment at which the engine is to be killed
RESTART_MS = 300  # for logon, what was missed, and the account
REPEATED_MAX = 40  # messages that an exchange sends again at once
SILENCE_MS = 3_500  # until a connection that died without a word is noticed: three heartbeats and more


def happen(world: World, event: Event) -> None:
    """Let an event happen now."""
    now_ns = world.run.engine.state.now_ns
    cable = world.cables[event.venue]
    entry = world.run.config.venue[event.venue].order_entry
    until_ns = now_ns + event.for_ms * NS_PER_MS
    if world.trace:
        at_ms = (now_ns - world.start_ns) / NS_PER_MS
        print(f"{at_ms:9.3f} ms  venue {event.venue}: {event.happening.name} {event.for_ms} ms", file=sys.stderr)
    if event.happening == Happening.ANSWERS_LATE:
        cable.late_until_ns = max(cable.late_until_ns, until_ns)
    elif event.happening == Happening.RING_FULL:
        cable.full_until_ns = max(cable.full_until_ns, until_ns)
    elif event.happening == Happening.CONNECTION_CUT:
        for gateway in range(entry.gateways_max):
            if event.both or gateway == event.gateway % entry.gateways_max:
                cut_connection(cable, gateway, until_ns)
        world.has_cut = True
    elif event.happening == Happening.ENGINE_KILLED:
        if can_restart(world.run):
            kill_engine(world, event)
    elif event.happening == Happening.ANSWERS_REPEATED:
        if entry.repeat_answers is not None:
            exchange = world.run.parts[event.venue].exchange
            entry.repeat_answers(exchange, event.gateway % entry.gateways_max, REPEATED_MAX, now_ns)
            world.repeated += 1
    else:
        if entry.kill_gateway is not None:
            entry.kill_gateway(world.run.parts[event.venue].exchange, event.gateway % entry.gateways_max, now_ns)
            world.killed += 1
            world.unheard_ns[event.venue] = now_ns + SILENCE_MS * NS_PER_MS


def kill_engine(world: World, event: Event) -> None:
    """Kill the engine's process at the moment that the event names, or soon, and start another one."""
    engine, cable = world.run.engine, world.cables[event.venue]
    if event.moment != Moment.BETWEEN_TURNS:
        cable.kill_moment, cable.kill_count = int(event.moment), event.count
        with suppress(LoopError):
            turn_until(world, engine.state.now_ns + KILL_PATIENCE_MS * NS_PER_MS)
        cable.kill_moment = 0
    if cable.killed == 0:
        judge_journal(world)
    elif event.moment == Moment.AMID_RECORDS:
        forget_records(world.kept, event.unwritten)
    take_records(world)
    restart(world, event.is_torn, event.for_ms * NS_PER_MS)
    world.alarm_seen_ns = 0
    world.accounts_seen.clear()
    until_ns = world.run.engine.state.now_ns + event.for_ms * NS_PER_MS + RESTART_MS * NS_PER_MS
    for number in range(len(world.cables)):
        world.unheard_ns[number] = max(until_ns, world.unheard_ns.get(number, 0))
