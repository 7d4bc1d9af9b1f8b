"""`crosswire new`: what to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from crosswire.engine.printing import fail

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Write what to begin with; nothing is overwritten.")
app.callback()(lambda: None)  # without one a single command would have no name


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
