"""`crosswire live`: the loop of a backtest on the host's rings, from configuration to run folder."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from crosswire.engine.alarm import alarm_text
from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import Core, Run, build_core
from crosswire.engine.capture.files import LIVE_TAP_BYTES, ORDERS, CaptureFiles, TapLane, TapWriter, compile_take
from crosswire.engine.config import LiveConfig, RunConfig, need_live, parse_config, read_config_text
from crosswire.engine.configuration.settings import set_text
from crosswire.engine.control.counters import CounterTeller
from crosswire.engine.control.mailbox import client_text
from crosswire.engine.control.parameters import set_control
from crosswire.engine.control.share import SharedRun
from crosswire.engine.control.words import CommandTeller
from crosswire.engine.doctor.start import check_host
from crosswire.engine.ending import give_up, go_on_without_segment
from crosswire.engine.errors import KNOWN_ERRORS, AlarmError, KilledError, LoopError
from crosswire.engine.feed_warnings import mismatch_warnings
from crosswire.engine.journal.carry import Carried, last_carried
from crosswire.engine.journal.description import Description, write_description
from crosswire.engine.journal.opening import net_held, open_orders, resumed_at, take_over, write_opening
from crosswire.engine.journal.reconcile import doubt_text, has_something, tells_account
from crosswire.engine.live.accounts import AccountCheck, make_account_sources
from crosswire.engine.live.capabilities import check_capabilities
from crosswire.engine.live.confinement import KEPT_CAPABILITIES, confine_live
from crosswire.engine.live.rings import VenueRings, blank_ring, make_all_parts, open_rings
from crosswire.engine.live.steady import SteadyConsole
from crosswire.engine.live.strategy_log import StrategyLog
from crosswire.engine.live.warm_up import warm_up
from crosswire.engine.live.warnings import damaged_warning, standstill_warnings
from crosswire.engine.loop import Status
from crosswire.engine.records import record_closed
from crosswire.engine.report.facts import (
    describe_run,
    message_names,
    record_names,
    run_facts,
    strategy_names,
    write_facts,
)
from crosswire.engine.report.make import make_files
from crosswire.engine.report.recorder import recorder_units
from crosswire.engine.runs import hold_name, make_run_folder
from crosswire.engine.standstill import watch_for_standstill
from crosswire.engine.state import Engine, begin_leaving, is_leaving, leave_on_signals
from crosswire.engine.telemetry.log import Level, logged
from crosswire.engine.venue import Venue, VenueParts
from crosswire.nic.clock import ClockKeeper, LiveClock, advance
from crosswire.nic.host.process import (
    HostError,
    keep_capabilities,
    lock_memory,
    pin_thread,
    run_first_in_first_out,
)
from crosswire.nic.host.signals import hold_signals, let_signals_in
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.journal.files import FOLDER, MEMORY_FOLDER, SharedJournal
from crosswire.nic.journal.journal import wants_segment
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.rings.dpdk.dpdk import known_to_dpdk
from crosswire.nic.rings.receive_times import KINDS as RECEIVE_TIMES
from crosswire.nic.rings.tap import tell_run
from crosswire.nic.tcp.connection import TcpConnections, prepare
from crosswire.nic.tcp.ring import TcpRing
from crosswire.nic.tcp.state import TcpCounters
from crosswire.nic.warning import DataWarning
from crosswire.risk.trading_state import state_text
from crosswire.venues.adapter import AccountSource
from crosswire.venues.session import (
    SessionState,
)

KEEP_CLOCK_S = 0.5
STATUS_S = 5.0
WIND_DOWN_S = 2.0  # for the answers to the last cancels
LOG_OUT_S = 1.0
ACCOUNTS_S = 15.0  # a feed may define its instruments no more often than every 10 s
SHOWN_ORDERS_MAX = 5


@dataclass
class LoopThread:
    """The loop in a thread of its own, without the interpreter lock."""

    run: Run
    kept: SharedJournal
    live: LiveConfig
    thread: threading.Thread = field(init=False)
    failure: BaseException | None = None

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
            let_signals_in()
            watch_for_standstill(self.run.engine, advance(self.run.clock, 0))
            with known_to_dpdk():
                while self._turn_once():
                    pass
        except BaseException as error:  # a thread's error would be printed and forgotten; the run must end with it
            self.failure = self.failure or error

    def _turn_once(self) -> bool:
        """Turn until Python is needed; False at the end. The first error ends trading, not the turning.

        Orders are out: without its strategies, and in what room the journal has left, the loop goes on to cancel them.
        """
        try:
            status = self.run.turn()
        except LoopError as error:
            if self.failure is not None:
                raise
            self.failure = error
            give_up(self.run.engine)
            return True
        if status != Status.JOURNAL:
            return False
        self.kept.keep()
        if wants_segment(self.run.engine.journal):
            go_on_without_segment(self.run.engine)
            if self.failure is None:
                self.failure = HostError(f"journal {self.kept.folder}: no room for its next segment")
        return True

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
    settings: Sequence[str] = (),
) -> Path:
    """Trade one configuration on the host's rings until a signal, or for `seconds` (0: no limit); return its folder.

    `settings`, "key=value", are set for this run; what it keeps as its configuration has them.
    With `capture` all that the loop sees is recorded in that folder, venue by venue, for a backtest and for `explain`.
    On every signal that would end it but SIGKILL: send nothing more, cancel all, wait for the answers, leave the
    groups, make the run's files. An alarm does the same and ends in an AlarmError. ConfigError, HostError,
    JournalError, LimitError, LoopError: one line each.
    """
    config_text = set_text(read_config_text(config_path), config_path, settings)
    config = parse_config(config_text, config_path)
    live = need_live(config, config_path)
    steady = SteadyConsole(console)
    with logged(config.log, config_path, config.name, "live", steady.put_line) as steady.json_log:
        return trade(Asked(config_path, config_text, settings, config, live), output, started, seconds, steady, capture)


@dataclass(frozen=True)
class Asked:
    """What a run was asked to be: its configuration with what was set for this run, and the file that it is from."""

    config_path: Path
    config_text: str
    settings: Sequence[str]
    config: RunConfig
    live: LiveConfig


def trade(
    asked: Asked, output: Path, started: float, seconds: float, console: SteadyConsole, capture: Path | None
) -> Path:
    """Do what `run_live` says."""
    config, live, config_path = asked.config, asked.live, asked.config_path
    check_capabilities(config, live)
    check_host(config, config_path, output, console)
    files = capture_files(config, capture)
    tap_bytes = LIVE_TAP_BYTES if files else 0
    clock = LiveClock()
    with ExitStack() as closing:
        # Without [control] all memory is the process's own, and no command reaches the loop.
        shared = SharedRun(closing) if config.control is not None else None
        with allocating_in(shared):
            core = build_core(config, config_path)
        core.linker.want(recorder_units())
        sources = make_account_sources(config, config_path, core.engine.market)
        closing.enter_context(hold_name(output, config.name))
        carried = begin_with_last(core, config, output, console)
        need_comparison(config, carried, sources)
        # Compiling takes a while: all of it is done before the first ring is open.
        compile_all(config, config_path, core, clock, bool(files))
        console.say(warm_up(config, config_path, tap_bytes), "warmed_up")
        if live.lock_memory:
            lock_memory()
        # Until here Ctrl-C just ends the command: nothing is open. From here on signals wait for the loop's thread.
        hold_signals()
        leave_on_signals(core.engine)
        if console.json_log is not None:
            console.json_log.start()
        rings = open_all_rings(config, config_path, live, closing, tap_bytes, shared)
        keeper = ClockKeeper(clock)
        for venue, each in zip(config.venue, rings, strict=True):
            if each.connections is not None:
                each.connections.connect(lambda: advance(clock, 0))
            if venue.live is not None:
                stamped = RECEIVE_TIMES[venue.live.timestamps]
                text = f"{venue.name}: {each.obtained} on {venue.live.interface}, frames {stamped}"
                console.say(text, "ring_open", venue=venue.name)
        with allocating_in(shared):
            run = make_run(config, config_path, core, [each.ring for each in rings], clock)
            if shared is not None:
                set_control(core, config)
        run.load()
        resume_sessions(run, config, carried)
        check = AccountCheck(run, sources)
        closing.callback(check.stop)
        folder = make_run_folder(output, config.name, asked.config_text)
        if shared is not None:
            shared.publish(run, [each.market.ring for each in rings], folder)
        kept = closing.enter_context(SharedJournal(core.engine.journal, folder / FOLDER))
        places = [folder, MEMORY_FOLDER]
        if console.json_log is not None:
            console.json_log.run = folder.name
            places.append(console.json_log.folder)
        console.say(confine_live(config, config_path, tuple(places), capture), "confined")
        lanes = [TapLane(each.tap, *own) for each, own in zip(rings, files, strict=bool(files))]
        for lane in lanes:
            tell_run(lane.tap, core.engine.journal.key, advance(clock, 0))
        writer = TapWriter(lanes, live.core, KEPT_CAPABILITIES)
        writer.start()
        closing.callback(writer.stop)
        start_s = time.perf_counter() - started
        loop_started = time.perf_counter()
        continues = carried.folder.name if carried else ""
        described = describe_run(core, config, config_path, "live", continues, capture)
        described = replace(described, config_text=asked.config_text, settings=list(asked.settings))
        write_description(core.engine.journal, described)
        write_opening(core, config, carried, [part.session for part in run.parts])
        kept.keep()  # on the disk before the first order
        if kept.failure is not None:
            raise HostError(journal_text(kept))
        core.engine.state.tells_turns = 1
        thread = LoopThread(run, kept, live)
        thread.start()
        try:
            keep_capabilities(KEPT_CAPABILITIES)
            kept.start()  # a thread has what its starter has
            check.start()
            console.say("trading", "trading")
            watch(thread, keeper, check, seconds, lambda: is_leaving(core.engine) or kept.failure is not None, console)
        finally:
            # Whatever ends the watching: rings are closed only when the loop has cancelled, and stopped.
            wind_down(thread, keeper)
            record_closed(core.engine, core.engine.state.now_ns)
        wall_s = time.perf_counter() - loop_started
        writer.stop()
        failure = end_journal(run, described, kept, rings, lanes, start_s, wall_s)
    for own in chain.from_iterable(files):
        paths = ", ".join(map(str, own.paths))
        console.say(f"captured {own.frames:,} frames of {own.name}: {paths}", "captured", frames=own.frames)
        if own.failure:
            text = f"capture failed, {own.lost:,} frames are in no file: {own.failure}"
            console.say(text, "capture_failed", Level.ERROR, frames_lost=own.lost)
    conclude(run, folder, [thread.failure, failure], kept, console)
    return folder


def compile_all(config: RunConfig, config_path: Path, core: Core, clock: LiveClock, is_captured: bool) -> None:
    """Compile, or find compiled, all that the run needs."""
    blanks = [blank_ring(venue, config_path, is_captured) for venue in config.venue]
    run = make_run(config, config_path, core, blanks, clock)
    run.load()
    for blank in blanks:
        ring = blank.inner[0] if is_captured else blank
        if isinstance(ring, TcpRing):
            prepare(ring)
    if is_captured:
        compile_take()
    cycle_count()


def capture_files(config: RunConfig, capture: Path | None) -> list[tuple[CaptureFiles, CaptureFiles]]:
    """Make the files of each venue: of its market data, and of its order session. ConfigError, HostError."""
    if capture is None:
        return []
    return [(CaptureFiles(capture, each.name), CaptureFiles(capture, each.name + ORDERS)) for each in config.venue]


def end_journal(
    run: Run,
    described: Description,
    kept: SharedJournal,
    rings: list[VenueRings],
    lanes: list[TapLane],
    start_s: float,
    wall_s: float,
) -> Exception | None:
    """Write what was counted, and bring everything to the disk; return what went wrong with the counting."""
    failure = None
    try:
        facts = run_facts(run, start_s, wall_s, "")
        facts = replace(facts, config_text=described.config_text, settings=described.settings)
        facts.counters.update(journal_counters(run, kept) | capture_counters(lanes))
        for part, each, venue in zip(run.parts, rings, run.config.venue, strict=True):
            seen = run.engine.venues[part.session.venue]
            if seen.damaged != 0:
                facts.warnings.append(damaged_warning(venue.name, seen.damaged))
            try:
                facts.counters.update(venue_counters(part, seen, each, venue.name))
            except HostError as error:  # its interface is gone: that is no reason to say nothing of the rest
                facts.warnings.append(uncounted_warning(venue.name, error))
        facts.warnings += standstill_warnings(run.engine.state)
        write_facts(run.engine.journal, facts)
    except Exception as error:  # a strategy's own counters are its author's code
        failure = error
    kept.close()
    return failure


def conclude(
    run: Run, folder: Path, failures: list[BaseException | None], kept: SharedJournal, console: SteadyConsole
) -> None:
    """Make the run's files and print its figures. LoopError, AlarmError: all that is wrong, in one line.

    Asked only now: what came while the engine wound down counts, too.
    """
    said = [what_failed(error) for error in failures if error is not None]
    said.append(journal_text(kept))
    alarm = "; ".join(filter(None, [alarm_text(run), unended_text(run)]))
    if not any(said):
        try:
            summary = make_files(folder, with_report=True)
        except Exception as error:
            said.append(f"the journal is whole, but the run's files could not be made: {what_failed(error)}")
    if any(said):
        said += [alarm, f"what was recorded is in {folder}, and crosswire report makes its files from that"]
        raise LoopError("; ".join(filter(None, said)))
    from crosswire.engine.report.console import print_summary

    print_summary(summary, console)
    counts = {"frames": summary.frames, "orders": summary.orders_sent, "fills": summary.fills}
    profit = {currency: each.net for currency, each in summary.pnl.items()}
    console.say(f"run folder: {folder}", "ended", **counts, profit=profit, warnings=len(summary.warnings))
    control = run.engine.control
    killed = f"killed by {client_text(bytes(control.killer))}" if control.is_killed != 0 else ""
    if alarm:
        said = [f"alarm: {alarm}", killed, "the next start asks the venues before it trades"]
        raise AlarmError("; ".join(filter(None, said)))
    if killed:
        raise KilledError(killed)


def what_failed(error: BaseException) -> str:
    """Say in a few words what was raised: our own errors are whole lines, others have a name."""
    if isinstance(error, KNOWN_ERRORS):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def begin_with_last(core: Core, config: RunConfig, output: Path, console: SteadyConsole) -> Carried | None:
    """Take over what the last run of this name has left, and say so. JournalError: it can't be."""
    carried = last_carried(output / config.name)
    if carried is None:
        console.say("no earlier run of this name: the venues say what is held", "first_run")
        return None
    take_over(core, config, carried)
    held = [f"{lots:+} lots of {instrument}" for instrument, lots in carried.held_lots().items()]
    net = [f"{amount:+f} {underlying} net" for underlying, amount in net_held(core, config).items()]
    ended = "ended" if carried.is_closed else "died"
    console.say(
        f"{carried.folder.name} {ended}; it held {', '.join(held + net) or 'nothing'};"
        f" the end of {len(carried.orders)} orders is not known",
        "took_over",
        earlier=carried.folder.name,
        held_lots=carried.held_lots(),
        open_orders=len(carried.orders),
    )
    return carried


