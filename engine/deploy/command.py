"""`crosswire units` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from crosswire.engine.printing import fail


def write_units_command(
    folder: Annotated[Path, typer.Argument(help="Where they go: /etc/systemd/system, or a folder to look at first.")],
) -> None:
    """Write systemd units for the processes of a host that trades, which run this installation."""
    from crosswire.engine.deploy.units import write_units
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        written = write_units(folder)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    for path in written:
        typer.echo(path)
    typer.echo("next: systemctl daemon-reload; docs/deployment.md says what each needs")
