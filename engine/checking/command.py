"""`crosswire check`: a strategy's source before it is compiled."""

import json
from typing import Annotated

import typer

from crosswire.engine.printing import fail


def check_command(
    use: Annotated[str, typer.Argument(help="FILE.py, FILE.py:Class, package.module:Class or a built-in name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, for editors.")] = False,
) -> None:
    """Say what compiled code can't take of a strategy, or takes otherwise, as file:line. Exit code 1: something."""
    from crosswire.engine.checking.file import check_use
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        classes, mistakes = check_use(use)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps([each.facts() for each in mistakes], indent=1))
    else:
        for each in mistakes:
            typer.echo(each.text())
        if not mistakes:
            typer.echo(f"{use}: nothing is wrong with {', '.join(each.__name__ for each in classes)}")
    if mistakes:
        raise typer.Exit(1)
