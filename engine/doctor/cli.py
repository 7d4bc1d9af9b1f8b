"""`crosswire doctor` on the command line. Imported by every command, so it imports nothing that takes time."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from crosswire.engine.doctor.command import DoctorOptions
    from crosswire.nic.host.doctor.check import Check

COULD_NOT = 3  # exit code: the checks could not be made, or not all be undone
JITTER_S = 3.0  # of a plot whose time is not said
Tell = Callable[[str], None]
Ask = Callable[[str], str]  # gives what was answered: y, n or q


def doctor_command(console: Console, errors: Console, fail: Callable[[object], typer.Exit]) -> Callable[..., None]:
    """Make the command, which prints on these two, and an error as `fail` does."""

    def doctor(
        config: Annotated[
            Path | None, typer.Argument(help="The run's TOML file; without one the host in general.")
        ] = None,
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder that run folders are made in.")] = Path(
            "runs"
        ),
        as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
        core: Annotated[int | None, typer.Option(help="The loop's, instead of the configuration's.")] = None,
        jitter: Annotated[float, typer.Option(help="Measure the core's for so many seconds.")] = 0.0,
        plot: Annotated[Path | None, typer.Option(help="Draw that measurement: an HTML page.")] = None,
        only: Annotated[list[str] | None, typer.Option(help="Checks with this in their name; may be repeated.")] = None,
        fix: Annotated[
            bool, typer.Option("--fix", help="As root: mend what can be mended, each after asking.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="With --fix: ask nothing.")] = False,
        undo: Annotated[bool, typer.Option("--undo", help="As root: restore all that --fix has changed.")] = False,
    ) -> None:
        """Check the host. Exit code 0: nothing to do, 1: warnings, 2: failures, 3: it could not be done."""
        from crosswire.engine.doctor.command import DoctorOptions
        from crosswire.engine.errors import KNOWN_ERRORS

        def tell(line: str) -> None:
            (errors if as_json else console).print(line, markup=False, highlight=False, soft_wrap=True)

        seconds = jitter or (JITTER_S if plot is not None else 0.0)
        options = DoctorOptions(config, output, core, seconds, tuple(only or ()))
        asks = ask_nothing if yes else ask_first(as_json)
        try:
            raise typer.Exit(
                run_undo(fix, tell) if undo else run(options, asks if fix else None, plot, console, tell, as_json)
            )
        except KNOWN_ERRORS as error:
            fail(error)
            raise typer.Exit(COULD_NOT) from None

    return doctor


def ask_nothing(_question: str) -> str:
    """Answer yes."""
    return "y"


def ask_first(is_aside: bool) -> Ask:
    """Make the function that asks the user; on standard error where standard output is JSON."""

    def ask(question: str) -> str:
        answer = ""
        while answer not in ("y", "n", "q"):
            answer = typer.prompt(question, default="n", err=is_aside).strip().lower()[:1]
        return answer

    return ask


def run_undo(is_fixing: bool, tell: Tell) -> int:
    """Undo what was mended; return the exit code. HostError."""
    from crosswire.engine.doctor.command import undo_changes
    from crosswire.nic.host.process import HostError

    if is_fixing:
        raise HostError("doctor: --fix or --undo, not both")
    return COULD_NOT if undo_changes(tell) else 0


def run(
    options: "DoctorOptions", ask: Ask | None, plot: Path | None, console: Console, tell: Tell, as_json: bool
) -> int:
    """Check, and mend where there is somebody to ask; print, and return the exit code. ConfigError, HostError."""
    from crosswire.engine.doctor.command import make_checks, make_plan, measure_jitter, mend_checks
    from crosswire.nic.host.doctor.examine import exit_code

    plan = make_plan(options)
    measured = measure_jitter(options, plan)
    if measured is not None:
        plan = replace(plan, jitter=measured.jitter)
    checks = make_checks(options, plan)
    if ask is not None:
        mend_checks(checks, ask, tell)
        checks = make_checks(options, plan)
    if measured is not None and plot is not None:
        from crosswire.engine.doctor.page import write_jitter

        tell(f"plot: {write_jitter(measured, plot)}")
    print_all(checks, console, as_json)
    if measured is not None and not as_json:
        from crosswire.engine.doctor.show import jitter_text

        tell(jitter_text(measured))
    return exit_code(checks)


def print_all(checks: "Sequence[Check]", console: Console, as_json: bool) -> None:
    """Print the checks."""
    if as_json:
        typer.echo(json.dumps([each.facts() for each in checks], indent=1))
        return
    from crosswire.engine.doctor.show import print_checks

    print_checks(checks, console)
