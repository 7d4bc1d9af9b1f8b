"""`crosswire new`: what to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from crosswire.engine.printing import fail

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Write what to begin with; nothing is overwritten.")


@app.command()
def strategy(
    name: Annotated[str, typer.Argument(help="Of the folder and of the module in it, as my_idea.")],
    folder: Annotated[Path, typer.Option(help="That the new folder is made in.")] = Path(),
) -> None:
    """Write a strategy with its parameters, a test, a configuration on generated data and a page about it."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.new.strategy import new_strategy

    try:
        made = new_strategy(name, folder)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    for path in sorted(made.iterdir()):
        typer.echo(path)
    typer.echo(f"next: crosswire backtest {made / f'{name}.toml'}")


@app.command()
def config(
    captures: Annotated[
        list[str], typer.Option("--from", metavar="CAPTURE...", help="A venue's capture: file, folder, quoted pattern.")
    ],
    more: Annotated[list[str] | None, typer.Argument(metavar="[CAPTURE]...", help="More of them.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The TOML file; it names the run.")] = Path("my.toml"),
    instrument: Annotated[
        list[str] | None, typer.Option(help="Only of this symbol; may be repeated. Default: all that have a book.")
    ] = None,
) -> None:
    """Write a whole configuration from what captures define, its limits small and marked as yours to set."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.new.config import new_config
    from crosswire.engine.printing import errors
    from crosswire.engine.warn import print_warnings

    try:
        written = new_config([*captures, *(more or ())], output, instrument or ())
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    print_warnings(written.warnings, errors)
    for remark in written.remarks:
        typer.echo(remark)
    typer.echo(output)
    typer.echo(f"next: crosswire backtest {output}, and every line of it that ends in yours?")
