"""`crosswire top`: the command."""

from pathlib import Path

import typer

from crosswire.engine.monitor.command import RUNS, As, Config, Output, run_plainly
from crosswire.engine.printing import fail

NEEDS_TEXTUAL = "crosswire top needs textual: pip install crosswire[monitor]"


def add_command(app: typer.Typer) -> None:
    """Add it to the `crosswire` command."""
    app.command("top")(show_top)


def show_top(config: Config, output: Output = RUNS, name: As = "") -> None:
    """Watch a live run on one screen: books, edges, positions, orders, health; keys for pause, flatten and kill."""
    run_plainly(lambda: _show(config, output, name))


def _show(config: Path, output: Path, name: str) -> None:
    try:
        from crosswire.engine.monitor.top.screen import Top
    except ImportError:
        raise fail(NEEDS_TEXTUAL) from None
    from crosswire.engine.config import load_config
    from crosswire.engine.monitor.address import open_client
    from crosswire.engine.monitor.top.look import traded_of

    with open_client(config, output, name) as client:
        Top(client, traded_of(load_config(config))).run()