def resume_sessions(run: Run, config: RunConfig, carried: Carried | None) -> None:
    """Have each session ask its venue what we have, before it trades. HostError: one can't, and we have something."""
    for number, venue in enumerate(config.venue):
        resume = venue.order_entry.resume
        if resume is not None:
            resume(run.parts[number].session, resumed_at(venue.name, config, carried) if carried else None)
        elif carried is not None and carried.description.kind != "reconcile" and has_something(carried, venue.name):
            raise HostError(
                f"venue {venue.name}: by {carried.folder} something is held or open there, and the venue can't be"
                " asked: compare with its own page, then crosswire reconcile --accept"
            )


def need_comparison(config: RunConfig, carried: Carried | None, sources: Mapping[int, AccountSource]) -> None:
    """Refuse to trade where what we have is doubtful and nobody would compare it. HostError.

    `sources`: whose account is asked beside the session, by the venue's number.
    """
    if carried is None:
        return
    for number, venue in enumerate(config.venue):
        is_compared = tells_account(venue) or (number in sources and sources[number].tells_positions)
        doubt = doubt_text(venue, carried)
        if doubt and not is_compared:
            raise HostError(
                f"venue {venue.name}: by {carried.folder} {doubt}; and no source of that account's positions is"
                " configured now: configure it, or compare with the venue's own page, then crosswire reconcile --accept"
            )


