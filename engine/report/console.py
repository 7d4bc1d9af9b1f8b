"""The figures of a run on the console."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosswire.engine.report.drawdown import Drawdown
from crosswire.engine.report.summary import ProfitParts, RunSummary
from crosswire.engine.report.text import (
    counts_text,
    duration_text,
    money_text,
    moneys_text,
    number_text,
    percent_text,
    time_text,
)
from crosswire.engine.warn import print_warnings

if TYPE_CHECKING:
    from crosswire.engine.journal.list import ListedRun


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print what arbitrage traders ask, in the order they ask it; fits 100 columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, lines in _answers(summary):
        grid.add_row(Text(label), Text("\n".join(lines)))
    began, ended = time_text(summary.first_time_ns), time_text(summary.last_time_ns)
    console.print(Text(summary.name, style="bold"), Text(f"{began} to {ended}", style="dim"))
    console.print(grid)
    print_warnings(summary.warnings, console)


def _answers(summary: RunSummary) -> Iterator[tuple[str, list[str]]]:
    if summary.settings:
        yield "Set for this run", summary.settings
    if summary.has_legs:
        yield from _leg_answers(summary)
    else:
        share = percent_text(summary.maker_fills / summary.fills)
        yield "Fills", [f"{number_text(summary.fills)}, {share} of them as maker"]
        for name, own in summary.instruments.items():
            if own.fills:
                yield f"Traded {name}", [f"{number_text(own.fills)} fills, {own.volume:,.2f} {own.volume_currency}"]
    yield "P&L after fees", list(_profit_lines(summary))
    if summary.has_legs:
        yield "Un-hedged", [f"{duration_text(round(summary.unhedged_seconds * 1e9))} over all trades"]
    vetoed = sum(summary.orders_vetoed.values())
    yield "Vetoes", [f"{number_text(vetoed)}: {counts_text(summary.orders_vetoed)}" if vetoed else "none"]
    yield (
        "Orders",
        [
            f"{number_text(summary.orders_sent)} sent, {number_text(summary.fills)} fills; "
            f"at their end: {counts_text(summary.orders_by_state)}"
        ],
    )
    if len(summary.strategies) > 1:
        for name, strategy in summary.strategies.items():
            held = ", ".join(f"{lots} of {instrument}" for instrument, lots in strategy.position.items())
            yield (
                f"Strategy {name}",
                [
                    f"{number_text(strategy.orders)} orders, {number_text(strategy.fills)} fills; "
                    f"holds {held or 'nothing'}"
                ],
            )
    for name, venue in summary.venues.items():
        yield (
            f"Data {name}",
            [
                f"{number_text(venue.packets)} packets, {number_text(venue.sequence_gaps)} gaps, "
                f"{number_text(venue.continuity_breaks)} continuity breaks, {number_text(venue.restarts)} restarts, "
                f"{number_text(sum(venue.rejects.values()))} not believed"
            ],
        )
    rate = summary.level_updates_per_s
    yield (
        "Speed",
        [
            f"{number_text(summary.level_updates)} level updates in {summary.wall_s:.2f} s"
            + (f", {rate / 1e6:.1f} million a second" if rate else "")
            + f"; started in {summary.start_s:.2f} s"
        ],
    )
    yield "Digest", [summary.digest]


def _leg_answers(summary: RunSummary) -> Iterator[tuple[str, list[str]]]:
    opportunities, trades = summary.opportunities, summary.trades
    missed = trades.missed_legs
    yield (
        "Opportunities",
        [
            f"{number_text(opportunities.count)} seen, {number_text(opportunities.attempted)} attempted, "
            f"{number_text(opportunities.captured)} captured ({percent_text(opportunities.capture_rate)})",
            f"worth {moneys_text(opportunities.peak_value)} at their peaks, no leg counted twice",
        ]
        + (
            [f"and {moneys_text(opportunities.shared_value)} on legs that were counted already"]
            if opportunities.shared_value
            else []
        ),
    )
    yield (
        "How long",
        [
            f"median {duration_text(opportunities.duration_median_ns)}, "
            f"90 % within {duration_text(opportunities.duration_p90_ns)}, "
            f"longest {duration_text(opportunities.duration_max_ns)}"
        ],
    )
    yield "Not attempted", [counts_text(opportunities.blocked)]
    yield (
        "Trades",
        [
            f"{number_text(trades.count)}: {counts_text(trades.outcomes)}",
            f"edge expected {moneys_text(trades.expected)}",
            f"edge traded {moneys_text(trades.traded)}; earned is what P&L says",
        ],
    )
    yield (
        "Missed legs",
        [f"{number_text(missed.trades)} trades, {number_text(missed.retries)} retries, cost {moneys_text(missed.cost)}"]
        + (
            [f"a trade {moneys_text(missed.cost_mean)}, worst {moneys_text(missed.cost_worst)}"]
            if missed.trades
            else []
        ),
    )


def _profit_lines(summary: RunSummary) -> Iterator[str]:
    for currency, profit in summary.pnl.items():
        yield f"{money_text(profit.net, currency, sign=True)} marked = {_parts_text(profit, currency)}"
        yield (
            f"  = cash {money_text(profit.cash, currency, named=False)}"
            f" + held {money_text(profit.position_value, currency, named=False)}"
            f" - fees {money_text(profit.fees, currency, named=False)}"
            + (f" - charges {money_text(profit.charges, currency, named=False)}" if profit.charges_by_kind else "")
        )
        for kind, amount in profit.charges_by_kind.items():
            yield f"  {kind} {money_text(amount, currency, named=False)}"
        if profit.carried:
            yield f"  of which {money_text(profit.carried, currency, sign=True)} of cash was booked by earlier runs"
        yield f"  {_ways_text(profit, profit.drawdown, currency)}"
    total = summary.pnl_approximation
    if total is not None and list(summary.pnl) != [total.currency]:
        left_out = f", without {', '.join(total.left_out)}" if total.left_out else ""
        yield f"about {money_text(total.net, total.currency, sign=True)} in all, at the last prices{left_out}"
        yield f"  = {_parts_text(total, total.currency)}"
        yield f"  {_ways_text(total, total.drawdown, total.currency)}"


def _parts_text(profit: ProfitParts, currency: str) -> str:
    parts = {"realised": profit.realised, "locked": profit.locked, "open": profit.open}
    return " + ".join(f"{name} {money_text(amount, currency, named=False)}" for name, amount in parts.items())


def _ways_text(profit: ProfitParts, drawdown: Drawdown, currency: str) -> str:
    flattened = money_text(profit.flattened, currency, sign=True, named=False)
    return f"if flattened now {flattened}; deepest drawdown {money_text(drawdown.amount, currency, named=False)}"


def print_runs(runs: "list[ListedRun]", console: Console) -> None:
    """Print a table of runs."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "kind", "state", "orders", "fills", "profit", "held at its end"):
        table.add_column(column, justify="right" if column in ("orders", "fills") else "left")
    for each in runs:
        counts = ["" if count is None else f"{count:,}" for count in (each.orders, each.fills)]
        table.add_row(each.folder, each.kind, each.state, *counts, each.profit, each.held)
    console.print(table)
