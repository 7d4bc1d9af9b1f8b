"""One round of `tests.bench.order_entry`: an engine, ours or the C program, over its beds and peers."""

import ctypes
import tempfile
from pathlib import Path
from typing import Any

from crosswire.engine.build.run import Core, Run, build_core
from crosswire.engine.config import RunConfig, load_config
from crosswire.engine.loop import Status
from crosswire.engine.seat import set_seat
from crosswire.engine.venue import VenueParts
from crosswire.nic.clock import RATE_BITS, ClockKeeper, time_at
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import elements, read_memory
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Struct, address_of, array, i64, one
from crosswire.nic.packet import reverse_flow
from crosswire.nic.rings.connection import reconnect
from crosswire.nic.rings.ring import Frame
from crosswire.nic.tcp.ring import TcpEndpoints, TcpRing, make_tcp_ring
from crosswire.risk.gate import Veto
from crosswire.risk.records import VERSION, OrderRecord, RecordKind
from crosswire.strategies.cross_spread import CrossSpread
from crosswire.venues.order import Approval, OrderState
from crosswire.venues.starbase.feed.feed import make_starbase_feed
from crosswire.venues.starbase.orders.session import make_starbase_session
from tests.bench.order_entry_bed import Bed, connect_ring, make_bed
from tests.bench.order_entry_c import CEngine, Terms, order_frame
from tests.bench.order_entry_peer import (
    CHANNEL_ID,
    FIRST_SEQUENCE,
    INSTRUMENT_ID,
    QUANTITY_EXPONENT,
    feed_flow,
    session_flow,
    set_connection,
    set_peer,
    wire_flow,
)
from tests.bench.order_entry_stamps import (
    DONE,
    LEGS,
    MARKS,
    VENUES,
    BedClock,
    BedFeed,
    BedRing,
    BedSession,
    BedSpread,
    Script,
    log_on_first,
    run_c,
    send_c_orders,
    send_orders,
)
from tests.bench.quiet_book import HALF_SPREAD_TICKS, MIDDLE_TICKS
from tests.bench.tick_to_trade import RUN, VENUE, compiled_for

QUIET_TURNS_MAX = 4
WINDOW_TICKS = 1 << 13  # of the C program's book
C_FIRST_SEQUENCE = 77_000  # of its own bytes: any number will do
SEED = 1
STEPPED_SLOWER = 1000  # a step takes 2 to 10 us where an instruction takes 0.2 ns: nothing is to look late, or idle
TOKENS_MAX = 1_000_000_000  # the venue's rate limit: none
# With the stages stamped: the stamp that ends a leg would lie inside our stage of sending, and not inside C's.
NO_LEG = 0


