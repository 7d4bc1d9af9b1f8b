"""The checks as people read them: a table with the worst first, then what mends what is wrong."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosswire.nic.host.doctor.check import Check, Severity
from crosswire.nic.host.doctor.examine import worst_first
from crosswire.nic.host.doctor.jitter import Measured

COLUMNS_MAX = 100
COMMAND_MAX = 300  # of what mends one check; the rest is in --json
STYLES = {Severity.FAIL: "bold red", Severity.WARN: "yellow", Severity.INFO: "cyan", Severity.OK: "green"}


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print the table, what to do, and how many there are of each severity."""
    ordered = worst_first(list(checks))
    made = [each for each in ordered if each.severity is not Severity.SKIP]
    skipped = [each for each in ordered if each.severity is Severity.SKIP]
    width = min(COLUMNS_MAX, console.width)
    console.print(_table(made), width=width)
    for each in made:
        if each.severity in (Severity.FAIL, Severity.WARN):
            _print_advice(each, console, width)
    if skipped:
        console.print("\nnot checked", style="bold")
        for each in skipped:
            line = f"  {each.name}: {each.why.removeprefix('not checked: ')}"
            console.print(line, markup=False, highlight=False, style="dim", width=width)
    console.print(f"\n{counts_text(checks)}", highlight=False)


def _table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", ratio=36, overflow="fold")
    table.add_column("value", ratio=34, overflow="fold")
    table.add_column("wanted", ratio=30, overflow="fold")
    for each in checks:
        style = STYLES[each.severity]
        table.add_row(Text(each.severity, style), Text(each.name), Text(each.value), Text(each.wanted, "dim"))
    return table


def _print_advice(check: Check, console: Console, width: int) -> None:
    console.print()
    console.print(Text(check.name, STYLES[check.severity]), Text(f"- {check.why}"), width=width)
    if check.mend:
        shown = check.mend if len(check.mend) <= COMMAND_MAX else f"{check.mend[:COMMAND_MAX]} ..."
        console.print(Text(f"  {shown}"), width=width)


def counts_text(checks: Sequence[Check]) -> str:
    """Count the checks by severity."""
    counts = [(each, sum(check.severity is each for check in checks)) for each in STYLES]
    told = [f"{count} {severity}" for severity, count in counts if count]
    skipped = sum(check.severity is Severity.SKIP for check in checks)
    return ", ".join(told + ([f"{skipped} not checked"] if skipped else []))


def jitter_text(measured: Measured) -> str:
    """Say in one line what a spinning thread saw."""
    seen = measured.jitter
    how = "FIFO" if measured.is_fifo else "no real-time scheduling"
    return (
        f"core {seen.core}, {how}, {seen.seconds:g} s: longest hole {seen.longest_ns / 1000:,.1f} us, "
        f"{seen.over_100_us:,} over 100 us, {seen.over_5_us:,} over 5 us; {seen.switches:,} forced switches, "
        f"{seen.faults:,} page faults, {seen.interrupts:,} interrupts"
    )
