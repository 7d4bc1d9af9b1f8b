"""`crosswire live`: the loop of a backtest on the host's rings, from configuration to run folder."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from crosswire.engine.alarm import alarm_text
from crosswire.engine.build.run import Core, Run, build_core
from crosswire.engine.capture.files import LIVE_TAP_BYTES, CaptureFiles, TapLane, TapWriter, compile_take
from crosswire.engine.config import LiveConfig, RunConfig, load_config, need_live
from crosswire.engine.errors import AlarmError, LoopError
from crosswire.engine.live.rings import VenueRings, blank_ring, make_all_parts, open_rings
from crosswire.engine.live.steady import SteadyConsole
from crosswire.engine.live.warm_up import warm_up
from crosswire.engine.loop import Status
from crosswire.engine.report.facts import record_names, run_facts, run_infos
from crosswire.engine.report.recorder import Recorder, recorder_units
from crosswire.engine.report.summary import RunFacts, RunSummary, summarise, write_summary
from crosswire.engine.seat import SeatEntries, retire, strategy_unit
from crosswire.engine.state import begin_leaving
from crosswire.nic.clock import ClockKeeper, LiveClock, advance
from crosswire.nic.host.process import (
    keep_capabilities,
    lock_memory,
    need_capability,
    note_signals,
    pin_thread,
    run_first_in_first_out,
)
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.rings.dpdk.dpdk import known_to_dpdk
from crosswire.nic.tcp.connection import TcpConnections, prepare
from crosswire.nic.tcp.ring import TcpRing
from crosswire.nic.tcp.state import TcpCounters
from crosswire.risk.records import clear_records
from crosswire.strategies.interface import Strategy
from crosswire.venues.order import SessionState

KEEP_CLOCK_S = 0.5
STATUS_S = 5.0
WIND_DOWN_S = 2.0  # for the answers to the last cancels
LOG_OUT_S = 1.0
# Locked memory may grow only with the first; the run folder may be another user's.
KEPT_CAPABILITIES = ("CAP_IPC_LOCK", "CAP_DAC_OVERRIDE")


@dataclass
class LoopThread:
    """The loop in a thread of its own, without the interpreter lock except for draining records."""

    run: Run
    recorder: Recorder
    live: LiveConfig
    idle: SeatEntries
    thread: threading.Thread = field(init=False)
    failure: BaseException | None = None
    drains: int = 0

    def start(self) -> None:
        """Start the thread, pinned."""
        self.thread = threading.Thread(target=self._turn, name="loop")
        self.thread.start()

    def _turn(self) -> None:
        try:
            pin_thread(self.live.core)
            if self.live.scheduling == "fifo":
                run_first_in_first_out(self.live.priority)
            keep_capabilities(KEPT_CAPABILITIES)
            with known_to_dpdk():
                while self._turn_once():
                    pass
        except BaseException as error:  # a thread's error would be printed and forgotten; the run must end with it
            self.failure = self.failure or error

    def _turn_once(self) -> bool:
        """Turn until Python is needed, and drain; False at the end. The first error ends trading, not the turning.

        Orders are out: without its strategies, and with its records thrown away if they can't be written, the loop goes
        on to cancel them.
        """
        records = self.run.engine.records
        try:
            status = self.run.turn()
        except LoopError as error:
            if self.failure is not None:
                raise
            self._give_up(error)
            return True
        try:
            self.recorder.drain(records)
            self.drains += 1
        except Exception as error:
            clear_records(records)
            if self.failure is None:
                self._give_up(error)
        return status == Status.RECORDS

    def _give_up(self, error: Exception) -> None:
        """Trade no more; the loop is still to be turned."""
        self.failure = error
        engine = self.run.engine
        begin_leaving(engine)
        for number in range(engine.seat_count):
            retire(engine.seats[number], self.idle)

    def is_trading(self) -> bool:
        """Tell whether the loop turns, and nothing has been raised."""
        return self.failure is None and self.thread.is_alive()

    def stop(self) -> None:
        """End the thread; the loop leaves at its next turn."""
        self.run.engine.state.stop = 1
        self.thread.join()


def run_live(
    config_path: Path,
    output: Path,
    *,
    started: float,
    seconds: float,
    console: Console,
    capture: Path | None = None,
) -> Path:
    """Trade one configuration on the host's rings until a signal, or for `seconds` (0: no limit); return its folder.

    With `capture` the market data that the loop sees is recorded in that folder, venue by venue. On SIGINT, SIGTERM or
    SIGHUP: send nothing more, cancel all, wait for the answers, leave the groups, write the records. An alarm does the
    same and ends in an AlarmError. ConfigError, HostError, LimitError: one line each.
    """
    config = load_config(config_path)
    live = need_live(config, config_path)
    console = SteadyConsole(console)
    check_capabilities(config, live)
    files = [CaptureFiles(capture, venue.name) for venue in config.venue] if capture is not None else []
    tap_bytes = LIVE_TAP_BYTES if files else 0
    core = build_core(config, config_path)
    core.linker.want(recorder_units())
    clock = LiveClock()
    with ExitStack() as closing:
        # Compiling takes a while: all of it is done before the first ring is open.
        blanks = [blank_ring(venue, config_path, bool(files)) for venue in config.venue]
        run = make_run(config, config_path, core, blanks, clock)
        idle = SeatEntries()
        core.linker.link_all(idle, strategy_unit(Strategy))
        run.load()
        for blank in blanks:
            if isinstance(blank, TcpRing):
                prepare(blank)
        if files:
            compile_take()
        cycle_count()
        # A folder of its own: no later run replaces what this one has recorded.
        folder = output / f"{config.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        recorder = Recorder(folder, run_infos(run), record_names(config))
        closing.callback(recorder.discard)
        recorder.drain(run.engine.records)
        console.print(warm_up(config, config_path, tap_bytes))
        if live.lock_memory:
            lock_memory()
        # Until here Ctrl-C just ends the command: nothing is open.
        signals = note_signals(lambda: begin_leaving(core.engine))
        rings = open_all_rings(config, config_path, live, closing, tap_bytes)
        keeper = ClockKeeper(clock)
        for each in rings:
            if each.connections is not None:
                each.connections.connect(lambda: advance(clock, 0))
        for venue, each in zip(config.venue, rings, strict=True):
            console.print(f"{venue.name}: {each.obtained} on {venue.live.interface if venue.live else ''}")
        run = make_run(config, config_path, core, [each.ring for each in rings], clock)
        run.load()
        lanes = [TapLane(each.tap, own) for each, own in zip(rings, files, strict=bool(files))]
        writer = TapWriter(lanes, live.core, KEPT_CAPABILITIES)
        writer.start()
        closing.callback(writer.stop)
        start_s = time.perf_counter() - started
        loop_started = time.perf_counter()
        thread = LoopThread(run, recorder, live, idle)
        closing.callback(recorder.keep)
        thread.start()
        try:
            keep_capabilities(KEPT_CAPABILITIES)
            console.print("trading")
            watch(thread, keeper, seconds, lambda: bool(signals), console)
        finally:
            # Whatever ends the watching: rings are closed only when the loop has cancelled, and stopped.
            wind_down(thread, keeper)
        if thread.failure is not None:
            said = [str(thread.failure), alarm_text(run)]
            said.append(f"what was recorded is in {recorder.directory}")
            raise LoopError("; ".join(filter(None, said))) from thread.failure
        wall_s = time.perf_counter() - loop_started
        writer.stop()
        facts = run_facts(run, start_s, wall_s, "")
        facts.counters.update(live_counters(run, thread, rings) | capture_counters(lanes))
        summary = write_run(run, recorder, facts)
        finished = recorder.publish()
    from crosswire.engine.report.console import print_summary

    print_summary(summary, console)
    for own in files:
        console.print(f"captured {own.frames:,} frames of {own.name}: {', '.join(map(str, own.paths))}")
        if own.failure:
            console.print(f"capture failed, {own.lost:,} frames are in no file: {own.failure}", style="red")
    console.print(f"run folder: {finished}")
    # Asked again: what came while the engine wound down counts, too.
    if alarm := alarm_text(run):
        raise AlarmError(f"alarm: {alarm}; reconcile with the venue before the next start")
    return finished


def write_run(run: Run, recorder: Recorder, facts: RunFacts) -> RunSummary:
    """Write the last records, the summary and the report."""
    recorder.drain(run.engine.records)
    recorder.close()
    summary = summarise(facts, recorder.directory)
    write_summary(summary, facts.config_text, recorder.directory)
    from crosswire.engine.report.report import write_report  # after the run: it would delay the start by 0.5 s

    write_report(recorder.directory)
    return summary


def check_capabilities(config: RunConfig, live: LiveConfig) -> None:
    """Raise a HostError that names the first missing capability and what needs it."""
    if live.lock_memory:
        need_capability("CAP_IPC_LOCK", "live.lock_memory")
    if live.scheduling == "fifo":
        need_capability("CAP_SYS_NICE", 'live.scheduling = "fifo"')
    need_capability("CAP_SYS_ADMIN", "live: warming up in a network namespace of its own")
    for venue in config.venue:
        if venue.live is not None and venue.live.ring != "sockets":
            need_capability("CAP_NET_RAW", f"venue {venue.name}: ring {venue.live.ring}")
        if venue.live is not None and venue.live.ring == "af_xdp":
            need_capability("CAP_NET_ADMIN", f"venue {venue.name}: ring af_xdp")


def make_run(config: RunConfig, config_path: Path, core: Core, rings: list[Any], clock: LiveClock) -> Run:
    """Make the loop over these rings, to be loaded next."""
    return Run(config, config_path, core, make_all_parts(config, config_path, core.engine.market, rings), clock, [])


def open_all_rings(
    config: RunConfig, config_path: Path, live: LiveConfig, closing: ExitStack, tap_bytes: int
) -> list[VenueRings]:
    """Open every venue's rings in the configured network namespace."""
    rings = []
    with ExitStack() as there:
        if live.namespace:
            there.enter_context(in_namespace(live.namespace))
        for number in range(len(config.venue)):
            each = open_rings(config, config_path, number, tap_bytes)
            closing.push(each.closing)
            rings.append(each)
    return rings


