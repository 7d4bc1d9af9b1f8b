"""What an operator asks of an engine in a simulated world, and whether it is done: all of it or nothing."""

from random import Random

from crosswire.engine.control.mailbox import (
    ACCEPTED,
    EVERY,
    CommandKind,
    Flattening,
    Outcome,
    client_bytes,
    write_command,
)
from crosswire.engine.simulate.plan import Event
from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.simulate.world import World, is_broken, turn_until
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import load_i64
from crosswire.risk.trading_state import TradingState, Why

CLIENT = client_bytes("simulation")
ANSWER_MS = 10  # within which a command is answered
STEP_NS = 200_000
VALUES_MAX = 4  # of one SET
FACTORS = (0.0, 0.5, 0.9, 1.0, 1.1, 2.0, 1e9)
# What is open or held is judged by these: a tighter one would be broken by what was there before.
ONLY_LOOSENED = ("position_lots_max", "open_orders_max", "short_lots_max")
RESTRICTING = (CommandKind.PAUSE, CommandKind.REDUCE_ONLY, CommandKind.FLATTEN)


def give_command(world: World, event: Event, now_ns: int) -> None:
    """Give a command, judge what comes of it, and take back after a while what it allows no more."""
    kind, random = CommandKind(event.command), Random(event.choice)
    items = draw_items(world, random) if kind == CommandKind.SET else []
    selectors = draw_selectors(world, random) if kind == CommandKind.CANCEL_ALL else (EVERY, EVERY, EVERY)
    before = values_of(world)
    if not ask(world, kind, selectors, items):
        return
    judge_command(world, kind, items, before)
    if kind == CommandKind.FLATTEN:
        await_flat(world)
    if kind in RESTRICTING and not is_broken(world):
        turn_until(world, max(world.now_ns, now_ns + event.for_ms * NS_PER_MS))
        if not is_broken(world) and ask(world, CommandKind.RESUME, (EVERY, EVERY, EVERY), []):
            judge_command(world, CommandKind.RESUME, [], values_of(world))


def ask(world: World, kind: CommandKind, selectors: tuple[int, int, int], items: list[tuple[int, int]]) -> bool:
    """Write a command and turn until it is answered; False: something is wrong."""
    mailbox = world.mailbox
    number = mailbox.number[0] + 1
    write_command(mailbox, number, kind, selectors, CLIENT, items)
    world.happened["commands given"] += 1
    until_ns = world.now_ns + ANSWER_MS * NS_PER_MS
    while mailbox.answered[0] != number and world.now_ns < until_ns and not is_broken(world):
        turn_until(world, world.now_ns + STEP_NS)
    world.watch.evaluated[Invariant.COMMANDS_HOLD] += 1
    if mailbox.answered[0] != number and not is_broken(world):
        world.violate(Invariant.COMMANDS_HOLD, 0, f"{kind.name} has no answer", f"one within {ANSWER_MS} ms")
    return not is_broken(world)


def draw_selectors(world: World, random: Random) -> tuple[int, int, int]:
    """Draw whose orders are cancelled."""
    engine = world.run.engine
    counts = (engine.venue_count, engine.market.count, engine.seat_count)
    venue, instrument, strategy = (random.choice((EVERY, random.randrange(count))) for count in counts)
    return venue, instrument, strategy


def draw_items(world: World, random: Random) -> list[tuple[int, int]]:
    """Draw values to set, some of which can't be."""
    control, items = world.run.engine.control, []
    loosened = loosened_addresses(world)
    for place in random.sample(range(control.parameter_count), random.randint(1, VALUES_MAX)):
        address = control.parameters[place].address
        now = load_i64(address)
        value = min(int(now * random.choice(FACTORS)), (1 << 62) - 1)
        items.append((place, max(now, value) if address in loosened else value))
    return items


def loosened_addresses(world: World) -> set[int]:
    """Find where the limits are that are only loosened."""
    gate, found = world.run.engine.gate, set()
    limits = [gate.limits[index] for index in range(gate.instrument_count)]
    venues = [gate.venues[number] for number in range(world.run.engine.venue_count)]
    for struct in (*limits, *venues):
        fields = type(struct).fields
        found |= {struct.address + fields[name].offset for name in ONLY_LOOSENED if name in fields}
    return found


def values_of(world: World) -> list[int]:
    """Read all parameters."""
    control = world.run.engine.control
    return [load_i64(control.parameters[place].address) for place in range(control.parameter_count)]


def judge_command(world: World, kind: CommandKind, items: list[tuple[int, int]], before: list[int]) -> None:
    """Hold what the answer says against what is."""
    gate, outcome = world.run.engine.gate, Outcome(world.mailbox.outcome)
    world.watch.evaluated[Invariant.COMMANDS_HOLD] += 1
    is_accepted = outcome in ACCEPTED
    wanted = list(before)
    for place, value in items if is_accepted else []:
        wanted[place] = value
    if values_of(world) != wanted:
        world.violate(Invariant.COMMANDS_HOLD, 0, f"{kind.name} {outcome.name}: {values_of(world)}", str(wanted))
    if not is_accepted:
        return
    least = {CommandKind.PAUSE: TradingState.CANCEL_ONLY, CommandKind.REDUCE_ONLY: TradingState.REDUCE_ONLY}
    asked = [gate.asked[why] for why in Why]
    if gate.state != max(asked) or asked[Why.OPERATOR] < least.get(kind, TradingState.ACTIVE):
        world.violate(Invariant.COMMANDS_HOLD, 0, f"{kind.name} {outcome.name}: {gate.state} of {asked}", "the worst")
    if kind == CommandKind.RESUME and asked[Why.OPERATOR] != TradingState.ACTIVE:
        world.violate(Invariant.COMMANDS_HOLD, 0, f"RESUME: {asked[Why.OPERATOR]}", "active")


def await_flat(world: World) -> None:
    """Turn until positions are traded away, or as far as they can be, and hold what it says against what is held."""
    engine = world.run.engine
    flatten = engine.control.flatten
    patience_ns = (flatten.tries_max + 2) * flatten.interval_ns * 2
    until_ns = world.now_ns + patience_ns
    while flatten.state == Flattening.ON and world.now_ns < until_ns and not is_broken(world):
        turn_until(world, world.now_ns + NS_PER_MS)
    if is_broken(world) or world.no_room_ns != 0:
        return
    world.watch.evaluated[Invariant.FLATTEN_ENDS] += 1
    if flatten.state == Flattening.ON:
        world.violate(Invariant.FLATTEN_ENDS, 0, "it is still on", f"an end within {patience_ns // NS_PER_MS} ms")
    held = sum(engine.gate.positions[index].position_lots != 0 for index in range(engine.market.count))
    if flatten.state == Flattening.FLAT and held != 0 and not world.lies:
        world.violate(Invariant.FLATTEN_ENDS, 0, f"flat, and {held} instruments are held", "none")
