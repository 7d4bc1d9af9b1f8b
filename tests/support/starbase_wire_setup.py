"""A Starbase session over our own TCP, and the simulated exchange behind the kernel's TCP: both ends of a wire.

The exchange lives in a thread of its own, in `crosswire exchange`'s loop; the engine's side is a small driver in
place of `engine.loop`: it sends orders by a script and keeps orders and positions.
"""

import queue
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

from crosswire.engine.exchange.publish import ExchangeParts, Publisher
from crosswire.nic.clock import ClockKeeper, LiveClock, ReplayClock, advance
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.raw import multiply_u64, shift_right
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, copy_struct, i64, one, u8
from crosswire.nic.packet import PROTOCOL_TCP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.connection import connection_of
from crosswire.nic.rings.fault import FaultRates, make_fault_ring
from crosswire.nic.rings.remote import make_remote_ring
from crosswire.nic.rings.ring import NEVER_NS, Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.rings.sockets.tcp_server import TcpServer
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules
from crosswire.nic.tcp.connection import Gateway, Step, TcpConnections
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.venues.instrument import E6
from crosswire.venues.market import Market
from crosswire.venues.order import (
    ORDERS_MAX,
    AmendState,
    Applied,
    Approval,
    Order,
    OrderState,
    OrderTable,
    RejectReason,
    Report,
    ReportKind,
    Reports,
    TimeInForce,
    amend_sent,
    apply_report,
    cancel_sent,
    close_order,
    find_order,
    free_order,
    is_alarm,
    make_order_table,
)
from crosswire.venues.session import (
    SessionState,
    end_session,
    keep_session,
    read_reports,
    start_session,
    write_amend,
    write_cancel,
    write_mass_cancel,
    write_new,
)
from crosswire.venues.side import sign_of
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.matching.state import EXCHANGE_ORDERS_MAX, OrderPlace
from crosswire.venues.starbase.exchange.setup import Crowd, make_starbase_exchange
from crosswire.venues.starbase.exchange.state import StarbaseExchange, session_number
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import Refusal, StarbaseSession
from tests.support.order_setup import VENUE, make_market, open_order
from tests.support.starbase_exchange_client import CHANNEL, KEYS, START_NS, order_flow

MS = 1_000_000
S = 1_000_000_000
GATEWAYS = 2
GATEWAY_PORT = 9_000
INSTRUMENTS = 2  # the second has a speed bump
BUMP_NS = 10 * MS  # as the venue has it
PRICE_TICKS = 1000
SLICE_NS = 500_000
MEMBER = 1
NEVER_LIMITED = {"tokens_per_ms": 1_000_000, "tokens_full": 1_000_000_000}
CROWD = Crowd(seed=3, events_per_second=500, volatility_ticks=0.0, half_spread_ticks=1, depth_ticks=6, lots=10)
PORTS = 32
KEEP_S = 0.2  # between two calibrations of a clock
WAIT_S = 60.0


class NoRing(Struct):
    """Where market data goes that nobody wants."""

    counters: RingCounters
    slot: Annotated[Array, u8, 2048]


@reserve.register(NoRing)
def reserve_nothing(ring: NoRing, _length: int) -> int:
    return address_of(ring.slot)


@commit.register(NoRing)
def commit_nothing(_ring: NoRing, _length: int, _now_ns: int) -> None:
    pass


@flush.register(NoRing)
def flush_nothing(_ring: NoRing) -> None:
    pass


class Driver(Struct):
    """The engine's side without an engine: a script's orders, what became of them, and positions."""

    seed: i64
    draws: i64
    orders_wanted: i64
    open_max: i64
    interval_ns: i64  # between two actions of the script
    action_ns: i64
    keep_ns: i64
    is_held_back: i64  # 1: the script rests
    turns: i64
    found: i64  # turns that did something
    alarms: i64
    alarm: Report  # the last report that contradicts what we hold
    alarm_outcome: i64
    fills: i64
    maker_fills: i64
    bumped: i64  # acknowledgements that said: held
    converted: i64
    amended: i64
    lost: i64  # orders that never reached the exchange
    not_sent: i64
    ended: Annotated[Array, i64, len(OrderState)]
    position_lots: Annotated[Array, i64, INSTRUMENTS]
    frame: Frame
    packet: Packet
    parsed: PacketCounters
    reports: Reports
    approval: Approval
    table: Annotated[Pointer, OrderTable]  # one