class LostSessions:
    """Tells of each order session that ends by itself, and what else one has to say, once."""

    def __init__(self, run: Run, console: Console) -> None:
        self.run, self.console = run, console
        self.told: set[int] = set()
        self.noticed: set[tuple[int, str]] = set()

    def tell(self) -> None:
        """Tell of those that have ended since."""
        for number, (part, venue) in enumerate(zip(self.run.parts, self.run.config.venue, strict=True)):
            reason = venue.order_entry.explain(part.session)
            if reason and number not in self.told:
                self.told.add(number)
                self.console.print(f"{venue.name}: {reason}", style="red", markup=False)
            for notice in venue.order_entry.notices(part.session):
                if (number, notice) not in self.noticed:
                    self.noticed.add((number, notice))
                    self.console.print(f"{venue.name}: {notice}", markup=False)


def watch(
    thread: LoopThread,
    keeper: ClockKeeper,
    seconds: float,
    stopped: Callable[[], bool],
    console: Console,
) -> None:
    """Keep the clock and print a status line now and then, until it is time to stop: an alarm is reason enough."""
    engine = thread.run.engine
    lost = LostSessions(thread.run, console)
    begun = said = time.monotonic()
    while thread.is_trading() and not stopped() and not (seconds and time.monotonic() - begun >= seconds):
        if engine.gate.alarms != 0:
            console.print(f"alarm, everything is cancelled: {alarm_text(thread.run)}", style="red", markup=False)
            return
        time.sleep(KEEP_CLOCK_S if not seconds else min(KEEP_CLOCK_S, seconds))
        keeper.keep(KEEP_CLOCK_S)
        lost.tell()
        if time.monotonic() - said >= STATUS_S:
            said = time.monotonic()
            state = engine.state
            console.print(
                f"{said - begun:7.0f} s  frames {state.frames:,}  orders {state.orders_sent:,}  fills {state.fills:,}  "
                f"open {engine.orders.count}  halted {engine.gate.halted}"
            )


