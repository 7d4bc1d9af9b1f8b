"""What a run's loop counted, as plain data for its summary. The same for a backtest and a live run."""

import time
from dataclasses import replace
from pathlib import Path

import msgspec

from crosswire.engine.build.run import Core, Run
from crosswire.engine.config import RunConfig
from crosswire.engine.feed_warnings import feed_warnings, levels_let_go
from crosswire.engine.journal.description import Description, describe
from crosswire.engine.journal.text import Purpose, write_text
from crosswire.engine.overlap import apart_warnings
from crosswire.engine.report.currency import e9
from crosswire.engine.report.recorder import InstrumentInfo, RecordNames, instrument_info, names_of
from crosswire.engine.report.summary import LatencyFacts, RunFacts, StrategyFacts, VenueFacts
from crosswire.nic.histogram import Histogram, bucket_bounds_ns, percentile_ns
from crosswire.nic.journal.journal import Journal
from crosswire.nic.memory.struct import Struct
from crosswire.nic.warning import DataWarning
from crosswire.risk.gate import Veto
from crosswire.risk.trading_state import Why
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.trades import Outcome
from crosswire.venues.adapter import ExchangeFacts
from crosswire.venues.feed import Feed, Reject
from crosswire.venues.lines import behind_by_line
from crosswire.venues.order import Applied


def run_facts(run: Run, start_s: float, wall_s: float, digest: str) -> RunFacts:
    """Collect what the loop counted."""
    from importlib.metadata import version  # after the run: importing it would delay the start by 0.05 s

    engine, config = run.engine, run.config
    simulated = _exchange_facts(run)
    venues = {each.name: _venue_facts(run, number) for number, each in enumerate(config.venue)}
    for name, told in simulated.items():
        venues[name].counters.update(told.counters)
    for name, venue_digest in run.digests_by_venue().items():
        venues[name].digest = venue_digest
    return RunFacts(
        name=config.name,
        config_file=str(run.config_path),
        config_text=run.config_path.read_text(),
        engine_version=version("crosswire"),
        instruments=run_infos(run),
        venues=venues,
        frames=engine.state.frames,
        messages=sum(sum(facts.messages.values()) for facts in venues.values()),
        level_updates=sum(facts.level_updates for facts in venues.values()),
        orders_sent=engine.state.orders_sent,
        orders_vetoed={name: engine.gate.vetoes[number] for number, name in names_of(Veto).items() if number},
        first_time_ns=engine.state.first_ns,
        last_time_ns=engine.state.now_ns,
        start_s=start_s,
        wall_s=wall_s,
        digest=digest,
        money=run.core.money.between(engine.state.first_ns, engine.state.now_ns),
        warnings=data_warnings(run) + [warning for told in simulated.values() for warning in told.warnings],
        strategies=strategy_facts(run),
        latencies={
            "feed": _latency(engine.state.feed_latency),
            **{
                f"{what}, {name}": _latency(histogram)
                for name, told in simulated.items()
                for what, histogram in told.latencies.items()
                if histogram.count
            },
            **{
                f"{line} behind, {venue.name}": _latency(histogram)
                for venue, part in zip(config.venue, run.parts, strict=True)
                for line, histogram in behind_by_line(part.feed.lines).items()
                if histogram.count
            },
            "order round trip": _latency(engine.state.order_round_trip),
            "receive to send": _latency(engine.state.receive_to_send),
        },
        counters={
            "loop turns": engine.state.turns,
            "cancels sent": engine.state.cancels_sent,
            "amends sent": engine.state.amends_sent,
            "alarms": engine.gate.alarms,
            "trading state": engine.gate.state,
            **{f"trading state: {name}": engine.gate.changes[why] for why, name in names_of(Why).items() if why},
            "requests dropped": sum(engine.seats[number].desk.requests_dropped for number in range(engine.seat_count)),
            "orders cancelled by cancel_all": sum(
                engine.seats[number].desk.cancels_asked for number in range(engine.seat_count)
            ),
            "values dropped": sum(engine.seats[number].desk.values_dropped for number in range(engine.seat_count)),
            "log lines dropped": sum(engine.seats[number].desk.lines_dropped for number in range(engine.seat_count)),
            **(run.core.strategies[0].counters() if len(run.core.strategies) == 1 else {}),
            **{f"reports: {name}": engine.orders.outcomes[number] for number, name in names_of(Applied).items()},
        },
    )


def data_warnings(run: Run) -> list[DataWarning]:
    """List what makes a run's data less than the whole truth, in its captures and its feeds."""
    warnings = run.warnings() + apart_warnings(run.spans_ns())
    for venue, part in zip(run.config.venue, run.parts, strict=True):
        warnings += feed_warnings(part.feed, run.engine.market, venue.name)
    return warnings