@compiled
def draw(driver: Driver, bound: int) -> int:
    """Uniform in 0..bound - 1, by splitmix64."""
    driver.draws += 1
    mixed = multiply_u64(driver.draws + (driver.seed << 32), 0x9E3779B97F4A7C15 - (1 << 64))
    mixed = multiply_u64(mixed ^ shift_right(mixed, 30), 0xBF58476D1CE4E5B9 - (1 << 64))
    return shift_right(mixed ^ shift_right(mixed, 27), 33) % bound


@compiled
def take_report(driver: Driver, report: Report, now_ns: int) -> None:
    order = find_order(driver.table[0], report.client_order_id)
    outcome = apply_report(driver.table[0], report, now_ns)
    if is_alarm(outcome):
        driver.alarms += 1
        driver.alarm_outcome = outcome
        copy_struct(driver.alarm, report)
    if report.kind == ReportKind.FILL and outcome != Applied.DUPLICATE:
        driver.fills += 1
        driver.maker_fills += report.is_maker
        driver.position_lots[report.instrument] += sign_of(report.side) * report.qty_lots
    elif report.kind == ReportKind.ACK:
        driver.bumped += report.queued
    elif report.kind == ReportKind.CONVERTED:
        driver.converted += 1
    elif report.kind == ReportKind.AMENDED:
        driver.amended += 1
    elif report.kind == ReportKind.REJECTED and report.reason == RejectReason.SESSION_LOST:
        driver.lost += 1
    if outcome == Applied.CLOSED:
        driver.ended[order.state] += 1
        free_order(driver.table[0], order)


@compiled
def take_frame(driver: Driver, session: StarbaseSession, ring: Struct, now_ns: int) -> bool:
    """One poll, as the engine's loop does it."""
    if not poll(ring, driver.frame, now_ns):
        return False
    if parse_packet(driver.frame, driver.packet, driver.parsed) and driver.packet.protocol == PROTOCOL_TCP:
        more = True
        while more:
            driver.reports.count = 0
            read_reports(session, driver.packet, driver.reports)
            for place in range(driver.reports.count):
                take_report(driver, driver.reports.items[place], now_ns)
            more = session.unread != 0
    release(ring)
    return True


@compiled
def send_new(driver: Driver, session: StarbaseSession, ring: Struct, now_ns: int) -> None:
    """An order near the price: of the IOC most take, of the others many rest."""
    chance = draw(driver, 100)
    time_in_force: int = TimeInForce.IOC
    if chance >= 40:
        time_in_force = TimeInForce.GTC
    if chance >= 75:
        time_in_force = TimeInForce.POST_ONLY
    side = draw(driver, 2)
    price_ticks = PRICE_TICKS + draw(driver, 9) - 4
    instrument = draw(driver, INSTRUMENTS)
    lots = 1 + draw(driver, 8)
    order = open_order(driver.table[0], VENUE, instrument, side, time_in_force, price_ticks, lots, now_ns)
    approval = driver.approval
    approval.armed = 1
    approval.client_order_id = order.client_order_id
    approval.instrument = instrument
    approval.side = side
    approval.time_in_force = time_in_force
    approval.price_ticks = price_ticks
    approval.qty_lots = lots
    if not write_new(session, ring, approval, now_ns):
        driver.not_sent += 1
        close_order(order, OrderState.VETOED, 0, now_ns)
        free_order(driver.table[0], order)


@compiled
def some_order(driver: Driver, queued: int) -> Order:
    """A live order, drawn, held in the speed bump or not; `nobody` if there is none near the place drawn."""
    start = draw(driver, 2 * driver.open_max)
    for step in range(2 * driver.open_max):
        order = driver.table[0].orders[(start + step) & (ORDERS_MAX - 1)]
        if order.state == OrderState.LIVE and order.queued == queued and order.time_in_force != TimeInForce.IOC:
            return order
    return driver.table[0].nobody