def unended_text(run: Run) -> str:
    """Name the orders whose end no venue has told, "" if there are none."""
    names = instrument_names(run.config)
    orders = [f"{order.client_order_id} of {names[order.instrument]}" for order in open_orders(run.core)]
    shown = ", ".join(orders[:SHOWN_ORDERS_MAX]) + (", ..." if len(orders) > SHOWN_ORDERS_MAX else "")
    return f"the end of {len(orders)} order{'s' if len(orders) > 1 else ''} is not known ({shown})" if orders else ""


def journal_text(kept: SharedJournal) -> str:
    """Say in one line what is wrong with the journal, "" if nothing is."""
    said = []
    if kept.failure is not None:
        why = getattr(kept.failure, "strerror", None) or str(kept.failure)
        said.append(f"journal {kept.folder}: {why}, its last records are in memory only")
    if dropped := kept.journal.dropped:
        said.append(f"{dropped} record{'s' if dropped > 1 else ''} found no room in the journal")
    return "; ".join(said)


def make_run(config: RunConfig, config_path: Path, core: Core, rings: list[Any], clock: LiveClock) -> Run:
    """Make the loop over these rings, to be loaded next."""
    return Run(config, config_path, core, make_all_parts(config, config_path, core.engine.market, rings), clock, [])


