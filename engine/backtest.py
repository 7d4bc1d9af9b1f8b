"""A backtest from configuration file to run folder: build, loop, journal, and the files that are made from it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from crosswire.engine.build.definitions import check_definitions
from crosswire.engine.build.feed_funding import add_feed_funding
from crosswire.engine.build.run import Run, build_run
from crosswire.engine.captures import capture_warnings, check_strict
from crosswire.engine.config import ignoring_definitions, parse_config, read_config_text
from crosswire.engine.configuration.settings import set_text
from crosswire.engine.data import prepare_data
from crosswire.engine.errors import NothingError
from crosswire.engine.feed_warnings import without_told
from crosswire.engine.imports import import_warnings
from crosswire.engine.journal.description import write_description
from crosswire.engine.loop import Status
from crosswire.engine.overlap import why_apart
from crosswire.engine.report.facts import data_warnings, describe_run, run_facts, write_facts
from crosswire.engine.report.make import make_files
from crosswire.engine.report.recorder import recorder_units
from crosswire.engine.report.summary import RunSummary
from crosswire.engine.runs import make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal
from crosswire.nic.memory.resident import give_back


def run_backtest(
    config_path: Path,
    output: Path,
    *,
    started: float,
    with_report: bool = True,
    console: Console | None = None,
    strict: bool = False,
    ignore_definitions: bool = False,
    config_text: str | None = None,
    settings: Sequence[str] = (),
) -> Path:
    """Run one configuration; return its folder, a new one in `output`/<name>.

    `ignore_definitions` believes the configuration of every venue's instruments, whatever its captures say. `started`
    is when the process began, for the start-up time. With a console, progress and the summary are printed.
    `config_text` is run instead of what the file holds, and kept with the run; paths in it stay relative to the file,
    and `latest` stays where it is. `settings`, "key=value", are set for this run, in what is kept as well.
    With `strict` ConfigError if there is a warning about the data: before the run about captures and imports, after it
    about what the feeds made of them. NothingError, which has the folder, if no book was ever proven, or no venue's
    captures overlap another's and no order was sent.
    """
    is_variant = config_text is not None
    config_text = read_config_text(config_path) if config_text is None else config_text
    config_text = set_text(config_text, config_path, settings)
    config = parse_config(config_text, config_path)
    if ignore_definitions:
        config = ignoring_definitions(config)
    preparing_s = prepare_data(config, config_path, console)
    if strict:
        check_strict(capture_warnings(config, config_path) + import_warnings(config, config_path))
    config, contradicted = check_definitions(config, config_path)
    backtest = build_run(config, config_path)
    backtest.core.linker.want(recorder_units())
    try:
        backtest.load()
        folder = make_run_folder(output, config.name, config_text, is_variant=is_variant)
        kept = MemoryJournal(backtest.engine.journal, folder / FOLDER)
        description = describe_run(backtest.core, config, config_path, "backtest")
        write_description(kept.journal, replace(description, config_text=config_text, settings=list(settings)))
        start_s = time.perf_counter() - started - preparing_s
        loop_started = time.perf_counter()
        turn_until_finished(backtest, kept)
        wall_s = time.perf_counter() - loop_started
        facts = run_facts(backtest, start_s, wall_s, backtest.digests())
        in_data = data_warnings(backtest)
        apart = why_apart(backtest.spans_ns()) if all(venue.captures for venue in config.venue) else ""
        has_books = not all(list(backtest.engine.state.is_lost)[: backtest.engine.market.count])
        facts.warnings[:] = contradicted + without_told(facts.warnings, contradicted)
        facts.warnings.extend(import_warnings(config, config_path))
        if facts.orders_sent:  # else nothing was held
            range_ns = (facts.first_time_ns, facts.last_time_ns)
            counted = {name: venue.messages for name, venue in facts.venues.items()}
            money, told = add_feed_funding(facts.money, config, config_path, range_ns, counted)
            facts = replace(facts, money=money, warnings=facts.warnings + told)
        write_facts(kept.journal, replace(facts, config_text=config_text, settings=list(settings)))
        kept.close()
    finally:
        backtest.close()
    # The run's memory makes room for the report.
    del backtest, kept
    give_back("llvm")
    summary = make_files(folder, with_report)
    if console is not None:
        _print_outcome(summary, folder, with_report, console)
    if strict:
        check_strict(in_data)
    if not has_books and all(each.last_mid is None for each in summary.instruments.values()):
        raise NothingError(why_nothing(summary), folder)
    if apart and summary.orders_sent == 0:
        raise NothingError(apart, folder)
    return folder


def why_nothing(summary: RunSummary) -> str:
    """Say why no book was ever proven, from what the feeds counted."""
    seen = []
    for name, venue in summary.venues.items():
        rejects = ", ".join(f"{count:,} rejected for {reason}" for reason, count in venue.rejects.items())
        seen.append(f"{name} had {venue.packets:,} packets of its own" + (f", {rejects}" if rejects else ""))
    return f"no book was ever proven, so nothing could happen: of {summary.frames:,} frames {'; '.join(seen)}"


def turn_until_finished(backtest: Run, kept: MemoryJournal) -> None:
    """Drive the loop, giving it what only Python can: the next part of a file, and room for records."""
    while True:
        status = backtest.turn()
        if status == Status.STARVED:
            backtest.refill()
        elif status == Status.JOURNAL:
            kept.take()
        else:
            return


def _print_outcome(summary: RunSummary, finished: Path, with_report: bool, console: Console) -> None:
    from crosswire.engine.report.console import print_summary

    print_summary(summary, console)
    console.print(f"run folder: {finished}" + (f"   report: {finished / 'report.html'}" if with_report else ""))