@compiled
def act(driver: Driver, session: StarbaseSession, ring: Struct, now_ns: int) -> bool:
    """The script's next step: a new order, a cancel, an amend."""
    if driver.is_held_back != 0 or session.state != SessionState.READY:
        return False
    if driver.converted == 0:
        # The speed bump is over in 10 ms: until one cancel came in time, none waits for its turn.
        order = some_order(driver, 1)
        if order.state != OrderState.FREE and write_cancel(
            session, ring, order.client_order_id, order.instrument, now_ns
        ):
            cancel_sent(order)
            return True
    if now_ns < driver.action_ns or session.orders_sent >= driver.orders_wanted:
        return False
    driver.action_ns, chance = now_ns + driver.interval_ns, draw(driver, 100)
    if chance < 65 and driver.table[0].count < driver.open_max:
        send_new(driver, session, ring, now_ns)
        return True
    order = some_order(driver, draw(driver, 2))
    if order.state == OrderState.FREE:
        return False
    if chance < 92 or order.amend_state == AmendState.PENDING:
        if write_cancel(session, ring, order.client_order_id, order.instrument, now_ns):
            cancel_sent(order)
        return True
    approval = driver.approval
    approval.armed = 1
    approval.client_order_id = order.client_order_id
    approval.instrument = order.instrument
    approval.side = order.side
    approval.time_in_force = order.time_in_force
    approval.price_ticks = order.price_ticks + draw(driver, 3) - 1
    approval.qty_lots = order.filled_lots + 1 + draw(driver, 8)
    if write_amend(session, ring, approval, now_ns):
        amend_sent(order, approval.price_ticks, approval.qty_lots)
    return True


class Ask(Struct):
    """What is asked of the session beside the script; set by Python, cleared once it is done."""

    start: i64
    mass_cancel: i64
    end: i64


@compiled
def drive_session(
    driver: Driver, session: StarbaseSession, ring: Struct, clock: Struct, ask: Ask, until_ns: int
) -> int:
    """Turns of a loop until the clock shows `until_ns`; how many did something."""
    now_ns = advance(clock, 0)
    found = 0
    if ask.start != 0:
        ask.start = 0
        start_session(session, ring, now_ns)
    if ask.mass_cancel != 0 and write_mass_cancel(session, ring, now_ns):
        ask.mass_cancel = 0
    if ask.end != 0:
        ask.end = 0
        end_session(session, ring, now_ns)
    while now_ns < until_ns:
        if take_frame(driver, session, ring, now_ns):
            found += 1
        if now_ns >= driver.keep_ns or session.keep_due != 0:
            driver.keep_ns = keep_session(session, ring, now_ns)
        if act(driver, session, ring, now_ns):
            found += 1
        flush(ring)
        driver.turns += 1
        due_ns = min(next_time_ns(ring), driver.keep_ns)
        if session.state == SessionState.READY and driver.is_held_back == 0:
            due_ns = min(due_ns, max(driver.action_ns, now_ns + 1))
        now_ns = advance(clock, min(max(due_ns, now_ns), until_ns))
    return found


def make_driver(seed: int, orders: int, open_max: int = 40, interval_ns: int = 0) -> Driver:
    driver = Driver(seed=seed, orders_wanted=orders, open_max=open_max, interval_ns=interval_ns)
    driver.table = one(make_order_table())
    return driver


def make_terms() -> Market:
    market = make_market(INSTRUMENTS)
    market.instruments[1].speed_bump_ns = BUMP_NS
    return market


def make_session(market: Market, **options: Any) -> StarbaseSession:
    """Of the exchange's first key, over both gateways."""
    flows = tuple(order_flow(gateway) for gateway in range(GATEWAYS))
    settings = {"tokens_per_ms": 1_000_000, "tokens_max": 1_000_000_000} | options
    return make_starbase_session(VENUE, market, flows, KEYS[0].client_id.encode(), KEYS[0].secret, **settings)


def make_venue(start_ns: int, **options: Any) -> StarbaseExchange:
    """The exchange; latencies are the wire's own unless they are given."""
    settings = {"feed_latency_ns": 0, "order_latency_ns": 0, "response_latency_ns": 0, "crowd": CROWD}
    return make_starbase_exchange(
        VENUE,
        make_terms(),
        [order_flow(gateway) for gateway in range(GATEWAYS)],
        CHANNEL,
        KEYS,
        dict.fromkeys(range(INSTRUMENTS), PRICE_TICKS),
        start_ns=start_ns,
        **(settings | NEVER_LIMITED | {"held_member_max": 200, "is_connected": False} | options),
    )


def exchange_orders(exchange: StarbaseExchange) -> dict[int, tuple[int, ...]]:
    """Our open orders as the exchange has them: id -> exchange id, instrument, side, price, quantity, filled, held."""
    orders = exchange.matching.orders.numpy(EXCHANGE_ORDERS_MAX)
    ours = orders[(orders["place"] != OrderPlace.GONE) & (orders["member"] == MEMBER)]
    names = ("order_id", "instrument", "side", "price_ticks", "qty_lots", "filled_lots")
    return {
        int(order["client_order_id"]): (*(int(order[name]) for name in names), int(order["place"] == OrderPlace.HELD))
        for order in ours
    }


