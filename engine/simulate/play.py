"""One seed, played to its end, and what is wrong then."""

from collections import Counter

import msgspec

from crosswire.engine.simulate.happen import HAPPENED, happen, let_orders_be_quick
from crosswire.engine.simulate.judge import (
    LOOK_MS,
    compare,
    is_quiet,
    judge_accounts,
    judge_alarm,
    judge_fills,
    judge_known,
    judge_leaving,
    judge_open,
    judge_reports,
    judge_room,
    note_connections,
)
from crosswire.engine.simulate.plan import TRADING_MS
from crosswire.engine.simulate.restart import judge_journal
from crosswire.engine.simulate.watch import VIOLATIONS_MAX, Invariant
from crosswire.engine.simulate.world import (
    Found,
    World,
    account_of,
    is_broken,
    sessions_back,
    sessions_lost,
    take_records,
    turn_until,
)
from crosswire.engine.state import begin_leaving
from crosswire.nic.duration import NS_PER_MS

CUT_LEAVING_MS = 16_000  # where a connection was cut: two heartbeats of 5 s, a new connection, what was missed
WIND_DOWN_MS = 3_000  # as a live run: for the answers to the last cancels, and to log out
LEAVING_MS = 4_500  # for the answers to the last cancels, and for silence to be noticed


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


def play(world: World) -> Outcome:
    """Play a seed to its end."""
    try:
        turn_until(world, 1)
        world.start_ns = world.now_ns
        for event in world.plan.events:
            look_until(world, event.at_ms)
            if not is_broken(world) and not has_ended(world):
                happen(world, event)
        look_until(world, TRADING_MS)
        if not is_broken(world):
            leave(world)
        if not is_broken(world):
            judge_journal(world)
        return outcome_of(world)
    finally:
        world.run.close()
        if world.recording is not None:
            world.recording.close(world.run.engine)
            world.kept.close()


def look_until(world: World, at_ms: int) -> None:
    """Turn until so long after the first frame; hold the accounts against the exchanges' own now and then."""
    while (now_ms := (world.now_ns - world.start_ns) // NS_PER_MS) < at_ms and not is_broken(world):
        if has_ended(world):
            return
        turn_until(world, world.start_ns + min(at_ms, now_ms + LOOK_MS) * NS_PER_MS)
        let_orders_be_quick(world)
        judge_reports(world)
        judge_accounts(world)
        judge_room(world)
        for number in range(len(world.cables)):
            note_connections(world, number)
            account = account_of(world, number)
            if is_quiet(world, number, account):
                compare(world, number, account)
                judge_alarm(world, number, account)
                judge_leaving(world, number, account)


def has_ended(world: World) -> bool:
    """Tell whether the loop has turned for as long as a live one does that goes on without room for its journal."""
    return world.no_room_ns != 0 and world.now_ns > world.no_room_ns + WIND_DOWN_MS * NS_PER_MS


def leave(world: World) -> None:
    """Send nothing more, cancel all, wait for the answers, as a live run does; then everything must agree."""
    begin_leaving(world.run.engine)
    world.watch.is_leaving = 1
    look_until(world, TRADING_MS + (CUT_LEAVING_MS if world.has_cut else LEAVING_MS))
    for number in range(len(world.cables)):
        note_connections(world, number)
        account = account_of(world, number)
        # A run that has no room for its journal ends before the silence of a cut connection is noticed.
        if is_quiet(world, number, account) or not has_ended(world):
            compare(world, number, account)
        if is_quiet(world, number, account):
            judge_open(world, number, account, Invariant.END_CANCELS)
            judge_known(world, number)
    take_records(world)
    judge_fills(world)


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
        for name in ("dropped", "duplicated", "reordered", "truncated", "corrupted"):
            counts[f"frames {name}"] += getattr(faults, name)
        counts["frames late"] += cable.late_frames
        counts["answers late"] += cable.late_answers
        counts["slots refused"] += cable.refused_slots
        counts["segments lost"] += cable.lost_segments
    counts["sessions lost"] = sessions_lost(world.run.engine) + world.past["lost"]
    counts["sessions back"] = sessions_back(world.run.engine) + world.past["back"]
    for name in HAPPENED:
        counts[name] = world.happened[name]
    counts["engines killed"] = world.history.restarts
    return dict(counts)
