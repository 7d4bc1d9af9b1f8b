"""`crosswire console`: look through runs, turn by turn, in a browser."""

import socket
from pathlib import Path
from typing import Annotated

import typer


def console_command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders; without any all of --output.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are in.")] = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen on. Anything but loopback is in clear text.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any that is free.")] = 0,
) -> None:
    """Show runs in the browser, turn by turn: books, orders, opportunities. Open the address that it prints."""
    from crosswire.engine.console.shelf import Shelf
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.printing import fail
    from crosswire.engine.runs import journal_in

    try:
        import uvicorn

        from crosswire.engine.console.guard import make_token
        from crosswire.engine.console.server import LOOPBACK, make_app
    except ModuleNotFoundError as error:
        raise fail(f"console: needs {error.name}; install it with: pip install 'crosswire[console]'") from None
    try:
        for run in runs or []:
            journal_in(run)
        shelf = Shelf(output, runs or [])
        if not shelf.folders():
            raise fail(f"{output}: has no runs in it; run something, or name it with --output")
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    port = listening.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    token = make_token()
    app = make_app(shelf, token=token, port=port, hosts=LOOPBACK | {name})
    path = f"/runs/{next(iter(shelf.given))}" if len(shelf.given) == 1 else "/"
    typer.echo(f"http://{name}:{port}{path}?token={token}")
    typer.echo("ctrl-C ends it; who has this address can look at everything in these runs, and change nothing")
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, date_header=False)
    uvicorn.Server(config).run(sockets=[listening])