def own_orders(driver: Driver) -> dict[int, tuple[int, ...]]:
    """The same as we have them."""
    orders = driver.table[0].orders.numpy()
    names = ("exchange_order_id", "instrument", "side", "price_ticks", "qty_lots", "filled_lots", "queued")
    return {
        int(order["client_order_id"]): tuple(int(order[name]) for name in names)
        for order in orders[orders["state"] != OrderState.FREE]
    }


def pending(driver: Driver) -> int:
    """Orders of which an answer is still to come."""
    orders = driver.table[0].orders.numpy()
    waits = (orders["state"] == OrderState.PENDING_NEW) | (orders["state"] == OrderState.PENDING_CANCEL)
    return int((waits | ((orders["state"] != OrderState.FREE) & (orders["queued"] != 0))).sum())


def nobody_knocks() -> socket.socket:
    """A listener that nobody can reach."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(1)
    listener.setblocking(False)
    return listener


class Venue(Owner):
    """The exchange and its thread. `ask` runs something in that thread, between two slices of its loop."""

    def __init__(self, testbed: Testbed, **options: Any) -> None:
        flows = [order_flow(gateway) for gateway in range(GATEWAYS)]
        self._ip = ip = int.from_bytes(socket.inet_aton(testbed.links[0].exchange_ip), "big")
        self._namespace = testbed.exchange
        with in_namespace(self._namespace):
            self.server = TcpServer([(ip, GATEWAY_PORT + gateway) for gateway in range(GATEWAYS)], flows)
        self.clock = LiveClock()
        self.keeper = ClockKeeper(self.clock)
        self.exchange = make_venue(advance(self.clock, 0), **options)
        linker = Linker()
        parts = ExchangeParts(self.exchange, make_remote_ring(self.exchange, linker), NoRing(), self.server.ring)
        self.publisher = Publisher([parts], self.clock, E6, linker)
        self.state = self.publisher.state
        linker.load()
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.failure: BaseException | None = None
        restart_gateway(self.exchange, 0, 0)
        self.keeper.keep()
        self.state.started_ns = self.state.first_ns = advance(self.clock, 0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        kept = time.monotonic()
        try:
            while not self._stopping.is_set():
                while not self._asked.empty():
                    work, answer = self._asked.get()
                    try:
                        answer.set_result(work())
                    except BaseException as error:
                        answer.set_exception(error)
                self.server.accept()
                self.publisher.serve(advance(self.clock, 0) + SLICE_NS)
                if time.monotonic() - kept > KEEP_S:
                    kept = time.monotonic()
                    self.keeper.keep(KEEP_S)
        except BaseException as error:
            self.failure = error

    def ask(self, work: Callable[[], Any]) -> Any:
        """`work()`, done in the exchange's thread while its loop stands still."""
        return self.tell(work).result(WAIT_S)

    def tell(self, work: Callable[[], Any]) -> Future[Any]:
        """As `ask`, without waiting for it."""
        answer: Future[Any] = Future()
        self._asked.put((work, answer))
        return answer

    def freeze(self, seconds: float) -> Future[None]:
        """The whole exchange stands still, its clock too: else it would find the time gone before it has read what its
        clients sent meanwhile, and take them for silent.
        """

        def work() -> None:
            begun_ns = advance(self.clock, 0)
            time.sleep(seconds)
            self.state.started_ns += advance(self.clock, 0) - begun_ns

        return self.tell(work)

    def kill(self, gateway: int, is_back: bool = True) -> Future[Any]:
        """A gateway's process reads no more, dies, and unless told otherwise another takes its place."""

        def work() -> None:
            time.sleep(0.002)
            if not is_back:
                self.server.listeners[gateway].close()
                self.server.listeners[gateway] = nobody_knocks()
            self.server.cut(gateway)
            restart_gateway(self.exchange, gateway, self.exchange.now_ns)

        return self.tell(work)

    def come_back(self, gateway: int) -> None:
        """A gateway that had died without another listens again."""

        def work() -> None:
            with in_namespace(self._namespace):
                self.server.listeners[gateway].close()
                self.server.listeners[gateway] = self.server._listen(self._ip, GATEWAY_PORT + gateway)

        self.ask(work)

    def set_crowd(self, is_there: bool) -> None:
        """Whether anybody else trades."""

        def work() -> None:
            self.exchange.background.next_ns = self.exchange.now_ns if is_there else NEVER_NS

        self.ask(work)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self.server.close()


