"""The report's section on P&L: its parts as tables, its curves, and exposure."""

from crosswire.engine.report import plots
from crosswire.engine.report.drawdown import Drawdown
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.series import SampleLines
from crosswire.engine.report.summary import Approximation, ProfitParts, ProfitSummary, RunSummary
from crosswire.engine.report.text import money_text, number_text, time_text

PARTS = ["realised", "locked", "open", "= marked", "flattened"]


def add_profits(page: Page, summary: RunSummary, lines: SampleLines, range_ns: tuple[int, int]) -> None:
    """Add what was earned: of everything, of each instrument, of each pair, and over time."""
    page.section(
        "P&L",
        "After fees, in what each instrument settles in. Realised: both legs are flat. Locked: hedged and still held. "
        "Open: held without a hedge. Together they are the P&L as marked, at the middle of the last proven book. "
        "Flattened: if everything held were traded away at the last bid and ask, with taker fees. docs/report.md "
        "defines each.",
    )
    rows: list[tuple[str, str, ProfitSummary | Approximation]] = [
        (f"all in {currency}", currency, profit) for currency, profit in summary.pnl.items()
    ]
    total = summary.pnl_approximation
    if total is not None and len(rows) > 1:
        rows.append(("all of it, about", total.currency, total))
    page.table(
        ["<", *PARTS, "drawdown", "<in", "<deepest fall"],
        [
            (name, *parts_row(profit, currency), *drawdown_row(profit.drawdown, currency))
            for name, currency, profit in rows
        ],
    )
    for currency, profit in summary.pnl.items():
        if profit.charges_by_kind:
            named = ", ".join(
                f"{kind} {money_text(amount, currency, named=False)}" for kind, amount in profit.charges_by_kind.items()
            )
            cost = money_text(profit.charges, currency)
            page.note(f"Holding cost {cost} ({named}): realised, and in the curves from when it was paid.")
        if profit.carried:
            page.note(f"Earlier runs of the account had booked {money_text(profit.carried, currency, sign=True)}.")
    _add_instruments(page, summary)
    _add_pairs(page, summary)
    _add_margins(page, summary)
    _add_curves(page, summary, lines, range_ns)


def _add_instruments(page: Page, summary: RunSummary) -> None:
    page.table(
        ["<instrument", "fills", "volume", "<currency", "position at end", "<currency ", *PARTS, "<in"],
        [
            (
                name,
                number_text(own.fills),
                f"{own.volume:,.2f}",
                own.volume_currency,
                f"{own.position:,f}",
                own.position_currency,
                *parts_row(own, own.settlement),
                own.settlement,
            )
            for name, own in summary.instruments.items()
        ],
    )


def _add_pairs(page: Page, summary: RunSummary) -> None:
    rows = [
        (
            " and ".join(pair.instruments) or "no trade of several legs",
            number_text(pair.trades),
            number_text(pair.fills),
            *parts_row(profit, currency)[:-1],
            currency,
        )
        for pair in summary.pairs
        for currency, profit in pair.pnl.items()
    ]
    if rows:
        page.table(["<pair", "trades", "fills", *PARTS[:-1], "<in"], rows)
    if len(summary.pairs) > 1:
        page.note(
            "Each pair is an account of its own here: marked P&L adds up over pairs, its parts do not where two "
            "hold the same instrument."
        )


def _add_margins(page: Page, summary: RunSummary) -> None:
    """Add how near each account came to a margin call; nothing where no balance is configured."""
    rows = [
        (
            each.venue,
            *(
                money_text(amount, each.currency, named=False)
                for amount in (each.balance, each.equity_min, each.initial_max)
            ),
            each.currency,
            "no equity left" if each.usage_max is None else f"{each.usage_max:.1%}",
            time_text(each.usage_max_ns),
            "none"
            if each.liquidation_distance is None
            else f"{each.liquidation_distance:+.2%} from {each.liquidation_instrument}'s middle, at"
            f" {each.liquidation_price:,f}, {time_text(each.liquidation_ns or 0)}",
        )
        for each in summary.margins
    ]
    if rows:
        columns = ["<account", "balance", "lowest equity", "most margin", "<in", "most of equity", "<at"]
        page.table([*columns, "<<nearest liquidation"], rows)


def _add_curves(page: Page, summary: RunSummary, lines: SampleLines, range_ns: tuple[int, int]) -> None:
    figures = []
    for currency, net in lines.net.items():
        costs = "fees and charges" if summary.pnl[currency].charges_by_kind else "fees"
        gross_line = plots.line(*lines.gross[currency].points(), f"before {costs}", plots.QUIET, width=1)
        net_line = plots.line(*net.points(), f"after {costs}", plots.INK, width=1.8)
        curves = [gross_line, net_line]
        figures.append((f"P&L in {currency}, marked", plots.over_time(curves, f"P&L ({text(currency)})", range_ns)))
    into = lines.converted_currency
    if lines.converted is not None and len(lines.net) > 1:
        trace = plots.line(*lines.converted.points(), "after fees and charges", plots.INK, width=1.8)
        title = f"All P&L in {into}, an approximation"
        figures.append((title, plots.over_time([trace], f"P&L (about {text(into)})", range_ns)))
    colours = plots.instrument_colours([info.venue for info in summary.definitions])
    for underlying, exposure in lines.exposure.items():
        own = [info for info in summary.definitions if info.underlying == underlying]
        traces = [
            plots.line(*lines.position[info.index].points(), text(info.name), colours[info.index], width=1, shape="hv")
            for info in own
        ]
        traces.append(plots.line(*exposure.points(), "net", plots.INK, width=2.2, shape="hv"))
        base = own[0].base
        figures.append((f"Exposure to {base}", plots.over_time(traces, f"position ({text(base)})", range_ns)))
    page.figures(figures)
    if len(lines.net) > 1:
        words = f"In {into}: each currency at its own price at that time, dollar coins taken as one dollar."
        if lines.left_out:
            words += f" Left out, because nothing in the run prices it: {', '.join(lines.left_out)}."
        page.note(words)


def parts_row(profit: ProfitParts, currency: str) -> tuple[str, ...]:
    """Write the parts in the order of PARTS."""
    amounts = (profit.realised, profit.locked, profit.open, profit.net, profit.flattened)
    return tuple(money_text(amount, currency, sign=True, named=False) for amount in amounts)


def drawdown_row(drawdown: Drawdown, currency: str) -> tuple[str, str, str]:
    """Write the deepest fall: how much, of what, from when to when."""
    peak, trough = (time_text(time_ns).removesuffix(" UTC") for time_ns in (drawdown.peak_ns, drawdown.trough_ns))
    return (
        money_text(drawdown.amount, currency, named=False),
        currency,
        f"{peak} to {trough}" if drawdown.amount else "none",
    )
