"""The `crosswire` command."""

import time

STARTED = time.perf_counter()  # before the heavy imports: the start-up time that a run reports counts from here

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Annotated, Literal  # noqa: E402

import typer  # noqa: E402

from crosswire.engine.checking.command import check_command  # noqa: E402
from crosswire.engine.configuration.command import SET, list_parameters_command  # noqa: E402
from crosswire.engine.configuration.command import app as config_app  # noqa: E402
from crosswire.engine.console.command import console_command  # noqa: E402
from crosswire.engine.deploy.command import write_units_command  # noqa: E402
from crosswire.engine.doctor.cli import doctor_command  # noqa: E402
from crosswire.engine.entry_points import VENUE_GROUP, entry_points  # noqa: E402
from crosswire.engine.monitor.command import add_commands  # noqa: E402
from crosswire.engine.monitor.top.command import add_command as add_top  # noqa: E402
from crosswire.engine.new.command import app as new_app  # noqa: E402
from crosswire.engine.printing import console, errors, fail  # noqa: E402
from crosswire.engine.sweep.command import sweep_command  # noqa: E402
from crosswire.engine.telemetry.command import write_telemetry_command  # noqa: E402
from crosswire.engine.teller import Teller  # noqa: E402
from crosswire.engine.trace.command import trace_command  # noqa: E402
from crosswire.engine.venue_commands import add_importers, add_processes  # noqa: E402
from crosswire.nic.unit.listen import listeners  # noqa: E402

# Rich's markup is off: it would take the brackets of a help text, "[live]", for its own.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"max_content_width": 120})
import_app = typer.Typer(rich_markup_mode=None)
app.add_typer(import_app, name="import")
app.command("check")(check_command)
app.command("console")(console_command)
app.command("trace")(trace_command)
app.add_typer(config_app, name="config")
app.add_typer(new_app, name="new")
app.command("parameters")(list_parameters_command)
app.command("units")(write_units_command)
app.command("telemetry")(write_telemetry_command)
app.command("sweep")(sweep_command)
add_commands(app)
add_top(app)


def without_option(arguments: list[str], option: str) -> list[str]:
    """Remove one option and its value from a command line."""
    kept: list[str] = []
    values = iter(arguments)
    for each in values:
        if each == option:
            next(values, None)
        elif not each.startswith(f"{option}="):
            kept.append(each)
    return kept


def print_version(is_asked: bool) -> None:
    """Print name and version, and leave."""
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"crosswire {version('crosswire')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def crosswire(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Cross-exchange arbitrage engine: one compiled loop from wire to wire."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@import_app.callback(invoke_without_command=True)
def import_recordings_command(context: typer.Context) -> None:
    """Turn other recordings into captures."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("examples")
def copy_examples_command(
    folder: Annotated[Path, typer.Argument(help="Where they go; it is made if it is not there.")] = Path("examples"),
) -> None:
    """Copy the example configurations here. What they generate goes to a folder data beside FOLDER."""
    from crosswire.engine.examples import copy_examples

    try:
        copied = copy_examples(folder)
    except OSError as error:
        raise fail(error) from None
    for path in copied:
        typer.echo(path)
    typer.echo(f"next: crosswire backtest {folder / 'synthetic.toml'}")


@app.command()
def backtest(
    config: Annotated[Path, typer.Argument(help="The run's TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are made in.")] = Path("runs"),
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse data that there is a warning about.")] = False,
    ignore_definitions: Annotated[
        bool, typer.Option("--ignore-definitions", help="Believe the instruments' terms, whatever the captures say.")
    ] = False,
    settings: SET = None,
) -> None:
    """Replay captures through the loop against simulated exchanges. Exit code 1: nothing could happen."""
    import msgspec

    from crosswire.engine.backtest import run_backtest
    from crosswire.engine.errors import KNOWN_ERRORS, NothingError
    from crosswire.engine.warn import print_warnings
    from crosswire.nic.warning import DataWarning

    nothing = None
    try:
        finished = run_backtest(
            config,
            output,
            started=STARTED,
            with_report=report,
            console=None if as_json else console,
            strict=strict,
            ignore_definitions=ignore_definitions,
            settings=settings or (),
        )
    except NothingError as error:
        finished, nothing = error.folder, error
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        summary = (finished / "summary.json").read_text()
        typer.echo(summary)
        print_warnings(msgspec.convert(json.loads(summary)["warnings"], list[DataWarning]), errors)
    if nothing is not None:
        raise fail(nothing)


@app.command("latency")
def sweep_order_latency(
    config: Annotated[Path, typer.Argument(help="The run's TOML file.")],
    order_us: Annotated[str, typer.Option(help="Latencies of orders each way, as 100,300,1000.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are made in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Backtest at several order latencies, each a run of its own: P&L and what was captured against latency."""
    import msgspec
    from rich.table import Table

    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.latency_sweep import COLUMNS, parse_latencies, sweep_latencies, sweep_rows, sweep_warnings
    from crosswire.engine.warn import print_warnings

    try:
        sweep, page = sweep_latencies(
            config, output, parse_latencies(order_us), lambda line: typer.echo(line, err=as_json)
        )
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(msgspec.json.Encoder(decimal_format="number").encode(sweep))
        print_warnings(sweep_warnings(sweep), errors)
        return
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    for row in sweep_rows(sweep):
        table.add_row(*row)
    console.print(table)
    print_warnings(sweep_warnings(sweep), console)
    typer.echo(f"in {sweep.runs[0].currency}, at each run's last prices; page: {page}")


