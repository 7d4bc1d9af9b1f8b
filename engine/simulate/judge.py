"""What must hold between two looks at a simulated world, and at its end: the exchanges' own accounts say so."""

from crosswire.engine.simulate.cable import connection_number, is_dead
from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.simulate.world import World, own_orders
from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.adapter import ExchangeAccount, OpenOrder
from crosswire.venues.order import AmendState, Applied, Order, OrderState, is_alarm
from crosswire.venues.session import SessionState

LOOK_MS = 50  # between two looks at the exchanges' own accounts
ALARM_MS = 1_000  # for the answers to the cancels of an alarm
CATCH_UP_MS = 200  # for a new connection: logon, and all that was missed


def note_connections(world: World, number: int) -> None:
    """While a connection is gone, and until a new one has caught up, engine and exchange need not agree."""
    cable = world.cables[number]
    link = world.run.parts[number].session.order_link
    if link > 0 and world.order_links.get(number, 0) == 0:
        world.happened["failovers"] += 1
    world.order_links[number] = link
    for gateway in range(world.run.config.venue[number].order_entry.gateways_max):
        connection = connection_number(cable, gateway)
        if (number, gateway) in world.displaced:
            judge_displaced(world, number, gateway, connection)
            continue
        if connection == 0 or is_dead(cable, gateway) or connection != world.connections.get((number, gateway), 1):
            until_ns = world.now_ns + CATCH_UP_MS * NS_PER_MS
            world.unheard_ns[number] = max(until_ns, world.unheard_ns.get(number, 0))
        world.connections[number, gateway] = connection


def judge_displaced(world: World, number: int, gateway: int, connection: int) -> None:
    """To come back would displace whoever displaced us."""
    world.watch.evaluated[Invariant.DISPLACED_STAYS] += 1
    ended = world.displaced[number, gateway]
    if connection not in (0, ended):
        world.violate(Invariant.DISPLACED_STAYS, number, f"connection {connection}", f"none after {ended}")


def is_quiet(world: World, number: int, account: ExchangeAccount) -> bool:
    """Tell whether engine and exchange must agree now: nothing is under way, and the connection is there."""
    cable = world.cables[number]
    return (
        world.now_ns >= world.unheard_ns.get(number, 0)
        and world.run.parts[number].session.state == SessionState.READY
        and cable.answers.sent == cable.answers.received
        and account.is_settled
    )


def judge_reports(world: World) -> None:
    """Where no exchange has lied, a report that contradicts what the engine holds is a fault of ours at either end."""
    if world.lies:
        return
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
        if venue.differences + venue.strangers != 0 and world.lies[number] == 0:
            found = f"{venue.differences} positions, {venue.strangers} orders differ"
            world.violate(Invariant.RESTART_AGREES, number, found, "none")


def judge_standstill(world: World, number: int, silences: int) -> None:
    """What an engine that stood still did not read is no silence; and it has read it now."""
    world.watch.evaluated[Invariant.STANDSTILL_READS] += 1
    if silences != 0:
        world.violate(Invariant.STANDSTILL_READS, number, f"given up for silence {silences} times", "never")
    if world.run.engine.state.behind_ns != 0:
        world.violate(Invariant.STANDSTILL_READS, number, "it has not read what waited", "it has")


def judge_alarm(world: World, number: int, account: ExchangeAccount) -> None:
    """Some time after an alarm nothing of ours may be open at a venue that we are connected to."""
    engine = world.run.engine
    if engine.gate.alarms != 0 and world.alarm_seen_ns == 0:
        world.alarm_seen_ns = world.now_ns
    if world.alarm_seen_ns != 0 and world.now_ns - world.alarm_seen_ns > ALARM_MS * NS_PER_MS:
        judge_open(world, number, account, Invariant.ALARM_CANCELS)


def judge_leaving(world: World, number: int, account: ExchangeAccount) -> None:
    """Some time after the engine has gone on without room for its journal it has cancelled everything."""
    if world.no_room_ns != 0 and world.now_ns - world.no_room_ns > ALARM_MS * NS_PER_MS:
        judge_open(world, number, account, Invariant.END_CANCELS)


def judge_open(world: World, number: int, account: ExchangeAccount, invariant: Invariant) -> None:
    """Nothing of ours may be open at a venue."""
    world.watch.evaluated[invariant] += 1
    theirs = account.open_orders
    if theirs:
        world.violate(invariant, number, f"{len(theirs)} open: {theirs[0]}", "none")


def judge_known(world: World, number: int) -> None:
    """When all is cancelled, and a session that was lost is back, we know the end of every order.

    Unless we were told lies, or another client is told it in our place.
    """
    if world.lies[number] != 0 or any(venue == number for venue, _ in world.displaced):
        return
    world.watch.evaluated[Invariant.ALL_ANSWERED] += 1
    ours = [order.client_order_id for order in own_orders(world, number)]
    if ours:
        world.violate(Invariant.ALL_ANSWERED, number, f"{len(ours)} open by our account: {ours[0]}", "none")


def compare(world: World, number: int, theirs: ExchangeAccount) -> None:
    """Hold positions, fills and open orders at a venue against the exchange's own account, unless an alarm stands.

    What a lie was about stays untrue, in the next process, too, where the venue is not asked for all of it.
    """
    engine = world.run.engine
    evaluated = world.watch.evaluated
    ours = {index: engine.gate.positions[index].position_lots for index in theirs.position_lots}
    our_fills = sum(engine.gate.positions[index].fills for index in theirs.position_lots)
    evaluated[Invariant.POSITIONS_AGREE] += 1
    evaluated[Invariant.ORDERS_AGREE] += 1
    if engine.gate.alarms != 0 or world.lies[number] != 0:
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
    return order.cancel_due != 0 and world.now_ns > full_until_ns + LOOK_MS * NS_PER_MS


def shown_order(order: Order) -> OpenOrder:
    """Describe one of our orders as an exchange does."""
    leaves_lots = order.qty_lots - order.filled_lots
    return OpenOrder(order.exchange_order_id, order.instrument, order.side, order.price_ticks, leaves_lots)


def judge_lie(world: World, number: int, name: str, count: int) -> None:
    """A lie that was heard is an alarm, and the first one of its kind: a later one may be of what an earlier left."""
    world.watch.evaluated[Invariant.LIES_ALARM] += 1
    if world.run.engine.gate.alarms == 0 or (count == 0 and world.lies.total() == 1):
        world.violate(Invariant.LIES_ALARM, number, f"{name}: {count} of its kind", "an alarm of its kind")


def judge_room(world: World) -> None:
    """With a full disk, what is recorded until the loop ends has room."""
    if world.is_disk_full:
        world.watch.evaluated[Invariant.NO_RECORD_LOST] += 1
        if world.kept.journal.dropped != 0:
            world.violate(Invariant.NO_RECORD_LOST, 0, f"{world.kept.journal.dropped} records dropped", "none")


def judge_fills(world: World) -> None:
    """Hold what was recorded against the positions, execution by execution."""
    engine = world.run.engine
    world.watch.evaluated[Invariant.FILLS_ONCE] += 1
    for (venue, execution_id), times in world.fills.items():
        if times != 1 and world.lies[venue] == 0:
            world.violate(Invariant.FILLS_ONCE, venue, f"execution {execution_id} booked {times} times", "once")
    for index in range(engine.market.count):
        held = engine.gate.positions[index].position_lots
        if held != world.filled_lots[index]:
            world.violate(Invariant.FILLS_ONCE, index, str(held), str(world.filled_lots[index]))
