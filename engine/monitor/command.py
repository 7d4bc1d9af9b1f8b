"""`crosswire monitor` and `crosswire control ...`: the process beside a live run, and its command line."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from crosswire.engine.printing import console, errors, fail
from crosswire.nic.duration import NS_PER_S

if TYPE_CHECKING:
    from crosswire.engine.monitor import messages as m
    from crosswire.engine.monitor.client import Client

control_app = typer.Typer(rich_markup_mode=None)
T = TypeVar("T")

Config = Annotated[Path, typer.Argument(help="The run's TOML file, with [control].")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are in.")]
As = Annotated[str, typer.Option("--as", help="Who asks; default: the one client whose key is in control.keys.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", help="Confirm the second step without asking.")]
RUNS = Path("runs")
FLATTEN_LOOK_S = 0.2
NEEDS_PYZMQ = "the control plane needs pyzmq: pip install crosswire[monitor]"


def add_commands(app: typer.Typer) -> None:
    """Add both to the `crosswire` command."""
    app.command("monitor")(serve_monitor)
    app.add_typer(control_app, name="control")


def serve_monitor(config: Config, output: Output = RUNS) -> None:
    """Serve a live run to its clients from a process of its own; it waits for a run, and for the next one."""
    run_plainly(lambda: _serve(config, output))


def _serve(config: Path, output: Path) -> None:
    from crosswire.engine.live.steady import SteadyConsole
    from crosswire.engine.monitor.monitor import run_monitor

    steady = SteadyConsole(console)
    run_monitor(config, output, lambda line: steady.print(line, markup=False, highlight=False, soft_wrap=True))


def run_plainly(work: Callable[[], T]) -> T:
    """Do something, and end in one line where it can't be done."""
    try:
        import zmq  # noqa: F401
    except ImportError:
        raise fail(NEEDS_PYZMQ) from None
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        return work()
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@control_app.callback(invoke_without_command=True)
def control(context: typer.Context) -> None:
    """Look at a live run, and command it, through its monitor."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@control_app.command("keys")
def make_keys_command(
    config: Config,
    name: Annotated[str, typer.Argument(help="Of the client.")],
    role: Annotated[
        str, typer.Option(help="viewer: look; operator: pause, cancel, kill beside; trader: flatten, resume, set too.")
    ] = "viewer",
    public: Annotated[str, typer.Option(help="Its public key, if it has made its pair itself.")] = "",
) -> None:
    """Make a client's keys, and the monitor's own the first time; put the client on the list."""

    def work() -> list[Path]:
        from crosswire.engine.config import load_config
        from crosswire.engine.errors import ControlError
        from crosswire.engine.monitor.address import keys_folder, need_control
        from crosswire.engine.monitor.keys import make_keys
        from crosswire.engine.monitor.messages import Role

        if role not in list(Role):
            raise ControlError(f"--role {role}: must be {', '.join(Role)}")
        return make_keys(keys_folder(need_control(load_config(config), config), config), name, Role(role), public)

    for path in run_plainly(work):
        typer.echo(path)
    typer.echo(f"{name} is a {role}; another host needs {name}.key and server.pub, in a folder of {name}'s alone")


def ask(config: Path, output: Path, name: str, question: Callable[["Client"], T]) -> T:
    """Ask a monitor one thing."""

    def work() -> T:
        from crosswire.engine.monitor.address import open_client

        with open_client(config, output, name) as client:
            return question(client)

    return run_plainly(work)


def show(answer: Any, as_json: bool, title: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print an answer as JSON, or its rows as a table; numbers stand to the right."""
    if as_json:
        show_json(answer)
        return
    from rich.table import Table

    table = Table(*title, box=None, pad_edge=False)
    for place, column in enumerate(table.columns):
        column.no_wrap = True
        if rows and not isinstance(rows[0][place], str):
            column.justify = "right"
    for row in rows:
        table.add_row(*(text_of_cell(each) for each in row))
    console.print(table, markup=False, highlight=False)


def show_json(answer: Any) -> None:
    """Print one JSON object; prices and sizes are numbers."""
    import msgspec

    typer.echo(msgspec.json.Encoder(decimal_format="number").encode(answer))


def text_of_cell(value: object) -> str:
    """Write a number for a table."""
    from decimal import Decimal

    if value is None:
        return "-"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---------------------------------------------------------------- looking


