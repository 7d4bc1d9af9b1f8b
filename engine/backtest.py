"""A backtest from configuration file to run folder: build, loop, drain, summarise, report."""

import time
from pathlib import Path

from rich.console import Console

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.data import prepare_data
from crosswire.engine.loop import Status
from crosswire.engine.report.facts import record_names, run_facts, run_infos
from crosswire.engine.report.recorder import Recorder, recorder_units
from crosswire.engine.report.summary import RunSummary, summarise, write_summary


def run_backtest(
    config_path: Path, output: Path, *, started: float, with_report: bool = True, console: Console | None = None
) -> Path:
    """Run one configuration; return its folder, `output`/<name>, which replaces an earlier run of that name.

    `started` is when the process began, for the start-up time. With a console, progress and the summary are printed.
    """
    config = load_config(config_path)
    preparing_s = prepare_data(config, config_path, console)
    backtest = build_run(config, config_path)
    backtest.core.linker.want(recorder_units())
    recorder = Recorder(output / config.name, run_infos(backtest), record_names(config), replace=True)
    try:
        try:
            backtest.load()
            start_s = time.perf_counter() - started - preparing_s
            loop_started = time.perf_counter()
            turn_until_finished(backtest, recorder)
            recorder.close()
            wall_s = time.perf_counter() - loop_started
            facts = run_facts(backtest, start_s, wall_s, backtest.digests())
        finally:
            backtest.close()
        # The run's memory makes room for the report.
        del backtest
        summary = summarise(facts, recorder.directory)
        write_summary(summary, facts.config_text, recorder.directory)
        if with_report:
            from crosswire.engine.report.report import write_report

            write_report(recorder.directory)
        finished = recorder.publish()
    finally:
        recorder.discard()
    if console is not None:
        _print_outcome(summary, finished, with_report, console)
    return finished


def turn_until_finished(backtest: Run, recorder: Recorder) -> None:
    """Drive the loop, giving it what only Python can: the next part of a file, and room for records."""
    while True:
        status = backtest.turn()
        if status == Status.STARVED:
            backtest.refill()
            continue
        recorder.drain(backtest.engine.records)
        if status != Status.RECORDS:
            return


def _print_outcome(summary: RunSummary, finished: Path, with_report: bool, console: Console) -> None:
    from crosswire.engine.report.console import print_summary

    print_summary(summary, console)
    console.print(f"run folder: {finished}" + (f"   report: {finished / 'report.html'}" if with_report else ""))
