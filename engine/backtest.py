"""A backtest from configuration file to run folder: build, loop, journal, and the files that are made from it."""

import time
from pathlib import Path

from rich.console import Console

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.data import prepare_data
from crosswire.engine.imports import import_warnings
from crosswire.engine.journal.description import write_description
from crosswire.engine.loop import Status
from crosswire.engine.report.facts import describe_run, run_facts, write_facts
from crosswire.engine.report.make import make_files
from crosswire.engine.report.recorder import recorder_units
from crosswire.engine.report.summary import RunSummary
from crosswire.engine.runs import make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal


def run_backtest(
    config_path: Path, output: Path, *, started: float, with_report: bool = True, console: Console | None = None
) -> Path:
    """Run one configuration; return its folder, a new one in `output`/<name>.

    `started` is when the process began, for the start-up time. With a console, progress and the summary are printed.
    """
    config = load_config(config_path)
    preparing_s = prepare_data(config, config_path, console)
    backtest = build_run(config, config_path)
    backtest.core.linker.want(recorder_units())
    try:
        backtest.load()
        folder = make_run_folder(output, config.name, config_path.read_text())
        kept = MemoryJournal(backtest.engine.journal, folder / FOLDER)
        write_description(kept.journal, describe_run(backtest.core, config, config_path, "backtest"))
        start_s = time.perf_counter() - started - preparing_s
        loop_started = time.perf_counter()
        turn_until_finished(backtest, kept)
        wall_s = time.perf_counter() - loop_started
        facts = run_facts(backtest, start_s, wall_s, backtest.digests())
        facts.warnings.extend(import_warnings(config, config_path.parent))
        write_facts(kept.journal, facts)
        kept.close()
    finally:
        backtest.close()
    # The run's memory makes room for the report.
    del backtest
    summary = make_files(folder, with_report)
    if console is not None:
        _print_outcome(summary, folder, with_report, console)
    return folder


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