def make_core() -> tuple[RunConfig, Path, Core]:
    """Two venues of one instrument each, one strategy, one gate; and the configuration that says so."""
    text = RUN.replace("tick-to-trade", "order-entry").replace("depth = 3", "depth = 1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order-entry.toml"
        path.write_text(text + VENUE.replace("NAME", "first") + VENUE.replace("NAME", "second"))
        config = load_config(path)
    return config, path, build_core(config, path)


def staged(base: Struct, cls: Any, script: Script) -> Any:
    """A copy of `base` as its subclass `cls`, which stamps; the caller keeps `base` alive."""
    copy = cls(script=one(script))
    ctypes.memmove(copy.address, base.address, type(base).size)
    return copy


class Rig:
    """What both have: terms, script, beds, clock. `core` is the engine's own, and the C program's source of terms."""

    def __init__(self, triggers: int, leg: int, with_stages: bool, is_snapshot: bool) -> None:
        self.with_stages = with_stages
        self.config, self.path, self.core = make_core()
        self.beds: list[Bed] = [make_bed() for _ in range(VENUES)]
        self.clock = BedClock()
        self.script = Script(triggers=triggers, leg=leg, is_snapshot=int(is_snapshot), quiet_max=QUIET_TURNS_MAX)
        self.script.latencies = array(i64, max(triggers, 1))
        self.script.rows = array(i64, (1 + MARKS) * triggers if with_stages else 1)
        self.clock.script = one(self.script)
        instruments = self.core.engine.market.instruments
        for number, (peer, bed) in enumerate(zip(self.script.peers, self.beds, strict=True)):
            set_peer(peer, number, bed, instruments[number], feed_flow(number))

    def keep_clock(self) -> None:
        """Just before it is used: nobody keeps it during a round of seconds. Slower for a thread that is stepped."""
        ClockKeeper(self.clock)
        if self.script.step_at != 0:
            self.clock.calibrations[self.clock.current].rate //= STEPPED_SLOWER

    def ns_per_cycle(self) -> float:
        return float(self.clock.calibrations[self.clock.current].rate / (1 << RATE_BITS))

    def peer_problems(self, orders: int) -> list[str]:
        script = self.script
        found = []
        for peer, bed in zip(script.peers, self.beds, strict=True):
            wrong = {
                name: getattr(peer, name) for name in ("bad_checksums", "out_of_order", "full") if getattr(peer, name)
            }
            if wrong or bed.full:
                found.append(f"venue {peer.number}: {wrong}, bed full {bed.full}")
        got = sum(peer.orders for peer in script.peers)
        if got != orders:
            found.append(f"{got} orders arrived of {orders}")
        return found


class OurRig(Rig):
    """The engine's loop over user-space TCP over memory."""

    def __init__(self, triggers: int, leg: int = 1, with_stages: bool = False) -> None:
        super().__init__(triggers, leg, with_stages, True)
        market = self.core.engine.market
        self.rings: list[BedRing] = []
        self.tcp: list[TcpRing] = []
        self.kept: list[Struct] = []  # what compiled code points to
        parts: list[VenueParts] = []
        for number, bed in enumerate(self.beds):
            ring = BedRing(script=one(self.script))
            connect_ring(bed, ring)
            flow = session_flow(number)
            endpoints = TcpEndpoints(wire_flow(number), flow, (wire_flow(number).source_port,))
            tcp = make_tcp_ring(ring, [endpoints], SEED + number)
            self.rings.append(ring)
            self.tcp.append(tcp)
            session = make_starbase_session(
                number, market, (flow,), b"bench", b"secret", tokens_per_ms=TOKENS_MAX, tokens_max=TOKENS_MAX
            )
            feed = make_starbase_feed(number, market, order_capacity=1 << 12, level_capacity=1 << 10)
            if with_stages:
                self.kept += [feed, session]
                feed = staged(feed, BedFeed, self.script)
                session = staged(session, BedSession, self.script)
            parts.append(VenueParts(tcp, feed, session))
        if with_stages:
            self.kept.append(staged(self.core.strategies[0], BedSpread, self.script))
            set_seat(self.core.engine.seats[0], 0, self.kept[-1], self.core.linker)
        self.loop = Run(self.config, self.path, self.core, tuple(parts), self.clock, [])
        self.script.stop_at = address_of(self.core.engine.state)
        self.core.engine.state.tells_turns = 1  # as in a live run
        self.orders: dict[str, int] = {}
        self.journal = MemoryJournal(self.core.engine.journal)

    def drain(self) -> None:
        """Count the ended orders and begin the journal again."""
        for batch in read_memory(self.journal).batches():
            states = elements(rows := batch.of(RecordKind.ORDER_ENDED, OrderRecord, VERSION), OrderRecord)
            for place in range(len(rows)):
                name = OrderState(states[place].state).name
                self.orders[name] = self.orders.get(name, 0) + 1
        self.journal.take()

    def run(self) -> None:
        self.loop.load()
        self.connect()
        status = Status.JOURNAL
        while status == Status.JOURNAL:
            status = self.loop.turn()
            self.drain()

    def connect(self) -> None:
        """Keep the clock, and open what the sessions need."""
        self.keep_clock()
        for tcp in self.tcp:
            reconnect(tcp, 0, time_at(self.clock, cycle_count()))

    def log_on(self) -> None:
        """Connect and log on at the first venue, without the loop and its market data."""
        self.core.engine.market.instruments[0].venue_id = INSTRUMENT_ID
        arguments = (self.core.engine.venues[0], self.script.peers[0], self.clock)
        driver = compiled_for(log_on_first, *arguments)
        self.loop.load()
        self.connect()
        if not driver(*arguments):
            raise RuntimeError("no logon")

    def send(self, burst: int, count: int) -> tuple[Any, int]:
        """Cycles of each burst, and how many orders went out."""
        self.log_on()
        peer, venue, costs = self.script.peers[0], self.core.engine.venues[0], array(i64, count)
        peer.answers = 0
        self.script.triggers = 1  # place for the one latency
        arguments = (venue, self.tcp[0], Approval(), self.script, peer, Frame(), self.clock, burst, costs, count)
        driver = compiled_for(send_orders, *arguments)
        self.keep_clock()
        sent = driver(*arguments)
        return costs.numpy(), sent

    def problems(self) -> list[str]:
        """Everything that makes a round's figures worthless."""
        script, engine = self.script, self.core.engine
        vetoes = {veto.name: engine.gate.vetoes[veto] for veto in Veto if veto and engine.gate.vetoes[veto]}
        found = self.peer_problems(LEGS * script.triggers)
        for what, is_so in (
            (f"the script stopped in phase {script.phase} after {script.done} triggers", script.phase != DONE),
            (f"{script.count} triggers were stamped", script.count != script.triggers),
            (f"orders ended {self.orders}", self.orders != {"FILLED": LEGS * script.triggers}),
            (f"vetoes {vetoes}", bool(vetoes)),
            (f"alarms {engine.gate.alarms}", bool(engine.gate.alarms)),
        ):
            if is_so:
                found.append(what)
        return found


class CRig(Rig):
    """The C program on the same script."""

    def __init__(self, library: Any, message: bytes, triggers: int, leg: int = 1, with_stages: bool = False) -> None:
        """`message`: any new order as the engine's session sends it; `library` has stages if `with_stages`."""
        super().__init__(triggers, leg, with_stages, False)
        self.engine = CEngine(library)
        for number, (peer, bed) in enumerate(zip(self.script.peers, self.beds, strict=True)):
            flow = wire_flow(number)
            set_connection(peer, reverse_flow(flow), FIRST_SEQUENCE, C_FIRST_SEQUENCE)
            self.engine.set_terms(number, self.terms(number))
            self.engine.set_ring(number, bed)
            self.engine.set_session(number, order_frame(flow, message), C_FIRST_SEQUENCE, FIRST_SEQUENCE)

    def terms(self, number: int) -> Terms:
        engine, (strategy,) = self.core.engine, self.core.strategies
        assert isinstance(strategy, CrossSpread)
        instrument, limits = engine.market.instruments[number], engine.gate.limits[number]
        venue = engine.gate.venues[instrument.venue]
        return Terms(
            instrument_id=INSTRUMENT_ID + number,
            tick_e9=instrument.tick_e9,
            lot_e9=instrument.lot_e9,
            base_ticks=MIDDLE_TICKS - HALF_SPREAD_TICKS - WINDOW_TICKS // 2,
            sale_factor=strategy.factors[number].sale,
            cost_factor=strategy.factors[number].open_cost,
            tick_lot_e9=instrument.tick_lot_e9,
            order_lots_max=limits.order_lots_max,
            notional_max_e9=limits.order_notional_max_e9,
            position_lots_max=limits.position_lots_max,
            price_ticks_max=limits.price_ticks_max,
            collar_e9=limits.collar_e9,
            book_age_max_ns=limits.book_age_max_ns,
            strategy_lots_max=strategy.size_max_e9 // instrument.lot_e9,
            strategy_position_lots=strategy.legs.listings[number].position_max_e9 // instrument.lot_e9,
            tokens_per_second=venue.bucket.per_second,
            tokens_full_e9=venue.bucket.full_e9,
            open_orders_max=venue.open_orders_max,
            channel_id=CHANNEL_ID + number,
            peer_port=wire_flow(number).destination_port,
        )

    def start(self) -> None:
        """After the clock is kept."""
        underlying = self.core.engine.gate.underlyings[0]
        mantissa_e9 = 10 ** (9 + QUANTITY_EXPONENT)
        self.engine.start(self.clock, mantissa_e9, underlying.gross_max_e9, underlying.net_max_e9, self.script.leg)

    def run(self) -> None:
        names = ("cw_turn", "cw_timed_turn")
        functions = [self.engine.function(name) for name in names]
        marks = self.engine.marks_at() if self.with_stages else (0, 0)
        arguments = (self.script, self.engine.address, *functions, self.clock, *marks)
        driver = compiled_for(run_c, *arguments)
        self.keep_clock()
        self.start()
        driver(*arguments)

    def send(self, burst: int, count: int) -> tuple[Any, int]:
        """Cycles of each burst, and how many orders went out."""
        self.script.peers[0].answers = 0
        costs = array(i64, count)
        names = ("cw_timed_send", "cw_timed_burst", "cw_turn")
        functions = [self.engine.function(name) for name in names]
        arguments = (self.engine.address, *functions, self.script.peers[0], self.clock, burst, costs, count)
        driver = compiled_for(send_c_orders, *arguments)
        self.keep_clock()
        self.start()
        sent = driver(*arguments)
        return costs.numpy(), sent

    def problems(self) -> list[str]:
        script, figures = self.script, self.engine.figures()
        found = self.peer_problems(LEGS * script.triggers)
        for what, is_so in (
            (f"the script stopped in phase {script.phase} after {script.done} triggers", script.phase != DONE),
            (f"{figures['fills']} fills", figures["fills"] != LEGS * script.triggers),
            (f"{figures}", any(figures[name] for name in ("unexplained", "gaps", "rejects", "vetoed"))),
        ):
            if is_so:
                found.append(f"C: {what}")
        return found

    def close(self) -> None:
        self.engine.close()
