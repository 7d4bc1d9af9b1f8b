"""`crosswire check`: a strategy's source before it is compiled."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crosswire.engine.printing import console, fail

if TYPE_CHECKING:
    from crosswire.engine.checking.timing import CallbackTime


def check_command(
    use: Annotated[str, typer.Argument(help="FILE.py, FILE.py:Class, package.module:Class or a built-in name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, for editors.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="A run's TOML file: time each callback, compiled, on its data.")
    ] = None,
) -> None:
    """Say what compiled code can't take of a strategy, or takes otherwise, as file:line. Exit code 1: something."""
    from crosswire.engine.checking.file import check_use
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        # What the file prints while it is read is not a part of the JSON.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            classes, mistakes = check_use(use)
        times: list[CallbackTime] = []
        missing = ""
        if config is not None and not mistakes:
            from crosswire.engine.checking.timing import time_callbacks

            times, missing = time_callbacks(classes, config)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps([each.facts() for each in mistakes] or [each.facts() for each in times], indent=1))
    else:
        for each in mistakes:
            typer.echo(each.text())
        if not mistakes:
            typer.echo(f"{use}: nothing is wrong with {', '.join(each.__name__ for each in classes)}")
        print_times(times)
    if missing:
        typer.echo(missing, err=as_json)
    if mistakes:
        raise typer.Exit(1)


def print_times(times: "list[CallbackTime]") -> None:
    """Print a table of what each callback takes."""
    if not times:
        return
    from rich.table import Table

    table = Table("strategy", "callback", "calls", "median, ns", "most, us", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for each in times:
        row = (f"{each.calls:,}", f"{each.median_ns:,.0f}", f"{each.most_ns / 1_000:,.1f}")
        table.add_row(each.strategy, each.callback, *row)
    console.print(table)