def wind_down(thread: LoopThread, keeper: ClockKeeper) -> None:
    """Send nothing more, cancel all, give the venues time to answer, log out, end the loop."""
    engine = thread.run.engine
    begin_leaving(engine)

    def until(done: Callable[[], bool], patience_s: float) -> None:
        begun = time.monotonic()
        while thread.thread.is_alive() and not done() and time.monotonic() - begun < patience_s:
            time.sleep(0.05)
            keeper.keep(KEEP_CLOCK_S)

    try:
        until(lambda: engine.state.winding_down == 2 and engine.orders.count == 0, WIND_DOWN_S)
        engine.state.winding_down = 3
        until(lambda: all(venue.session.state == SessionState.ENDED for venue in thread.run.parts), LOG_OUT_S)
    finally:
        thread.stop()


def live_counters(run: Run, thread: LoopThread, rings: list[VenueRings]) -> dict[str, int]:
    """Collect what only a live run counts."""
    counters = {"record drains": thread.drains, "orders open at the end": run.engine.orders.count}
    for venue, owner, configured in zip(run.parts, rings, run.config.venue, strict=True):
        statistics = owner.market.statistics()  # brings the ring's drops up to date
        # Where our TCP is on the same ring, that counts segments too.
        frames = owner.market.ring.counters.frames if owner.connections is None else venue.feed.packets
        counters[f"{configured.name}: market data frames"] = frames
        counters[f"{configured.name}: market data drops"] = owner.market.ring.counters.drops
        counters[f"{configured.name}: interface drops"] = owner.drops.count()
        counters[f"{configured.name}: orders sent"] = venue.session.orders_sent
        counters[f"{configured.name}: session state"] = venue.session.state
        statistics |= {} if owner.connections is None else tcp_counters(owner.connections)
        for name, count in statistics.items():
            counters[f"{configured.name}: {name.replace('_', ' ')}"] = count
    return counters


def tcp_counters(connections: TcpConnections) -> dict[str, int]:
    """Sum what our own TCP counted over all gateways, leaving out zeros."""
    ring = connections.ring
    assert ring is not None
    each = [ring.connections[stream].tcp.counters for stream in range(ring.streams)]
    sums = {f"tcp_{name}": sum(getattr(one, name) for one in each) for name in TcpCounters.fields}
    return {name: count for name, count in sums.items() if count}


def capture_counters(lanes: list[TapLane]) -> dict[str, int]:
    """Count what became of the market data frames that the loop saw: each is in a file, or counted as dropped."""
    counters = {}
    for lane in lanes:
        counters[f"{lane.files.name}: capture frames"] = lane.files.frames
        counters[f"{lane.files.name}: capture drops"] = lane.lost
    return counters