def describe_run(
    core: Core, config: RunConfig, config_path: Path, kind: str, continues: str = "", capture: Path | None = None
) -> Description:
    """Describe a run that begins now."""
    return describe(
        name=config.name,
        kind=kind,
        config_path=config_path,
        venues=[each.name for each in config.venue],
        instruments=core_infos(core, config),
        names=replace(record_names(config), series=series_names(core), messages=message_names(core)),
        continues=continues,
        capture=str(capture.resolve()) if capture is not None else "",
    )


def series_names(core: Core) -> dict[int, list[str]]:
    """List the strategies' own series by their numbers."""
    return {number: strategy.series() for number, strategy in enumerate(core.strategies)}


def message_names(core: Core) -> dict[int, list[str]]:
    """List what the strategies may say, by their numbers."""
    return {number: list(strategy.messages()) for number, strategy in enumerate(core.strategies)}


def write_facts(journal: Journal, facts: RunFacts) -> None:
    """Write what was counted, as a journal's last records."""
    write_text(journal, Purpose.FACTS, msgspec.json.encode(facts), time.time_ns())


def strategy_names(config: RunConfig) -> list[str]:
    """List the strategies' names, in the order configured; a strategy without a name is called by its class."""
    return [each.name or each.use.rpartition(":")[2] for each in config.strategies]


def strategy_facts(run: Run) -> dict[str, StrategyFacts]:
    """Collect what each strategy did, by name."""
    engine, infos = run.engine, run_infos(run)
    facts = {}
    for number, name in enumerate(strategy_names(run.config)):
        positions = engine.seats[number].desk.positions
        held = {
            info.name: e9(positions[info.index].position_lots * info.lot_e9)
            for info in infos
            if positions[info.index].position_lots
        }
        facts[name] = StrategyFacts(
            orders=engine.seats[number].orders,
            fills=sum(positions[info.index].fills for info in infos),
            position=held,
            counters=run.core.strategies[number].counters(),
        )
    return facts


def _latency(histogram: Histogram) -> LatencyFacts:
    return LatencyFacts(
        buckets=bucket_bounds_ns(histogram),
        max_ns=histogram.max_ns,
        negative=histogram.negative,
        percentiles_ns={str(percent): percentile_ns(histogram, percent) for percent in (50, 90, 99)},
    )


def _exchange_facts(run: Run) -> dict[str, ExchangeFacts]:
    """Collect what the simulated exchanges measured, by venue."""
    return {
        venue.name: venue.order_entry.facts(part.exchange, venue.name)
        for venue, part in zip(run.config.venue, run.parts, strict=True)
        if venue.order_entry.facts is not None and part.exchange is not None
    }


def _venue_facts(run: Run, number: int) -> VenueFacts:
    part, configured = run.parts[number], run.config.venue[number]
    feed, session = part.feed, part.session
    replay = run.replay_of(number)
    capture_gaps = 0 if replay is None else min(feed.sequence_gaps, replay.tally().hidden_packets())
    return VenueFacts(
        packets=feed.packets,
        level_updates=feed.level_updates,
        sequence_gaps=feed.sequence_gaps - capture_gaps,
        duplicates=feed.duplicates,
        continuity_breaks=feed.continuity_breaks,
        restarts=feed.restarts,
        definition_mismatches=feed.definition_mismatches,
        rejects={name: feed.rejects[reason] for reason, name in names_of(Reject).items() if feed.rejects[reason]},
        messages={
            message.name: feed.messages[place]
            for place, message in enumerate(configured.adapter.wire.messages)
            if feed.messages[place]
        },
        counters={
            **({"gaps that the captures explain": capture_gaps} if capture_gaps else {}),
            "sizes rounded": feed.sizes_rounded,
            "levels let go": levels_let_go(feed, run.engine.market),
            **own_counters(feed),
            "order frames sent": session.frames_sent,
            "order frames received": session.frames_received,
            "bad order frames": session.bad_frames,
        },
    )


def own_counters(feed: Struct) -> dict[str, int]:
    """Collect the counters that a venue's feed adds to those of every feed."""
    names = [name for name, field in type(feed).fields.items() if field.is_scalar and name not in Feed.fields]
    return {name.replace("_", " "): getattr(feed, name) for name in names}


def run_infos(run: Run) -> list[InstrumentInfo]:
    """Describe every instrument of the run, by market index."""
    return core_infos(run.core, run.config)


def core_infos(core: Core, config: RunConfig) -> list[InstrumentInfo]:
    """Describe every instrument of a run that has no venues yet, by market index."""
    return [
        instrument_info(instrument, config.venue[instrument.venue].name)
        for instrument in core.engine.market.instruments
    ]


def record_names(config: RunConfig) -> RecordNames:
    """Collect names for the numbers in the records."""
    return RecordNames(
        vetoes=names_of(Veto),
        blocked=names_of(Blocked),
        outcomes=names_of(Outcome),
        strategies=dict(enumerate(strategy_names(config))),
    )