def allocating_in(shared: SharedRun | None) -> AbstractContextManager[None]:
    """Have what is made meanwhile lie in the memory that others may look at, if the run has such."""
    return nullcontext() if shared is None else shared.arena.allocating()


def open_all_rings(
    config: RunConfig,
    config_path: Path,
    live: LiveConfig,
    closing: ExitStack,
    tap_bytes: int,
    shared: SharedRun | None,
) -> list[VenueRings]:
    """Open every venue's rings in the configured network namespace."""
    rings = []
    with ExitStack() as there:
        if live.namespace:
            there.enter_context(in_namespace(live.namespace))
        for number in range(len(config.venue)):
            each = open_rings(config, config_path, number, tap_bytes, allocating_in(shared))
            closing.push(each.closing)
            rings.append(each)
    return rings


class LostSessions:
    """Tells of each order session that is lost, and that it is back; and what else one has to say, once."""

    def __init__(self, run: Run, console: SteadyConsole) -> None:
        self.run, self.console = run, console
        self.losses = [0] * len(run.parts)  # told of, by venue
        self.reasons = [""] * len(run.parts)  # told last, by venue
        self.noticed: set[tuple[int, str]] = set()

    def tell(self) -> None:
        """Tell of what has come since."""
        for number, venue in enumerate(self.run.config.venue):
            session = self.run.parts[number].session
            self.tell_state(number, venue.name, venue.order_entry.explain(session))
            for notice in venue.order_entry.notices(session):
                if (number, notice) not in self.noticed:
                    self.noticed.add((number, notice))
                    self.console.say(f"{venue.name}: {notice}", "session_notice", venue=venue.name)

    def tell_state(self, number: int, name: str, reason: str) -> None:
        """Tell of a loss, also of one that is over already, and of a return. A failed attempt to return is neither."""
        venue = self.run.engine.venues[number]
        is_lost, losses = venue.is_lost, venue.losses
        is_new = losses != self.losses[number]
        if self.reasons[number] and (is_new or (not reason and not is_lost)):
            self.reasons[number] = ""
            self.console.say(f"{name}: its session is back", "session_back", venue=name)
        if is_new or (reason and not self.reasons[number]):
            self.losses[number] = losses
            self.reasons[number] = reason or "its session was lost"
            text = f"{name}: {self.reasons[number]}"
            self.console.say(text, "session_lost", Level.ERROR, venue=name, losses=losses)


