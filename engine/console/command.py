"""`crosswire console`: look through runs, turn by turn, in a browser."""

import socket
from pathlib import Path
from typing import Annotated

import typer


def console_command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders; without any all of --output.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are in.")] = Path("runs"),
    live: Annotated[Path | None, typer.Option(help="A live run's TOML file: watch and command it, too.")] = None,
    name: Annotated[
        str, typer.Option("--as", help="Who asks of the live run; default: the only client whose key is there.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on. Anything but loopback is in clear text.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any that is free.")] = 0,
) -> None:
    """Show runs in the browser: finished ones turn by turn, a live one as it trades. Open the address printed."""
    from contextlib import ExitStack

    from crosswire.engine.console.shelf import Shelf
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.printing import fail
    from crosswire.engine.runs import journal_in

    try:
        import uvicorn

        from crosswire.engine.console.guard import make_token
        from crosswire.engine.console.live.watch import watch_run
        from crosswire.engine.console.server import LOOPBACK, make_app
    except ModuleNotFoundError as error:
        raise fail(f"console: needs {error.name}; install it with: pip install 'crosswire[console]'") from None
    with ExitStack() as closing:
        try:
            for run in runs or []:
                journal_in(run)
            shelf = Shelf(output, runs or [])
            if live is None and not shelf.folders():
                raise fail(f"{output}: has no runs in it; run something, or name it with --output")
            watch = None if live is None else closing.enter_context(watch_run(live, output, name))
            listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except KNOWN_ERRORS as error:
            raise fail(error) from None
        port = listening.getsockname()[1]
        shown_host = f"[{host}]" if ":" in host else host
        token = make_token()
        app = make_app(shelf, token=token, port=port, hosts=LOOPBACK | {shown_host}, live=watch)
        path = f"/runs/{next(iter(shelf.given))}" if len(shelf.given) == 1 else "/"
        typer.echo(f"http://{shown_host}:{port}{path if watch is None else '/live'}?token={token}")
        may = "change nothing" if watch is None else f"do in the live run what {watch.looking.key.name} may"
        typer.echo(f"ctrl-C ends it; who has this address can look at everything in these runs, and {may}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, date_header=False)
        if watch is not None:
            watch.start()
        uvicorn.Server(config).run(sockets=[listening])
