"""`crosswire telemetry` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from crosswire.engine.printing import fail


def write_telemetry_command(
    folder: Annotated[Path, typer.Argument(help="Where they go: /etc/prometheus, or a folder to look at first.")],
) -> None:
    """Write alert rules and a configuration for Prometheus, and a dashboard for Grafana."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.telemetry.files import write_telemetry

    try:
        written = write_telemetry(folder)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    for path in written:
        typer.echo(path)
    typer.echo('next: [control] metrics = "127.0.0.1:9464" for crosswire monitor; docs/telemetry.md says what else')