def watch(
    thread: LoopThread,
    keeper: ClockKeeper,
    check: AccountCheck,
    seconds: float,
    stopped: Callable[[], bool],
    console: SteadyConsole,
) -> None:
    """Keep the clock and print a status line now and then, until it is time to stop: an alarm is reason enough."""
    engine = thread.run.engine
    lost = LostSessions(thread.run, console)
    told_standstill: set[str] = set()
    told_damaged: set[str] = set()
    told_contradicted: set[str] = set()
    commands = CommandTeller(engine)
    counters = CounterTeller(engine.counters, thread.run.core.strategies, strategy_names(thread.run.config))
    names = record_names(thread.run.config)
    names = replace(names, messages=message_names(thread.run.core))
    strategies = StrategyLog(engine, names, instrument_names(thread.run.config))

    def tell() -> None:
        lost.tell()
        tell_standstill(thread.run, told_standstill, console)
        tell_damaged(thread.run, told_damaged, console)
        tell_contradicted(thread.run, told_contradicted, console)
        for line in check.take_lines():
            console.say(line, "account")
        for line in commands.take_lines():
            console.say(line, "command")
        for line in counters.take_lines():
            console.say(line, "strategy_counters", Level.ERROR)
        for said in strategies.take_lines():
            text = f"{said.strategy}: {said.text}"
            console.say(text, "strategy", strategy=said.strategy, said=said.text, said_at=said.time)

    begun = said = time.monotonic()
    while thread.is_trading() and not stopped() and not (seconds and time.monotonic() - begun >= seconds):
        if engine.gate.alarms != 0:
            wait_for_accounts(thread, keeper)
            tell()
            text = f"alarm, everything is cancelled: {alarm_text(thread.run)}"
            console.say(text, "alarm", Level.ERROR, alarms=engine.gate.alarms)
            return
        time.sleep(KEEP_CLOCK_S if not seconds else min(KEEP_CLOCK_S, seconds))
        keeper.keep(KEEP_CLOCK_S)
        tell()
        engine.gate.alive_ns = engine.state.now_ns
        if time.monotonic() - said >= STATUS_S:
            said = time.monotonic()
            tell_status(engine, said - begun, console)


