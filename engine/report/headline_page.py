"""The report's top: what ran, what is wrong with its figures, and those that are read first."""

from collections.abc import Iterator
from decimal import Decimal

from crosswire.engine.report.html import Page, text
from crosswire.engine.report.summary import RunSummary
from crosswire.engine.report.text import (
    counts_text,
    duration_text,
    money_text,
    moneys_text,
    number_text,
    percent_text,
    time_text,
)

Tile = tuple[str, str, str, str]


def add_headline(page: Page, summary: RunSummary, range_ns: tuple[int, int]) -> None:
    """Add the title, the warnings and the tiles; of legs only where there are any."""
    length = duration_text(range_ns[1] - range_ns[0])
    kind = text(summary.kind)
    was_set = f"; set for this run: {', '.join(summary.settings)}" if summary.settings else ""
    page.add(f"<h1>{text(summary.name)} <small class='{kind}'>{kind}</small></h1>")
    page.add(
        f"<p class='quiet'>{text(f'{time_text(range_ns[0])} to {time_text(range_ns[1])} ({length})')}<br>"
        f"{text(', '.join(info.name for info in summary.definitions))}<br>"
        f"{text(summary.config_file)}, Crosswire {text(summary.engine_version)}"
        f"{text(was_set)}</p>"
    )
    page.warnings([str(warning) for warning in summary.warnings])
    vetoed = number_text(sum(summary.orders_vetoed.values()))
    page.tiles(
        [
            *_profit_tiles(summary),
            *(_leg_tiles(summary) if summary.has_legs else _order_tiles(summary)),
            ("Orders vetoed", vetoed, counts_text(summary.orders_vetoed), ""),
        ]
    )


def _profit_tiles(summary: RunSummary) -> Iterator[Tile]:
    for currency, profit in summary.pnl.items():
        parts = {"realised": profit.realised, "locked": profit.locked, "open": profit.open}
        detail = ", ".join(f"{name} {money_text(part, currency, named=False)}" for name, part in parts.items())
        net = money_text(profit.net, currency, sign=True)
        yield (f"P&L after fees, {currency}, marked", net, detail, mood(profit.net))
    total = summary.pnl_approximation
    if total is not None and len(summary.pnl) > 1:
        net = money_text(total.net, total.currency, sign=True)
        flattened = money_text(total.flattened, total.currency, sign=True, named=False)
        detail = f"at the run's last prices; {flattened} if flattened now"
        yield (f"All of it, about, in {total.currency}", net, detail, mood(total.net))


def _leg_tiles(summary: RunSummary) -> Iterator[Tile]:
    opportunities, missed = summary.opportunities, summary.trades.missed_legs
    worth = f"worth {moneys_text(opportunities.peak_value)} at their peaks, no leg counted twice"
    yield ("Opportunities", number_text(opportunities.count), worth, "")
    captured = f"{number_text(opportunities.captured)} ({percent_text(opportunities.capture_rate)})"
    yield ("Captured", captured, f"{number_text(opportunities.attempted)} attempted", "")
    within, longest = (duration_text(each) for each in (opportunities.duration_p90_ns, opportunities.duration_max_ns))
    middle = duration_text(opportunities.duration_median_ns)
    yield ("Lasted, median", middle, f"90 % within {within}, longest {longest}", "")
    sent = f"{number_text(summary.orders_sent)} orders sent, {number_text(summary.fills)} fills"
    yield ("Trades", number_text(summary.trades.count), sent, "")
    cost = f"cost {moneys_text(missed.cost)}" if missed.trades else "none"
    yield ("Trades with a missed leg", number_text(missed.trades), cost, "bad" if missed.trades else "")
    unhedged = duration_text(round(summary.unhedged_seconds * 1e9))
    yield ("Un-hedged", unhedged, "sum over all trades of one leg ahead of the other", "")


def _order_tiles(summary: RunSummary) -> Iterator[Tile]:
    yield ("Orders sent", number_text(summary.orders_sent), counts_text(summary.orders_by_state), "")
    share = percent_text(summary.maker_fills / summary.fills if summary.fills else None)
    yield ("Fills", number_text(summary.fills), f"{share} as maker", "")
    volumes = [
        f"{own.volume:,.2f} {own.volume_currency} {name}" for name, own in summary.instruments.items() if own.fills
    ]
    yield ("Traded", f"{len(volumes)} instruments", ", ".join(volumes), "")


def mood(amount: Decimal) -> str:
    """Choose how a figure is shown: "good", "bad" or ""."""
    return "good" if amount > 0 else "bad" if amount < 0 else ""
