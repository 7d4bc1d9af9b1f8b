"""An explanation on the console."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosswire.engine.explain.explain import Explained, Side, money_of
from crosswire.engine.explain.findings import Cause, Finding, Money
from crosswire.engine.report.text import time_text
from crosswire.engine.warn import print_warnings


def print_explained(explained: Explained, console: Console) -> None:
    """Print replay, both sides, and a line for each difference; fits 120 columns."""
    console.print(replay_text(explained), markup=False)
    sides = Table("", "orders", "fills", "P&L", box=None, pad_edge=False)
    add_side(sides, "live", explained.live)
    add_side(sides, "backtest", explained.backtest)
    console.print(sides)
    if explained.findings:
        table = Table("time", "venue", "cause", "effect on P&L", box=None, pad_edge=False)
        for finding in explained.findings:
            table.add_row(*map(Text, finding_row(finding)))
        console.print(table)
    else:
        console.print("no difference")
    if any(each.cause == Cause.FOLLOWS for each in explained.findings):
        console.print(followed_text(explained), markup=False, soft_wrap=True)
    remainder = money_text(explained.remainder_e9)
    console.print(f"P&L that no line above accounts for: {remainder}", markup=False)
    print_warnings(explained.warnings, console)


def followed_text(explained: Explained) -> str:
    """Say how much of the difference the causes made themselves, and how much is not told apart by cause."""
    return (
        f"by the causes themselves, on the orders that they met: {money_text(explained.direct_e9)}\n"
        f"by other orders of the strategies afterwards: {money_text(explained.followed_e9)}; these follow from all the"
        " causes above together, and how much from which is not known"
    )


def replay_text(explained: Explained) -> str:
    """Say what became of the replay."""
    replayed = explained.replayed
    sent = sum(len(each.sent) for each in replayed.venues)
    head = f"replayed {replayed.turns:,} turns and {replayed.frames:,} frames: "
    if replayed.is_same:
        return head + f"all {sent:,} order messages again, byte for byte"
    first = next(each for each in replayed.venues if not each.is_same)
    return head + (
        f"NOT the same: of {first.venue}'s {len(first.sent):,} order messages the first {first.same:,} came again,"
        f" {len(first.again):,} in all"
    )


def add_side(table: Table, name: str, side: Side) -> None:
    """Add one side's figures."""
    table.add_row(name, f"{side.orders:,}", f"{side.fills:,}", Text(money_text(side.profit_e9)))


def finding_row(finding: Finding) -> tuple[str, str, str, str]:
    """Show one finding."""
    times = f" ({finding.count:,} times)" if finding.count > 1 else ""
    detail = f": {finding.detail}" if finding.detail else ""
    orders = f"\norders {', '.join(map(str, finding.orders))}" if finding.orders else ""
    what = f"{finding.cause}{detail}{times}\n{finding.text}{orders}"
    return time_text(finding.first_ns), finding.venue, what, money_text(finding.effect_e9)


def money_text(sums_e9: Money) -> str:
    """Show money by currency."""
    return ", ".join(f"{amount} {currency}" for currency, amount in money_of(sums_e9).items()) or "0"