def tell_status(engine: Engine, seconds: float, console: SteadyConsole) -> None:
    """Say how far the run is."""
    state = engine.state
    console.say(
        f"{seconds:7.0f} s  frames {state.frames:,}  orders {state.orders_sent:,}  fills {state.fills:,}  "
        f"open {engine.orders.count}  {state_text(engine.gate)}",
        "status",
        frames=state.frames,
        orders=state.orders_sent,
        fills=state.fills,
        open_orders=engine.orders.count,
        state=state_text(engine.gate),
    )


def wait_for_accounts(thread: LoopThread, keeper: ClockKeeper) -> None:
    """If a venue's account differs from ours, hear the others' too: an operator reconciles all of them at once."""
    engine = thread.run.engine
    venues = [engine.venues[number] for number in range(engine.venue_count)]
    begun = time.monotonic()
    while any(venue.differences + venue.strangers for venue in venues) and time.monotonic() - begun < ACCOUNTS_S:
        if all(venue.accounts or venue.session.state != SessionState.LOGGING_ON for venue in venues):
            return
        time.sleep(0.05)
        keeper.keep(KEEP_CLOCK_S)


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


def journal_counters(run: Run, kept: SharedJournal) -> dict[str, int]:
    """Collect what a live run's journal counts, and what is open at its end."""
    return {
        "orders open at the end": run.engine.orders.count,
        "standstills": run.engine.state.standstills,
        "standstill, longest, us": run.engine.state.standstill_longest_ns // 1000,
        "journal records": kept.journal.sequence,
        "journal records dropped": kept.journal.dropped,
        "journal syncs": kept.syncs,
        "journal lag, longest, us": kept.lag_ns_max // 1000,
    }