class Trader(ABC):
    """A driver and its session; `exchange` is the one that they trade at."""

    driver: Driver
    session: StarbaseSession
    ask: Ask
    exchange: StarbaseExchange

    @abstractmethod
    def slice(self) -> None:
        """The loop, for SLICE_NS."""

    def run_until(self, done: Callable[[], bool], wait_s: float = WAIT_S) -> bool:
        """The loop, until `done()`; False if that takes too long."""
        give_up = time.monotonic() + wait_s
        while not done():
            if time.monotonic() > give_up:
                return False
            self.slice()
        return True

    def run_for(self, seconds: float) -> None:
        """The loop, for so long by the host's clock."""
        end = time.monotonic() + seconds
        self.run_until(lambda: time.monotonic() > end)

    def sent(self, orders: int) -> bool:
        """Run until so many orders were sent."""
        return self.run_until(lambda: self.session.orders_sent >= orders)

    def is_level(self) -> bool:
        """Whether nothing is pending, and each side has had all that the other has sent, on every link that is up."""
        if pending(self.driver) != 0 or self.exchange.matching.held_count != 0:
            return False
        for gateway in range(GATEWAYS):
            link = self.session.links[gateway]
            if link.refusal != Refusal.NONE:
                continue
            theirs = self.exchange.gateways.sessions[session_number(0, gateway)]
            ours = (link.stream.receive_sequence, link.stream.send_sequence)
            if link.state != SessionState.READY or ours != (theirs.send_sequence, theirs.receive_sequence):
                return False
        return True

    def check_books(self) -> None:
        """Orders, fills and positions are the exchange's own; every order reached it once, or never."""
        driver, session, member = self.driver, self.session, self.exchange.matching.members[MEMBER]
        assert driver.alarms == 0, f"{Applied(driver.alarm_outcome).name}: {driver.alarm}"
        assert own_orders(driver) == exchange_orders(self.exchange)
        assert driver.fills == member.fills
        assert list(driver.position_lots) == [member.position_lots[index] for index in range(INSTRUMENTS)]
        assert (member.duplicate_orders, member.unremembered) == (0, 0)
        assert session.orders_sent == member.new_orders + driver.lost
        assert driver.lost == session.lost_orders
        assert session.bad_values == session.unknown_instruments == session.unexpected == session.unknown == 0

    def describe(self) -> str:
        """For a failure's message; no key is in it."""
        session, driver = self.session, self.driver
        names = ("state", "connection", "logons", "refusal", "confirmed", "losses", "gaps", "recover_to", "copies")
        links = []
        for gateway in range(GATEWAYS):
            link, theirs = session.links[gateway], self.exchange.gateways.sessions[session_number(0, gateway)]
            links.append(
                {name: getattr(link, name) for name in names}
                | {"ours": (link.stream.send_sequence, link.stream.receive_sequence)}
                | {"theirs": (theirs.receive_sequence, theirs.send_sequence), "faults": list(link.stream.faults)}
            )
        return (
            f"session {SessionState(session.state).name} sent {session.orders_sent} pending {pending(driver)} "
            f"open {driver.table[0].count} fills {driver.fills} alarms {driver.alarms} not sent {driver.not_sent} "
            f"lost {driver.lost} full {session.ring_full} links {links} "
            f"mistakes {list(self.exchange.gateways.mistakes)}"
        )


