"""One seed: engine, cables and exchanges in one process on virtual time, and what is wrong at the end of it."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from crosswire.engine.build.market import level_capacity
from crosswire.engine.build.run import Core, Run, build_run
from crosswire.engine.build.venue import made, order_flow, venue_setup
from crosswire.engine.config import ConfigError, RunConfig, StrategyConfig
from crosswire.engine.errors import LoopError
from crosswire.engine.faults import plain_faults
from crosswire.engine.loop import Status
from crosswire.engine.seat import raise_failure
from crosswire.engine.simulate.cable import Cable, connection_number, cut_connection, is_dead, make_cable
from crosswire.engine.simulate.plan import TRADING_MS, Event, Happening, Moment, Plan
from crosswire.engine.simulate.restart import (
    History,
    begin_journal,
    can_restart,
    forget_records,
    judge_journal,
    restart,
)
from crosswire.engine.simulate.truth import make_truth
from crosswire.engine.simulate.watch import VIOLATIONS_MAX, Invariant, Watch, watch_unit
from crosswire.engine.state import Engine, begin_leaving
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import elements, read_memory
from crosswire.nic.memory.struct import Struct, address_of, i64
from crosswire.nic.rings.fault import FaultRates
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.unit.load import call_entry
from crosswire.risk.records import VERSION, FillRecord, OrderSent, RecordKind
from crosswire.venues.adapter import ExchangeAccount, OpenOrder
from crosswire.venues.order import (
    AmendState,
    Applied,
    Order,
    OrderState,
    is_alarm,
    is_open,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.side import sign_of

LOOK_MS = 50  # between two looks at the exchanges' own accounts
KILL_PATIENCE_MS = 100  # for the moment at which the engine is to be killed
RESTART_MS = 300  # for logon, what was missed, and the account
REPEATED_MAX = 40  # messages that an exchange sends again at once
ALARM_MS = 1_000  # for the answers to the cancels of an alarm
CUT_LEAVING_MS = 16_000  # where a connection was cut: two heartbeats of 5 s, a new connection, what was missed
CATCH_UP_MS = 200  # for a new connection: logon, and all that was missed
SILENCE_MS = 3_500  # until a connection that died without a word is noticed: three heartbeats and more
LEAVING_MS = 4_500  # for the answers to the last cancels, and for silence to be noticed


class WatchEntries(Struct):
    """Addresses of the watch's unit."""

    run_watched: i64


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Something that did not hold."""

    invariant: str
    time_ms: float  # after the first frame
    turn: int
    place: int  # instrument, or venue
    found: str
    expected: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one seed."""

    seed: int
    steps: int
    orders: int
    fills: int
    alarms: int
    digests: str
    faults: dict[str, int]  # by kind: how often it happened
    evaluated: dict[str, int]  # by invariant
    violations: list[Found]


@dataclass
class World:
    """One seed being played."""

    plan: Plan
    run: Run
    cables: list[Cable]
    watch: Watch
    entries: WatchEntries
    kept: MemoryJournal
    trace: bool = False
    start_ns: int = 0
    fills: Counter[tuple[int, int]] = field(default_factory=Counter)  # by venue and execution id
    filled_lots: Counter[int] = field(default_factory=Counter)  # by market index
    killed: int = 0
    repeated: int = 0
    has_cut: bool = False
    connections: dict[tuple[int, int], int] = field(default_factory=dict)  # number seen last, by venue and gateway
    unheard_ns: dict[int, int] = field(default_factory=dict)  # until when a venue's end may be unknown, by number
    alarm_seen_ns: int = 0
    violations: list[Found] = field(default_factory=list)
    history: History = field(default_factory=History)
    past: Counter[str] = field(default_factory=Counter)  # of processes that have died
    accounts_seen: dict[int, int] = field(default_factory=dict)  # times that a venue has told its account

    def violate(self, invariant: Invariant, place: int, found: str, expected: str) -> None:
        """Note that something does not hold."""
        state = self.run.engine.state
        if len(self.violations) < VIOLATIONS_MAX:
            time_ms = (state.now_ns - self.start_ns) / NS_PER_MS
            name = invariant.name
            self.violations.append(
                Found(invariant=name, time_ms=time_ms, turn=state.turns, place=place, found=found, expected=expected)
            )

    def open_orders(self) -> Iterator[Order]:
        """List the engine's open orders."""
        orders = self.run.engine.orders
        for slot in orders.orders.numpy()["state"].nonzero()[0]:
            if is_open(orders.orders[int(slot)]):
                yield orders.orders[int(slot)]

    def count_past(self) -> None:
        """Keep what a process has counted that is about to be replaced."""
        engine = self.run.engine
        state = engine.state
        self.past.update(steps=state.turns, orders=state.orders_sent, fills=state.fills, alarms=engine.gate.alarms)
        self.past.update(lost=sessions_lost(engine), back=sessions_back(engine))