def uncounted_warning(name: str, error: HostError) -> DataWarning:
    """Say that what a venue's rings have counted is lost."""
    return DataWarning(
        kind="venues whose rings' counters are not known",
        count=1,
        first_place=f"venue {name}",
        what_to_do=f"look after its interface ({error})",
    )


def tell_damaged(run: Run, told: set[str], console: SteadyConsole) -> None:
    """Say once of each venue that datagrams are not read for their checksum: if all are, nothing is ever traded."""
    for number, venue in enumerate(run.config.venue):
        damaged = run.engine.venues[number].damaged
        if damaged != 0 and venue.name not in told:
            told.add(venue.name)
            console.warn(damaged_warning(venue.name, damaged))


def tell_standstill(run: Run, told: set[str], console: SteadyConsole) -> None:
    """Say once that the engine stood still."""
    warnings = standstill_warnings(run.engine.state)
    if warnings and "standstill" not in told:
        told.add("standstill")
        for warning in warnings:
            console.warn(warning)


def tell_contradicted(run: Run, told: set[str], console: SteadyConsole) -> None:
    """Say once of each venue that it defines an instrument otherwise than the configuration: it is not traded then."""
    for part, venue in zip(run.parts, run.config.venue, strict=True):
        if part.feed.definition_mismatches != 0 and venue.name not in told:
            told.add(venue.name)
            console.warn(next(mismatch_warnings(part.feed, run.engine.market, venue.name)))


def venue_counters(part: VenueParts, venue: Venue, owner: VenueRings, name: str) -> dict[str, int]:
    """Collect what only a live run counts of a venue. HostError: its interface is gone."""
    statistics = owner.market.statistics()  # brings the ring's drops up to date
    statistics |= {} if owner.connections is None else tcp_counters(owner.connections)
    counters = {
        # Where our TCP is on the same ring, that counts segments too.
        "market data frames": owner.market.ring.counters.frames if owner.connections is None else part.feed.packets,
        "market data drops": owner.market.ring.counters.drops,
        "interface drops": owner.drops.count(),
        "orders sent": part.session.orders_sent,
        "session state": part.session.state,
    }
    counters |= {each.replace("_", " "): count for each, count in statistics.items()}
    counters["market data frames damaged"] = venue.damaged
    return {f"{name}: {each}": count for each, count in counters.items()}


def tcp_counters(connections: TcpConnections) -> dict[str, int]:
    """Sum what our own TCP counted over all gateways, leaving out zeros."""
    ring = connections.ring
    assert ring is not None
    each = [ring.connections[stream].tcp.counters for stream in range(ring.streams)]
    sums = {f"tcp_{name}": sum(getattr(one, name) for one in each) for name in TcpCounters.fields}
    return {name: count for name, count in sums.items() if count}


def capture_counters(lanes: list[TapLane]) -> dict[str, int]:
    """Count what became of the frames that the loop saw: each is in a file, or counted as dropped."""
    counters = {}
    for lane in lanes:
        counters[f"{lane.files.name}: capture frames"] = lane.files.frames
        if lane.orders is not None:
            counters[f"{lane.files.name}: capture frames of orders"] = lane.orders.frames
        counters[f"{lane.files.name}: capture drops"] = lane.lost
    return counters
