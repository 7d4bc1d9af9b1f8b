"""`crosswire config`: check, compare, migrate, show and describe configurations."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from crosswire.engine.printing import console, fail

FILE = Annotated[Path, typer.Argument(help="A run's TOML file.")]
SOURCE = Annotated[Path, typer.Argument(help="A TOML file, or a run's folder: what that run was configured with.")]
SET = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key for this run, as limits.loss_max=500; repeatable."),
]

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Look at configurations: nothing is run.")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="TOML files of runs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of lines.")] = False,
    settings: SET = None,
) -> None:
    """Say all that is wrong, as file:line: key: what; what to write instead. Exit code 1: something is."""
    from crosswire.engine.config import ConfigError, read_config_text
    from crosswire.engine.configuration.check import check_text

    found: list[str] = []
    for path in files:
        try:
            found += check_text(read_config_text(path), path, settings or ())
        except ConfigError as error:
            found.append(str(error))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        for line in found or [f"{path}: nothing is wrong" for path in files]:
            typer.echo(line)
    if found:
        raise typer.Exit(1)


@app.command()
def diff(
    old: SOURCE,
    new: SOURCE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Say what NEW means otherwise than OLD, defaults filled in. Exit code 0: nothing, 1: something, 2: can't tell."""
    import msgspec

    from crosswire.engine.configuration.compare import compare_configs, difference_lines
    from crosswire.engine.configuration.show import load_source
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        found = compare_configs(load_source(old), load_source(new))
    except KNOWN_ERRORS as error:
        fail(error)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(msgspec.json.Encoder(decimal_format="number").encode(found))
    else:
        for line in difference_lines(found):
            typer.echo(line)
    if found:
        raise typer.Exit(1)


@app.command()
def migrate(
    file: FILE,
    write: Annotated[bool, typer.Option("--write", help="Replace the file, and keep a copy of it beside it.")] = False,
) -> None:
    """Bring a file to the newest version. Exit code 1: something is left that only you can write."""
    from crosswire.engine.configuration.check import check_text
    from crosswire.engine.configuration.migrate import migrate_file
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        migrated, backup = migrate_file(file, write=write)
        left = check_text(migrated.text, file)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    for line in migrated.changes:
        typer.echo(line)
    if not migrated.changes:
        typer.echo(f"{file}: has nothing to migrate")
    elif backup is not None:
        typer.echo(f"{file}: is written; {backup} is what it was")
    else:
        typer.echo(f"{file}: nothing is changed yet; --write does it")
    for line in left:
        typer.echo(f"left to you: {line}" if backup or not migrated.changes else f"then left to you: {line}")
    if left:
        raise typer.Exit(1)


@app.command()
def show(
    source: SOURCE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    settings: SET = None,
) -> None:
    """Print a configuration with all its defaults filled in, as TOML that reads as the same."""
    import msgspec

    from crosswire.engine.configuration.settings import set_text
    from crosswire.engine.configuration.show import complete_config, read_source, toml_text, whole_table
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        text, file = read_source(source)
        table = whole_table(complete_config(set_text(text, file, settings or ()), file))
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    typer.echo(msgspec.json.Encoder(decimal_format="number").encode(table) if as_json else toml_text(table), nl=as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a run's configuration, for editors."""
    from crosswire.engine.configuration.schema import make_schema
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        typer.echo(json.dumps(make_schema(), indent=1, default=_number))
    except KNOWN_ERRORS as error:
        raise fail(error) from None


def list_parameters_command(
    what: Annotated[str, typer.Argument(help="A run's TOML file, or a strategy as strategy.use names it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List what strategies can be told: values or defaults, units, ranges, and what each means."""
    import msgspec
    from rich.table import Table

    from crosswire.engine.configuration.parameters import COLUMNS, list_parameters, parameter_lines
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        found = list_parameters(what)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(msgspec.json.Encoder(decimal_format="number").encode(found))
        return
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in parameter_lines(found):
        table.add_row(*row)
    console.print(table)


def _number(value: object) -> float:
    """Write a default that is an exact decimal."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON for {value!r}")