def sessions_lost(engine: Engine) -> int:
    """Count the losses of order sessions."""
    return sum(engine.venues[number].losses for number in range(engine.venue_count))


def sessions_back(engine: Engine) -> int:
    """Count the lost order sessions that were ready again."""
    return sessions_lost(engine) - sum(engine.venues[number].is_lost for number in range(engine.venue_count))


def make_world(plan: Plan, config: RunConfig, config_path: Path) -> World:
    """Make everything of a seed. ConfigError, CaptureError, StoreError: one line each."""
    for venue in config.venue:
        if venue.order_entry.account is None:
            raise ConfigError(
                f"{config_path}: venue {venue.name}: its exchange tells no account; it can't be simulated"
            )
    config = msgspec.structs.replace(config, strategy=strategies_of(plan, config))
    cables: list[Cable] = []
    watch, entries = Watch(), WatchEntries()

    def lay_cable(core: Core, number: int, ring: RemoteRing) -> Cable:
        venue, market, linker = config.venue[number], core.engine.market, core.linker
        feed = made(venue.adapter.make_feed, venue_setup(number, config, market, config_path), config, config_path)
        truth = make_truth(ring, feed, market, level_capacity(config), linker)
        flows = tuple(order_flow(number, gateway) for gateway in range(venue.order_entry.gateways_max))
        rates = FaultRates(**msgspec.structs.asdict(plan.rates[number]))
        watch.truths[number] = address_of(truth)
        cables.append(make_cable(truth, plan.seed * len(config.venue) + number, rates, flows))
        return cables[-1]

    run = build_run(config, config_path, lay_cable)
    if plan.is_restless and plan.position_max_lots != 0:
        for index in range(run.engine.market.count):
            run.engine.gate.limits[index].position_lots_max = plan.position_max_lots
    run.core.linker.link_all(entries, watch_unit())
    run.load()
    return World(plan, run, cables, watch, entries, begin_journal(run))


def strategies_of(plan: Plan, config: RunConfig) -> list[StrategyConfig]:
    """The configured strategies, or the restless one on all instruments."""
    if not plan.is_restless:
        return config.strategies
    names = [f"{venue.name}/{each.symbol}" for venue in config.venue for each in venue.instrument]
    parameters = {"instruments": names, "seed": plan.seed, "every": plan.every, "wild": plan.is_wild}
    return [StrategyConfig(use="restless", parameters=parameters)]


def play(world: World) -> Outcome:
    """Play a seed to its end."""
    try:
        turn_until(world, 1)
        world.start_ns = world.run.engine.state.now_ns
        for event in world.plan.events:
            look_until(world, event.at_ms)
            if not is_broken(world):
                happen(world, event)
        look_until(world, TRADING_MS)
        if not is_broken(world):
            leave(world)
        if not is_broken(world):
            judge_journal(world)
        return outcome_of(world)
    finally:
        world.run.close()


