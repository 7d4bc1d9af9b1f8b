"""`crosswire trace`: a window of a finished run as a file for ui.perfetto.dev."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crosswire.engine.printing import errors, fail
from crosswire.nic.duration import NS_PER_MS

if TYPE_CHECKING:
    from crosswire.engine.console.replayed import ReplayedRun


def trace_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, as runs/NAME/latest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("trace.json"),
    begin: Annotated[
        str, typer.Option("--from", help="First time, UTC: 2026-01-31T12:00:00.5, 12:00:00.5; or ns.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="Time that it ends before.")] = "",
    order: Annotated[int, typer.Option(help="Around this order: its number from 1, or its id.")] = 0,
    trade: Annotated[int, typer.Option(help="Around this trade, from 1.")] = 0,
    opportunity: Annotated[int, typer.Option(help="Around this opportunity, from 1.")] = 0,
    around: Annotated[float, typer.Option(help="Milliseconds before and behind it.", min=0.0, max=60_000.0)] = 1.0,
    capture: Annotated[Path | None, typer.Option(help="Folder of a live run's --capture, if it was moved.")] = None,
) -> None:
    """Write a window of a run for ui.perfetto.dev: frames, decode, signal, risk, send, answers on one time line."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.trace.trace import save_trace
    from crosswire.engine.trace.turns import stage_lines
    from crosswire.engine.trace.window import open_run, trace_window
    from crosswire.engine.warn import print_warnings

    chosen = {
        kind: number for kind, number in (("order", order), ("trade", trade), ("opportunity", opportunity)) if number
    }
    if len(chosen) > 1 or (chosen and (begin or end)):
        raise fail("trace: give one of --order, --trade, --opportunity, or --from and --to")
    try:
        opened = open_run(run, capture)
        traced = trace_window(opened, *window_of(opened, chosen, (begin, end), round(around * NS_PER_MS)))
        count = save_trace(traced, output)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    for line in stage_lines(traced):
        typer.echo(line)
    print_warnings(traced.warnings, errors)
    typer.echo(f"{output}: {len(traced.rows):,} turns, {count:,} events; open it at https://ui.perfetto.dev")


def window_of(opened: "ReplayedRun", chosen: dict[str, int], times: tuple[str, str], around_ns: int) -> tuple[int, int]:
    """Choose the window: around a row, between two times, or all. ConfigError."""
    from crosswire.engine.config import ConfigError
    from crosswire.engine.trace.window import parse_time, time_of

    first_ns = time_of(opened, 0)
    for kind, number in chosen.items():
        moments = opened.rows.find(kind, number).moments.values()
        return max(min(moments) - around_ns, 0), max(moments) + around_ns + 1
    begin, end = times
    from_ns = parse_time(begin, "--from", first_ns) if begin else first_ns
    until_ns = parse_time(end, "--to", first_ns) if end else time_of(opened, opened.recording.rows - 1) + 1
    if from_ns >= until_ns:
        raise ConfigError(f"trace: --to {end or 'its end'} is not behind --from {begin or 'its begin'}")
    return from_ns, until_ns