class Client(Trader, Owner):
    """The engine's side: AF_XDP, faults, our TCP, a session, a driver."""

    def __init__(
        self,
        testbed: Testbed,
        venue: Venue,
        driver: Driver,
        *,
        receive: FaultRates | None = None,
        transmit: FaultRates | None = None,
        seed: int = 1,
        tail_probe_floor_ns: int = 0,
        **options: Any,
    ) -> None:
        self._closing = ExitStack()
        self.venue, self.exchange, self.driver = venue, venue.exchange, driver
        link = testbed.links[0]
        ip = int.from_bytes(socket.inet_aton(link.exchange_ip), "big")
        with in_namespace(testbed.engine):
            gateways = [Gateway(ip, GATEWAY_PORT + number, order_flow(number)) for number in range(GATEWAYS)]
            self.owner = self._closing.enter_context(TcpConnections(link.engine_interface, gateways, PORTS))
            rules = SteerRules(tcp=self.owner.tuples)
            self.xdp = self._closing.enter_context(AfXdpSocket(link.engine_interface, 0, rules, frames=2048))
        self.faults = make_fault_ring(self.xdp.ring, seed, receive, transmit)
        timers = {"tail_probe_floor_ns": tail_probe_floor_ns} if tail_probe_floor_ns else {}
        self.ring = self.owner.open_ring(self.faults, seed, **timers)
        self.session = make_session(make_terms(), **options)
        self.ask = Ask()
        self.clock = LiveClock()
        self.keeper = ClockKeeper(self.clock)
        self._kept = time.monotonic()
        # Compiled before time counts.
        self.owner.drive(Step.TURN, 0, 0)
        drive_session(self.driver, self.session, self.ring, self.clock, self.ask, 0)
        self.keeper.keep()

    def now_ns(self) -> int:
        """The time of the session and its timers."""
        return int(advance(self.clock, 0))

    def start(self) -> None:
        """Both connections and logons."""
        self.keeper.keep()
        self.owner.connect(self.now_ns)
        self.ask.start = 1
        assert self.run_until(lambda: self.is_ready(0) and self.is_ready(1)), self.describe()

    def is_ready(self, gateway: int) -> bool:
        return bool(self.session.links[gateway].state == SessionState.READY)

    def slice(self) -> None:
        """The loop, for SLICE_NS; a rest if there was nothing to do."""
        now = time.monotonic()
        if now - self._kept > KEEP_S:
            self._kept = now
            self.keeper.keep(KEEP_S)
        until_ns = self.now_ns() + SLICE_NS
        if drive_session(self.driver, self.session, self.ring, self.clock, self.ask, until_ns) == 0:
            time.sleep(0.00005)

    def wait_for(self, work: "Future[Any]") -> None:
        """The loop, until that is done in the exchange's thread."""
        assert self.run_until(work.done), self.describe()
        work.result()

    def settle(self, wait_s: float = WAIT_S) -> None:
        """Let the script rest and the crowd go, until both sides know all; then compare their books."""
        self.driver.is_held_back = 1
        self.venue.set_crowd(False)
        is_settled = self.run_until(self.is_level, wait_s)
        assert self.venue.failure is None
        assert is_settled, self.describe() + str([each.tcp.counters for each in self.ring.connections])
        self.venue.ask(self.check_books)

    def resume(self) -> None:
        """After `settle`."""
        self.venue.set_crowd(True)
        self.driver.is_held_back = 0

    def finish(self) -> None:
        """Cancel everything, log out, and close."""
        self.driver.is_held_back = 1
        self.ask.mass_cancel = 1
        assert self.run_until(lambda: self.ask.mass_cancel == 0 and self.driver.table[0].count == 0), self.describe()
        self.ask.end = 1
        is_over = self.run_until(
            lambda: (
                self.session.state == SessionState.ENDED
                and all(connection_of(self.ring, gateway) == 0 for gateway in range(GATEWAYS))
            )
        )
        assert is_over, self.describe()
        self.owner.disconnect(self.now_ns, 5)

    def close(self) -> None:
        """All of it."""
        self._closing.close()


class InMemory(Trader):
    """The same session and driver with the exchange as the ring itself, in virtual time."""

    def __init__(self, driver: Driver, seed: int) -> None:
        crowd = replace(CROWD, seed=seed, events_per_second=3000)
        self.exchange = make_venue(
            START_NS, is_connected=True, order_latency_ns=30_000, response_latency_ns=50_000, crowd=crowd
        )
        self.driver = driver
        self.session = make_session(make_terms(), backoff_min_ns=MS, backoff_max_ns=4 * MS)
        self.clock = ReplayClock(now_ns=START_NS)
        self.ask = Ask(start=1)

    def slice(self, span_ns: int = SLICE_NS) -> None:
        """The loop, for so long in virtual time."""
        until_ns = self.clock.now_ns + span_ns
        drive_session(self.driver, self.session, self.exchange, self.clock, self.ask, until_ns)

    def kill(self, gateway: int) -> None:
        """A gateway's process dies and another takes its place."""
        restart_gateway(self.exchange, gateway, self.clock.now_ns)

    def settle(self) -> None:
        """As the other's."""
        self.driver.is_held_back = 1
        self.exchange.background.next_ns = NEVER_NS
        assert self.run_until(self.is_level, 10), self.describe()
        self.check_books()