@app.command()
def live(
    config: Annotated[Path, typer.Argument(help="The run's TOML file, with [live] and [venue.live].")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are made in.")] = Path("runs"),
    seconds: Annotated[float, typer.Option(help="End after so long; 0: at SIGINT or SIGTERM.")] = 0.0,
    launcher: Annotated[str, typer.Option(help="Start under this program: onload, vma_loader, ...")] = "",
    capture: Annotated[Path | None, typer.Option(help="Record what the loop sees in this folder.")] = None,
    settings: SET = None,
) -> None:
    """Trade on the host's rings. Ends in order: cancel all, leave the groups, write the records."""
    from crosswire.nic.host.signals import signals_held

    with signals_held():  # signals are for the loop's thread, not for those that numpy starts
        from crosswire.engine.errors import KNOWN_ERRORS
        from crosswire.engine.live.launcher import launch
        from crosswire.engine.live.live import run_live

    try:
        if launcher:
            launch(launcher, config, without_option(sys.argv[1:], "--launcher"), settings or ())
        run_live(
            config,
            output,
            started=STARTED,
            seconds=seconds,
            console=console,
            capture=capture,
            settings=settings or (),
        )
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@app.command()
def capture(
    interface: Annotated[str, typer.Argument(help="Whose frames are recorded.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for INTERFACE-000.pcap.zst, -001, ...")],
    group: Annotated[list[str] | None, typer.Option(help="[source@]address:port; give one for each group.")] = None,
    rotate_mb: Annotated[int, typer.Option(help="Begin the next file at this size.")] = 256,
    zstd: Annotated[bool, typer.Option(help="Compress the files.")] = True,
    seconds: Annotated[float, typer.Option(help="End after so long; 0: at SIGINT or SIGTERM.")] = 0.0,
    namespace: Annotated[str, typer.Option(help="Network namespace of the interface.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Record multicast groups into captures. The kernel stamps frames to the ns; every lost one is counted."""
    from crosswire.engine.capture.command import CaptureOptions, run_capture, summary_facts, summary_text
    from crosswire.engine.errors import KNOWN_ERRORS

    options = CaptureOptions(interface, tuple(group or ()), output, rotate_mb, zstd, seconds, namespace)
    try:
        summary = run_capture(options, lambda line: typer.echo(line, err=as_json))
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    typer.echo(json.dumps(summary_facts(summary)) if as_json else summary_text(summary))


@app.command()
def exchange(
    config: Annotated[Path, typer.Argument(help="The run's TOML file, with [live] and [venue.live].")],
    speed: Annotated[float, typer.Option(help="Times real time; 0: as fast as it goes.")] = 1.0,
    seconds: Annotated[float, typer.Option(help="Of market data; 0: until the captures end.")] = 0.0,
    wait: Annotated[bool, typer.Option("--wait", help="Begin when every gateway has its client.")] = False,
    drop: Annotated[int, typer.Option(help="Market data frames lost, per million.")] = 0,
    duplicate: Annotated[int, typer.Option(help="Sent twice, per million.")] = 0,
    reorder: Annotated[int, typer.Option(help="Sent late, per million.")] = 0,
    late: Annotated[int, typer.Option(help="Frames that pass one which is late.")] = 3,
    corrupt: Annotated[int, typer.Option(help="With one bit flipped, per million.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the faults: same seed, same faults.")] = 1,
    pause: Annotated[
        tuple[float, float], typer.Option(help="Stall at so many seconds, for so many.", metavar="AT FOR")
    ] = (0.0, 0.0),
    burst: Annotated[
        tuple[float, float, float],
        typer.Option(help="From so many seconds on, for so many, at this speed.", metavar="AT FOR SPEED"),
    ] = (0.0, 0.0, 1.0),
    venue: Annotated[list[str] | None, typer.Option(help="Serve this venue alone; may be repeated.")] = None,
) -> None:
    """Serve the configuration's exchanges on the kernel's sockets: multicast market data out, orders in over TCP."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.exchange.command import ExchangeOptions, run_exchange

    rates = {"drop_ppm": drop, "duplicate_ppm": duplicate, "reorder_ppm": reorder, "corrupt_ppm": corrupt}
    faults = {**rates, "reorder_frames": late}
    options = ExchangeOptions(speed, seconds, wait, *pause, *burst, seed, faults, tuple(venue or ()))
    try:
        run_exchange(config, options, typer.echo, errors)
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option(help="A..B, both included, or one.")] = "0..99",
    config: Annotated[
        list[Path] | None, typer.Argument(help="Runs with made-up data; default: the examples that have it.")
    ] = None,
    trace: Annotated[bool, typer.Option(help="Tell what happens when, of the first seeds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    settings: SET = None,
) -> None:
    """Play engine and exchanges on virtual time, with faults by chance; judge every step. Exit code 1: broken."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.simulate.command import parse_seeds, run_simulation, summary_lines

    try:
        summary = run_simulation(config or [], parse_seeds(seeds), trace, errors, settings or ())
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps(summary.facts()))
    else:
        for line in summary_lines(summary):
            typer.echo(line)
    if summary.violations:
        raise typer.Exit(1)


@app.command("testbed")
def make_testbed(
    action: Annotated[str, typer.Argument(help="up or down.")],
    name: Annotated[str, typer.Option(help="Namespaces are NAME-engine and NAME-exchange.")] = "cw",
    links: Annotated[int, typer.Option(help="veth pairs between them, one a venue.")] = 2,
) -> None:
    """Make or remove two network namespaces to trade between, all on one machine. A second up mends what is missing."""
    from crosswire.nic.host.process import HostError
    from crosswire.nic.host.testbed import Testbed

    try:
        network = Testbed(name, links)
        if action == "up":
            typer.echo(network.describe(network.up()))
        elif action == "down":
            network.down()
        else:
            raise HostError(f"testbed {action}: must be up or down")
    except HostError as error:
        raise fail(error) from None


app.command("doctor")(doctor_command(console, errors, fail))


@app.command()
def inspect(
    captures: Annotated[list[Path], typer.Argument(help="pcap or pcapng files, plain, .gz or .zst; folders of them.")],
    venue: Annotated[str, typer.Option(help=f"Whose captures they are: {', '.join(entry_points(VENUE_GROUP))}.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    instruments: Annotated[bool, typer.Option(help="Print the instruments as configuration tables.")] = False,
    messages: Annotated[int, typer.Option(help="Print the first N messages field by field instead.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse captures that there is a warning about.")] = False,
    capture_stamps: Annotated[
        str, typer.Option(help="Hardware time stamps in the frames, to be used: exablaze, metamako, arista, or none.")
    ] = "",
) -> None:
    """Decode captures: packets, messages, gaps, and the books at their end. Exit code 1: not one message in them."""
    from crosswire.engine.captures import check_strict
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.inspect import (
        inspect_captures,
        instrument_toml,
        print_inspection,
        print_messages,
        warnings_of,
        why_nothing,
    )
    from crosswire.engine.warn import print_warnings

    try:
        if messages > 0:
            print_warnings(print_messages(captures, venue, messages, strict, typer.echo, capture_stamps), errors)
            return
        result = inspect_captures(captures, venue, capture_stamps)
        if strict:
            check_strict(warnings_of(result))
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json or instruments:
        typer.echo(json.dumps(result, indent=1) if as_json else instrument_toml(result))
        print_warnings(warnings_of(result), errors)
    else:
        print_inspection(result, console)
    if nothing := why_nothing(result):
        raise fail(nothing)


@app.command()
def generate(
    directory: Annotated[Path, typer.Argument(help="Folder for the captures.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    seconds: Annotated[int, typer.Option(help="Market time to make.")] = 60,
    venue: Annotated[list[str] | None, typer.Option(help="Which two; default: those that come with Crosswire.")] = None,
    triangle: Annotated[bool, typer.Option(help="Three spot books of one venue instead of two venues.")] = False,
) -> None:
    """Make seeded captures of two venues in their real wire formats."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.generate import generate_captures

    market: Literal["pair", "triangle"] = "triangle" if triangle else "pair"
    try:
        generated = generate_captures(directory, seed=seed, seconds=seconds, venues=venue or (), market=market)
    except (*KNOWN_ERRORS, ValueError) as error:
        raise fail(error) from None
    console.print(generated)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run's folder, as runs/NAME/latest.")]) -> None:
    """Make a run's files from its journal again: Parquet, summary.json, report.html."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.report.make import make_files
    from crosswire.engine.warn import print_warnings

    try:
        print_warnings(make_files(run, with_report=True).warnings, errors)
        typer.echo(run / "report.html")
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@app.command("show")
def show_moment(
    run: Annotated[Path, typer.Argument(help="A run's folder, as runs/NAME/latest.")],
    kind: Annotated[str, typer.Argument(help="opportunity, trade or order.")],
    number: Annotated[int, typer.Argument(help="Of the row in its Parquet file, from 1; an order's id as well.")],
    capture: Annotated[
        list[str] | None, typer.Option(help="VENUE=FILE: its market data, if it is not where the run had it.")
    ] = None,
) -> None:
    """Show an opportunity, trade or order: latencies, books before, at and after it, the messages around it."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.report.show import show

    given = dict(each.partition("=")[::2] for each in capture or [])
    if wrong := [name for name, path in given.items() if not path]:
        raise fail(f"--capture {wrong[0]}: must be VENUE=FILE")
    try:
        for line in show(run, kind, number, {name: Path(path) for name, path in given.items()}):
            typer.echo(line)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@app.command("compare")
def compare_two_runs(
    first: Annotated[Path, typer.Argument(help="A run's folder, as runs/NAME/latest.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and write no page.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Where the page with the curves goes; default: beside B's folder.")
    ] = None,
) -> None:
    """Show where two runs differ, and draw it. Exit code 0: nowhere, 1: they differ, 2: they can't be compared."""
    import msgspec

    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.report.compare import compare_runs, comparison_lines

    written = None
    try:
        found = compare_runs(first, second)
        if not found.is_same and not as_json:
            from crosswire.engine.report.compare_page import page_beside, write_comparison

            written = write_comparison(found, (first, second), page or page_beside((first, second)))
    except KNOWN_ERRORS as error:
        fail(error)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(msgspec.json.Encoder(decimal_format="number").encode(found))
    else:
        for line in comparison_lines(found):
            typer.echo(line)
    if written is not None:
        typer.echo(f"page: {written}")
    if not found.is_same:
        raise typer.Exit(1)


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="A live run's folder, as runs/NAME/latest.")],
    capture: Annotated[Path | None, typer.Option(help="Folder of its --capture, if it was moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replay a live run, and explain its differences from a backtest. Exit code 1: not all is explained."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.explain.explain import explain_run
    from crosswire.engine.explain.show import print_explained

    try:
        explained = explain_run(run, capture)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps(explained.facts()))
    else:
        print_explained(explained, console)
    if not explained.is_explained:
        raise typer.Exit(1)


@app.command("journal")
def show_journal(
    run: Annotated[Path, typer.Argument(help="A run's folder, as runs/NAME/latest.")],
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind, as fill; may be repeated. Default: all but turns.")
    ] = None,
    order: Annotated[int, typer.Option(help="Only of the order with this id.")] = 0,
    instrument: Annotated[str, typer.Option(help="Only of this instrument, as venue/SYMBOL.")] = "",
    since: Annotated[int, typer.Option(help="Only behind this record.")] = 0,
    follow: Annotated[bool, typer.Option(help="Go on while the run does.")] = False,
    verify: Annotated[bool, typer.Option(help="Only prove every record, and say how the journal ends.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write Parquet files, one a kind, into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print lines of JSON.")] = False,
) -> None:
    """Read what a run has written down, record by record; each one is proven by its checksum."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.journal import show

    try:
        if verify:
            found = show.verify(run)
            typer.echo(json.dumps(found) if as_json else "\n".join(f"{name}: {each}" for name, each in found.items()))
            return
        wanted = show.Filter(show.parse_kinds(kind or []), order, instrument, since)
        if export is not None:
            from crosswire.engine.journal.export import export as write_files

            write_files(run, wanted, export, typer.echo)
            return
        for record in show.show_records(run, wanted, follow):
            typer.echo(json.dumps(record) if as_json else show.line_of(record))
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KNOWN_ERRORS as error:
        raise fail(error) from None


@app.command("runs")
def show_runs(
    name: Annotated[str, typer.Argument(help="Of this name only.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List runs: what became of each, orders, fills, profit, what it held at its end."""
    from dataclasses import asdict

    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.journal.list import list_runs
    from crosswire.engine.report.console import print_runs

    try:
        found = list_runs(output, name)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
    else:
        print_runs(found, console)


@app.command()
def reconcile(
    config: Annotated[Path, typer.Argument(help="The run's TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are in.")] = Path("runs"),
    accept: Annotated[bool, typer.Option(help="Take the venue's positions for true, from the next start on.")] = False,
) -> None:
    """Show where a venue's account and our journal differ, as the last start found it."""
    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.journal.reconcile import reconcile as reconcile_account

    try:
        found = reconcile_account(config, output, accept)
    except KNOWN_ERRORS as error:
        raise fail(error) from None
    typer.echo(f"by {found.carried.folder}:")
    for each in found.differences:
        typer.echo(
            f"{each.instrument}: {each.ours_lots} lots by our journal, {each.theirs_lots} by the venue's account"
        )
    for line in found.unasked:
        typer.echo(line)
    if not (found.differences or found.unasked):
        typer.echo("the last start found no difference")
    elif found.folder is not None:
        typer.echo(f"accepted: the next start begins with the venue's positions ({found.folder})")
    else:
        typer.echo(
            "nothing is changed; crosswire reconcile --accept takes the venue's positions for true, and ours where a"
            " venue can't be asked: compare those with its own page"
        )
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file of tests/bench: backtest, book, tile, ...")],
) -> None:
    """Run a benchmark of the checkout. Its last line is one JSON object."""
    import subprocess

    name = name.replace("-", "_")
    root = Path(__file__).resolve().parent.parent
    known = sorted(path.stem for path in (root / "tests" / "bench").glob("*.py") if "def main(" in path.read_text())
    if not known:
        raise fail("bench: benchmarks are in the repository, not in the installed package")
    if name not in known:
        raise fail(f"bench {name}: no such benchmark, there are {', '.join(known)}")
    command = [sys.executable, "-m", f"tests.bench.{name}", *context.args]
    raise typer.Exit(subprocess.run(command, cwd=root, check=False).returncode)


def main() -> None:
    """Run the `crosswire` command."""
    # What is being completed stands in the environment.
    words = sys.argv[1:] or os.environ.get("COMP_WORDS", "").split()[1:]
    if words[:1] == ["import"]:
        add_importers(import_app)
    elif words and words[0] in entry_points(VENUE_GROUP):
        add_processes(app, words[0])
    listeners.append(Teller())
    app()


if __name__ == "__main__":
    main()