@control_app.command("status")
def show_status(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show the run at a glance. Exit code 1: no monitor, or no run."""
    from crosswire.engine.warn import print_warnings

    status = ask(config, output, name, lambda client: client.status())
    if as_json:
        show_json(status)
        print_warnings(status.warnings, errors)
        return
    lines = [
        f"{status.name} {status.run}: {'trading' if status.is_alive else 'has ended'}",
        f"state {status.state.replace('_', ' ')}{f' ({why})' if (why := status.why.replace('_', ' ')) else ''}"
        + (f"  flatten {status.flatten}" if status.flatten else "")
        + (f"  alarms {status.alarms}" if status.alarms else ""),
        f"frames {status.frames:,}  orders {status.orders_sent:,}  cancels {status.cancels_sent:,}"
        f"  amends {status.amends_sent:,}  fills {status.fills:,}  open {status.open_orders}",
        *(
            f"profit {each.profit:f} {each.currency} (realised {each.realised:f}, fees {each.fees:f})"
            for each in status.money
        ),
    ]
    lines += [each.text for each in status.strategies]
    if status.refused:
        lines.append("refused " + ", ".join(f"{each.name.replace('_', ' ')} {each.count:,}" for each in status.refused))
    for line in lines:
        console.print(line, markup=False, highlight=False)
    rows = [(v.venue, v.session, v.frames, v.drops, v.gaps, f"{v.books_proven} of {v.books}") for v in status.venues]
    show(status, False, ("venue", "session", "frames", "drops", "gaps", "books proven"), rows)
    print_warnings(status.warnings, console)


@control_app.command("positions")
def show_positions(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show what is held of each instrument, and what it has earned."""
    answer = ask(config, output, name, lambda client: client.positions())
    rows = [
        (r.instrument, r.position, r.size_currency, r.mark_price, r.profit, r.realised, r.fees, r.currency, r.fills)
        for r in answer.rows
    ]
    title = ("instrument", "position", "of", "mark", "profit", "realised", "fees", "in", "fills")
    show(answer, as_json, title, rows)


@control_app.command("orders")
def show_orders(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show the open orders."""
    answer = ask(config, output, name, lambda client: client.orders())
    rows = []
    for r in answer.rows:
        terms = (r.side, r.price, r.size, r.filled, r.time_in_force, r.state)
        since = f"{(answer.now_ns - r.created_ns) / NS_PER_S:.3f} s"
        rows.append((str(r.client_order_id), r.instrument, r.strategy, *terms, since))
    title = ("order", "instrument", "strategy", "side", "price", "size", "filled", "good", "state", "since")
    show(answer, as_json, title, rows)


@control_app.command("books")
def show_books(
    config: Config,
    instrument: Annotated[list[str] | None, typer.Argument(help="As venue/SYMBOL; default: all.")] = None,
    depth: Annotated[int, typer.Option(help="Levels a side.")] = 1,
    output: Output = RUNS,
    name: As = "",
    as_json: Json = False,
) -> None:
    """Show books."""
    answer = ask(config, output, name, lambda client: client.books(instrument or [], depth))
    rows: list[Sequence[object]] = []
    for book in answer.rows:
        state = "proven" if book.is_proven else "not proven"
        for place in range(max(1, len(book.bids), len(book.asks))):
            sides = (side[place] if place < len(side) else None for side in (book.bids, book.asks))
            best_bid, best_ask = ((level.price, level.size) if level is not None else (None, None) for level in sides)
            rows.append(
                (book.instrument if place == 0 else "", best_bid[1], best_bid[0], best_ask[0], best_ask[1], state)
            )
    show(answer, as_json, ("instrument", "size", "bid", "ask", "size", "book"), rows)


@control_app.command("limits")
def show_limits(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show the limits, and what of them is used."""
    answer = ask(config, output, name, lambda client: client.limits())
    show(answer, as_json, ("limit", "value", "used", "in"), [(r.name, r.value, r.used, r.unit) for r in answer.rows])


@control_app.command("parameters")
def show_parameters(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show what `set` may change."""
    answer = ask(config, output, name, lambda client: client.parameters())
    rows = [(r.name, r.value, r.minimum, r.maximum, r.unit) for r in answer.rows]
    show(answer, as_json, ("parameter", "value", "least", "most", "in"), rows)


@control_app.command("latencies")
def show_latencies(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show the latencies by stage."""
    answer = ask(config, output, name, lambda client: client.latencies())
    rows = [(r.stage.replace("_", " "), r.count, r.p50_ns, r.p90_ns, r.p99_ns, r.max_ns) for r in answer.rows]
    show(answer, as_json, ("stage", "count", "p50 ns", "p90 ns", "p99 ns", "most ns"), rows)


@control_app.command("sessions")
def show_sessions(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Show the order sessions and feeds."""
    answer = ask(config, output, name, lambda client: client.sessions())
    rows = []
    for r in answer.rows:
        counts = {each.name: each.count for each in r.counters}
        seen = [counts.get(name) for name in ("packets", "sequence_gaps", "duplicates", "continuity_breaks")]
        rows.append((r.venue, r.state, r.orders_sent, r.losses, r.differences, *seen, r.text or "-"))
    title = ("venue", "session", "orders", "losses", "differences", "packets", "gaps", "copies", "breaks", "why")
    show(answer, as_json, title, rows)


@control_app.command("log")
def show_log(
    config: Config,
    count: Annotated[int, typer.Option(help="Of the last commands.")] = 20,
    output: Output = RUNS,
    name: As = "",
    as_json: Json = False,
) -> None:
    """Show the last commands, refused ones too."""
    from crosswire.engine.report.text import time_text

    answer = ask(config, output, name, lambda client: client.log(count))
    rows = [(time_text(r.time_ns), r.client, r.role, r.request, r.detail, r.outcome, r.text) for r in answer.rows]
    show(answer, as_json, ("time", "client", "role", "request", "with", "outcome", "answer"), rows)


# ---------------------------------------------------------------- commanding


def confirmed(client: "Client", answer: "m.AnyAnswer", as_json: bool, is_confirmed: bool) -> "m.AnyAnswer":
    """Give the answer to a command; where it is to be confirmed, show what it would do and ask first."""
    from crosswire.engine.errors import ControlError
    from crosswire.engine.monitor.messages import ToConfirm

    if not isinstance(answer, ToConfirm):
        return answer
    typer.echo(f"this will {answer.text}", err=as_json)
    if not is_confirmed:
        try:
            is_confirmed = typer.confirm("do it?", err=as_json)
        except typer.Abort:  # nobody is there to answer
            is_confirmed = False
    if not is_confirmed:
        raise ControlError("not confirmed, nothing is done")
    return client.confirm(answer)


def command(
    config: Path, output: Path, name: str, as_json: bool, is_confirmed: bool, request: "Callable[[Client], m.AnyAnswer]"
) -> None:
    """Ask for a command, and print what came of it."""
    answer = ask(config, output, name, lambda client: confirmed(client, request(client), as_json, is_confirmed))
    if as_json:
        show_json(answer)
    else:
        typer.echo(getattr(answer, "text", ""))


@control_app.command("pause")
def pause(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Cancel everything, and have nothing be sent but cancels until resume."""
    command(config, output, name, as_json, True, lambda client: client.pause())


@control_app.command("reduce-only")
def reduce_only(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Cancel everything, and have nothing be sent but what makes a position smaller until resume."""
    command(config, output, name, as_json, True, lambda client: client.reduce_only())


@control_app.command("resume")
def resume(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False, yes: Yes = False) -> None:
    """Take back what operators asked for; what an alarm or a loss has asked for stays."""
    command(config, output, name, as_json, yes, lambda client: client.resume())


@control_app.command("cancel-all")
def cancel_all(
    config: Config,
    venue: Annotated[str, typer.Option(help="Only of this venue.")] = "",
    instrument: Annotated[str, typer.Option(help="Only of this instrument, as venue/SYMBOL.")] = "",
    strategy: Annotated[str, typer.Option(help="Only of this strategy.")] = "",
    output: Output = RUNS,
    name: As = "",
    as_json: Json = False,
) -> None:
    """Cancel what is open; trading goes on."""
    command(config, output, name, as_json, True, lambda client: client.cancel_all(venue, instrument, strategy))


@control_app.command("flatten")
def flatten(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False, yes: Yes = False) -> None:
    """Cancel everything, and close all positions by orders that take; then reduce only. Exit code 1: not all."""

    def work(client: "Client") -> "tuple[str, m.Positions]":
        confirmed(client, client.flatten(), as_json, yes)
        while (status := client.status()).flatten == "on" and status.is_alive:
            time.sleep(FLATTEN_LOOK_S)
        return status.flatten or "resumed", client.positions()  # by somebody else, since our last look

    ending, positions = ask(config, output, name, work)
    left = [row for row in positions.rows if row.position_lots != 0]
    if as_json:
        show_json({"flatten": ending, "left": left})
    else:
        typer.echo("flat: no position is held" if not left else f"{ending}, still held:")
        for row in left:
            typer.echo(f"{row.position:+f} {row.size_currency} of {row.instrument}")
    if ending != "flat" or left:
        raise typer.Exit(1)


@control_app.command("kill")
def kill(config: Config, output: Output = RUNS, name: As = "", as_json: Json = False) -> None:
    """Cancel everything and end the run; its exit code is not 0."""
    command(config, output, name, as_json, True, lambda client: client.kill())


@control_app.command("set")
def set_parameters(
    config: Config,
    values: Annotated[list[str], typer.Argument(help="name=value, as `parameters` names them.")],
    output: Output = RUNS,
    name: As = "",
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Change parameters, all of them or none."""
    wanted: dict[str, str] = {}
    for each in values:
        key, equals, value = each.partition("=")
        if not equals or key.strip() in wanted:
            raise fail(f"set {each}: must be name=value, each name once")
        wanted[key.strip()] = value.strip()
    command(config, output, name, as_json, yes, lambda client: client.set(wanted))