def look_until(world: World, at_ms: int) -> None:
    """Turn until so long after the first frame; hold the accounts against the exchanges' own now and then."""
    state = world.run.engine.state
    while (now_ms := (state.now_ns - world.start_ns) // NS_PER_MS) < at_ms and not is_broken(world):
        turn_until(world, world.start_ns + min(at_ms, now_ms + LOOK_MS) * NS_PER_MS)
        judge_reports(world)
        judge_accounts(world)
        for number in range(len(world.cables)):
            note_connections(world, number)
            account = account_of(world, number)
            if is_quiet(world, number, account):
                compare(world, number, account)
                judge_alarm(world, number, account)


def judge_reports(world: World) -> None:
    """No exchange lies here: a report that contradicts what the engine holds is a fault of ours at either end."""
    world.watch.evaluated[Invariant.ALARMS_ARE_TRUE] += 1
    for outcome in Applied:
        count = world.run.engine.orders.outcomes[outcome]
        if is_alarm(outcome) and count != 0:
            world.violate(Invariant.ALARMS_ARE_TRUE, 0, f"{outcome.name} {count} times", "never")


def judge_accounts(world: World) -> None:
    """What a venue tells of us after a restart, or a loss, is what we hold."""
    engine = world.run.engine
    for number in range(engine.venue_count):
        venue = engine.venues[number]
        if venue.accounts != world.accounts_seen.get(number, 0):
            world.accounts_seen[number] = venue.accounts
            world.watch.evaluated[Invariant.RESTART_AGREES] += 1
        if venue.differences + venue.strangers != 0:
            found = f"{venue.differences} positions, {venue.strangers} orders differ"
            world.violate(Invariant.RESTART_AGREES, number, found, "none")


def note_connections(world: World, number: int) -> None:
    """While a connection is gone, and until a new one has caught up, engine and exchange need not agree."""
    cable = world.cables[number]
    for gateway in range(world.run.config.venue[number].order_entry.gateways_max):
        connection = connection_number(cable, gateway)
        if connection == 0 or is_dead(cable, gateway) or connection != world.connections.get((number, gateway), 1):
            until_ns = world.run.engine.state.now_ns + CATCH_UP_MS * NS_PER_MS
            world.unheard_ns[number] = max(until_ns, world.unheard_ns.get(number, 0))
        world.connections[number, gateway] = connection


def judge_alarm(world: World, number: int, account: ExchangeAccount) -> None:
    """Some time after an alarm nothing of ours may be open at a venue that we are connected to."""
    engine = world.run.engine
    if engine.gate.alarms != 0 and world.alarm_seen_ns == 0:
        world.alarm_seen_ns = engine.state.now_ns
    if world.alarm_seen_ns != 0 and engine.state.now_ns - world.alarm_seen_ns > ALARM_MS * NS_PER_MS:
        judge_open(world, number, account, Invariant.ALARM_CANCELS)


def judge_open(world: World, number: int, account: ExchangeAccount, invariant: Invariant) -> None:
    """Nothing of ours may be open at a venue."""
    world.watch.evaluated[invariant] += 1
    theirs = account.open_orders
    if theirs:
        world.violate(invariant, number, f"{len(theirs)} open: {theirs[0]}", "none")


def judge_known(world: World, number: int) -> None:
    """When all is cancelled, and a session that was lost is back, we know the end of every order."""
    world.watch.evaluated[Invariant.ALL_ANSWERED] += 1
    ours = [order.client_order_id for order in own_orders(world, number)]
    if ours:
        world.violate(Invariant.ALL_ANSWERED, number, f"{len(ours)} open by our account: {ours[0]}", "none")


def is_broken(world: World) -> bool:
    """Tell whether something does not hold: what follows from it would only hide what came first."""
    return bool(world.violations) or world.watch.violation_count != 0


def turn_until(world: World, until_ns: int) -> None:
    """Turn until a time, giving the loop what only Python can."""
    run = world.run
    arguments = (address_of(run.engine), address_of(run.clock), address_of(world.watch), until_ns)
    status = Status.STARVED
    while status in (Status.STARVED, Status.JOURNAL):
        with plain_faults(run.config_path):
            status = Status(call_entry(world.entries.run_watched, *arguments))
            raise_failure(run.engine.seats)
        take_records(world)
        run.refill()
    if status == Status.FINISHED:
        raise ConfigError(f"{run.config_path}: its market data ends before the simulation does")


def take_records(world: World) -> None:
    """Take the fills and orders that stand in the journal, and keep what it says where a disk would."""
    instruments = world.run.engine.market.instruments
    for batch in read_memory(world.kept).batches():
        rows = batch.of(RecordKind.FILL, FillRecord, VERSION)
        for fill in elements(rows, FillRecord):
            world.fills[instruments[fill.instrument].venue, fill.execution_id] += 1
            world.filled_lots[fill.instrument] += sign_of(fill.side) * fill.qty_lots
        for client_order_id in batch.of(RecordKind.ORDER_SENT, OrderSent, VERSION)[:, 0].tolist():
            world.watch.evaluated[Invariant.IDS_ONCE] += 1
            if client_order_id in world.history.order_ids:
                world.violate(Invariant.IDS_ONCE, 0, f"order id {client_order_id} twice", "once")
            world.history.order_ids.add(client_order_id)
    world.history.images.append((world.kept.segment.number, bytes(world.kept.written())))
    world.kept.take()


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


def leave(world: World) -> None:
    """Send nothing more, cancel all, wait for the answers, as a live run does; then everything must agree."""
    begin_leaving(world.run.engine)
    look_until(world, TRADING_MS + (CUT_LEAVING_MS if world.has_cut else LEAVING_MS))
    for number in range(len(world.cables)):
        account = account_of(world, number)
        compare(world, number, account)
        if is_quiet(world, number, account):
            judge_open(world, number, account, Invariant.END_CANCELS)
            judge_known(world, number)
    judge_fills(world)


def account_of(world: World, number: int) -> ExchangeAccount:
    """Ask a venue's exchange for its own account of us."""
    account = world.run.config.venue[number].order_entry.account
    assert account is not None
    return account(world.run.parts[number].exchange)


def is_quiet(world: World, number: int, account: ExchangeAccount) -> bool:
    """Tell whether engine and exchange must agree now: nothing is under way, and the connection is there."""
    cable = world.cables[number]
    return (
        world.run.engine.state.now_ns >= world.unheard_ns.get(number, 0)
        and world.run.parts[number].session.state == SessionState.READY
        and cable.answers.sent == cable.answers.received
        and account.is_settled
    )


def compare(world: World, number: int, theirs: ExchangeAccount) -> None:
    """Hold positions, fills and open orders at a venue against the exchange's own account, unless an alarm stands."""
    engine = world.run.engine
    evaluated = world.watch.evaluated
    ours = {index: engine.gate.positions[index].position_lots for index in theirs.position_lots}
    our_fills = sum(engine.gate.positions[index].fills for index in theirs.position_lots)
    evaluated[Invariant.POSITIONS_AGREE] += 1
    evaluated[Invariant.ORDERS_AGREE] += 1
    if engine.gate.alarms != 0:
        return
    if ours != theirs.position_lots or our_fills != theirs.fills:
        found = f"{ours} by {our_fills} fills"
        world.violate(Invariant.POSITIONS_AGREE, number, found, f"{theirs.position_lots} by {theirs.fills}")
    open_orders = list(own_orders(world, number))
    ours_open = sorted(map(shown_order, open_orders))
    if ours_open != sorted(theirs.open_orders):
        world.violate(Invariant.ORDERS_AGREE, number, str(ours_open), str(sorted(theirs.open_orders)))
    evaluated[Invariant.ALL_ANSWERED] += 1
    for order in open_orders:
        if is_overdue(world, order):
            world.violate(Invariant.ALL_ANSWERED, number, f"order {order.client_order_id} is still to be cancelled", "")
        if order.state != OrderState.LIVE or order.amend_state == AmendState.PENDING:
            state = f"order {order.client_order_id} is {OrderState(order.state).name}"
            world.violate(Invariant.ALL_ANSWERED, number, state, "LIVE, and no amend under way")


def is_overdue(world: World, order: Order) -> bool:
    """Tell whether a cancel has been due for longer than its ring had no room."""
    full_until_ns = world.cables[order.venue].full_until_ns
    return order.cancel_due != 0 and world.run.engine.state.now_ns > full_until_ns + LOOK_MS * NS_PER_MS


def own_orders(world: World, number: int) -> Iterator[Order]:
    """List the engine's open orders at a venue."""
    for order in world.open_orders():
        if order.venue == number:
            yield order


def shown_order(order: Order) -> OpenOrder:
    """Describe one of our orders as an exchange does."""
    leaves_lots = order.qty_lots - order.filled_lots
    return OpenOrder(order.exchange_order_id, order.instrument, order.side, order.price_ticks, leaves_lots)


def judge_fills(world: World) -> None:
    """Hold what was recorded against the positions, execution by execution."""
    engine = world.run.engine
    world.watch.evaluated[Invariant.FILLS_ONCE] += 1
    for (venue, execution_id), times in world.fills.items():
        if times != 1:
            world.violate(Invariant.FILLS_ONCE, venue, f"execution {execution_id} booked {times} times", "once")
    for index in range(engine.market.count):
        held = engine.gate.positions[index].position_lots
        if held != world.filled_lots[index]:
            world.violate(Invariant.FILLS_ONCE, index, str(held), str(world.filled_lots[index]))


def outcome_of(world: World) -> Outcome:
    """Sum up a seed."""
    watch, engine = world.watch, world.run.engine
    found = [
        Found(
            invariant=Invariant(each.invariant).name,
            time_ms=(each.time_ns - world.start_ns) / NS_PER_MS,
            turn=each.turn,
            place=each.place,
            found=str(each.found),
            expected=str(each.expected),
        )
        for each in (watch.violations[place] for place in range(min(watch.violation_count, VIOLATIONS_MAX)))
    ]
    return Outcome(
        seed=world.plan.seed,
        steps=engine.state.turns + world.past["steps"],
        orders=engine.state.orders_sent + world.past["orders"],
        fills=engine.state.fills + world.past["fills"],
        alarms=engine.gate.alarms + world.past["alarms"],
        digests=world.run.digests(),
        faults=count_faults(world),
        evaluated={invariant.name: watch.evaluated[invariant] for invariant in Invariant},
        violations=found + world.violations,
    )


def count_faults(world: World) -> dict[str, int]:
    """Count what has happened, by kind."""
    counts: Counter[str] = Counter()
    for cable in world.cables:
        faults = cable.inner[0].receive.counters
        for name in ("dropped", "duplicated", "reordered", "truncated"):
            counts[f"frames {name}"] += getattr(faults, name)
        counts["answers late"] += cable.late_answers
        counts["slots refused"] += cable.refused_slots
        counts["segments lost"] += cable.lost_segments
    counts["sessions lost"] = sessions_lost(world.run.engine) + world.past["lost"]
    counts["sessions back"] = sessions_back(world.run.engine) + world.past["back"]
    counts["gateways killed"] = world.killed
    counts["answers repeated"] = world.repeated
    counts["engines killed"] = world.history.restarts
    return dict(counts)
