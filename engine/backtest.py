"""A backtest from configuration file to run folder: build, loop, drain, summarise, report."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import typeof
from numba.core.errors import NumbaError
from rich.console import Console

from engine.build import Run, build_run
from engine.cache import compile_cached
from engine.config import ConfigError, load_config
from engine.data import prepare_data
from engine.histogram import Histogram, bucket_bounds_ns
from engine.loop import Status, run
from engine.plugin import plain_compile_error
from engine.recorder import Recorder, RecordNames, instrument_info, names_of
from engine.summary import LatencyFacts, RunFacts, RunSummary, VenueFacts, summarise, write_summary
from nic.compile import NO_JIT
from nic.struct import Struct
from risk.gate import Veto
from strategies.opportunity import Blocked
from strategies.trades import Outcome
from venues.bridge.layout import MESSAGES as BRIDGE_MESSAGES
from venues.deribit.layout import MESSAGES as DERIBIT_MESSAGES
from venues.feed import Feed, Reject
from venues.order import Applied

MESSAGES = {"bridge": BRIDGE_MESSAGES, "deribit": DERIBIT_MESSAGES}


def run_backtest(
    config_path: Path, output: Path, *, started: float, with_report: bool = True, console: Console | None = None
) -> Path:
    """Run one configuration; returns the run's folder, `output`/<name>, which replaces an earlier run of that name.

    `started` is when the process began, for the start-up time. With a console, progress and the summary are printed.
    """
    config = load_config(config_path)
    preparing_s = prepare_data(config, config_path, console)
    backtest = build_run(config, config_path)
    recorder = Recorder(output / config.name, _infos(backtest), _names(), replace=True)
    try:
        loop = compiled_loop(backtest)
        start_s = time.perf_counter() - started - preparing_s
        loop_started = time.perf_counter()
        turn_until_finished(backtest, loop, recorder)
        recorder.close()
        wall_s = time.perf_counter() - loop_started
        facts = run_facts(backtest, start_s, wall_s)
        summary = summarise(facts, recorder.directory)
        write_summary(summary, facts.config_text, recorder.directory)
        if with_report:
            from engine.report import write_report

            write_report(recorder.directory)
        finished = recorder.publish()
    finally:
        backtest.close()
        recorder.discard()
    if console is not None:
        _print_outcome(summary, finished, with_report, console)
    return finished


def compiled_loop(backtest: Run) -> Callable[..., int]:
    """The loop for this configuration, compiled or from the cache, so that the first frame does not wait for it."""
    loop = compile_cached(run, backtest.plugin.sources)
    if not NO_JIT:
        arguments = (backtest.engine, backtest.venues, backtest.strategy, backtest.clock)
        try:
            loop.compile(tuple(typeof(argument) for argument in arguments))  # type: ignore[attr-defined]
        except NumbaError as error:
            raise ConfigError(f"{backtest.config_path}: {plain_compile_error(error, backtest.plugin)}") from error
    return loop


def turn_until_finished(backtest: Run, loop: Callable[..., int], recorder: Recorder) -> None:
    """Drive the loop, giving it what only Python can: the next part of a file, and room for records."""
    while True:
        status = Status(loop(backtest.engine, backtest.venues, backtest.strategy, backtest.clock))
        if status == Status.STARVED:
            backtest.refill()
            continue
        recorder.drain(backtest.engine.records)
        if status != Status.RECORDS:
            return


def run_facts(backtest: Run, start_s: float, wall_s: float) -> RunFacts:
    """What the loop counted."""
    from importlib.metadata import version  # after the run: importing it would delay the start by 0.05 s

    engine, config = backtest.engine, backtest.config
    venues = {each.name: _venue_facts(backtest, number) for number, each in enumerate(config.venue)}
    return RunFacts(
        name=config.name,
        config_file=str(backtest.config_path),
        config_text=backtest.config_path.read_text(),
        engine_version=version("crosswire"),
        instruments=_infos(backtest),
        venues=venues,
        frames=engine.state.frames,
        messages=sum(sum(facts.messages.values()) for facts in venues.values()),
        level_updates=sum(facts.level_updates for facts in venues.values()),
        orders_sent=engine.state.orders_sent,
        orders_vetoed={name: engine.gate.vetoes[number] for number, name in names_of(Veto).items() if number},
        first_time_ns=engine.state.first_ns,
        last_time_ns=engine.desk.now_ns,
        start_s=start_s,
        wall_s=wall_s,
        digest="-".join(f"{venue.ring.digest & (1 << 64) - 1:016x}" for venue in backtest.venues),
        latencies={
            "feed": _latency(engine.state.feed_latency),
            "order round trip": _latency(engine.state.order_round_trip),
        },
        counters={
            "loop turns": engine.state.turns,
            "cancels sent": engine.state.cancels_sent,
            "alarms": engine.gate.alarms,
            "requests dropped": engine.desk.requests_dropped,
            **backtest.strategy.counters(),
            **{f"reports: {name}": engine.orders.outcomes[number] for number, name in names_of(Applied).items()},
        },
    )


def _latency(histogram: Histogram) -> LatencyFacts:
    return LatencyFacts(buckets=bucket_bounds_ns(histogram), max_ns=histogram.max_ns, negative=histogram.negative)


def _venue_facts(backtest: Run, number: int) -> VenueFacts:
    venue, configured = backtest.venues[number], backtest.config.venue[number]
    feed, session = venue.feed, venue.session
    return VenueFacts(
        packets=feed.packets,
        level_updates=feed.level_updates,
        sequence_gaps=feed.sequence_gaps,
        duplicates=feed.duplicates,
        continuity_breaks=feed.continuity_breaks,
        definition_mismatches=feed.definition_mismatches,
        rejects={name: feed.rejects[reason] for reason, name in names_of(Reject).items() if feed.rejects[reason]},
        messages={
            message.name: feed.messages[place]
            for place, message in enumerate(MESSAGES[configured.feed])
            if feed.messages[place]
        },
        counters={
            **own_counters(feed),
            "order frames sent": session.frames_sent,
            "order frames received": session.frames_received,
            "bad order frames": session.bad_frames,
        },
    )


def own_counters(feed: Struct) -> dict[str, int]:
    """The counters that a venue's feed adds to those of every feed."""
    names = [name for name, field in type(feed).fields.items() if field.is_scalar and name not in Feed.fields]
    return {name.replace("_", " "): getattr(feed, name) for name in names}


def _infos(backtest: Run) -> list[Any]:
    return [
        instrument_info(instrument, backtest.config.venue[instrument.venue].name)
        for instrument in backtest.engine.market.instruments
    ]


def _names() -> RecordNames:
    return RecordNames(vetoes=names_of(Veto), blocked=names_of(Blocked), outcomes=names_of(Outcome))


def _print_outcome(summary: RunSummary, finished: Path, with_report: bool, console: Console) -> None:
    from engine.report_console import print_summary

    print_summary(summary, console)
    console.print(f"run folder: {finished}" + (f"   report: {finished / 'report.html'}" if with_report else ""))
