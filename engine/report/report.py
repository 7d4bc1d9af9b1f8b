"""`report.html` of a finished run: what a trader reads after it.

Everything is drawn from the run's own files, so a report can be written again at any time. A line has at most
POINTS_MAX points, a plot at most MARKERS_MAX marks of a kind; a report is about 5 MB, nearly all of it plotly.js.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.charge_rows import read_steps
from crosswire.engine.report.columns import Values, read_table
from crosswire.engine.report.counted import counted_once
from crosswire.engine.report.currency import e9
from crosswire.engine.report.details_page import add_details
from crosswire.engine.report.fills_page import add_fills
from crosswire.engine.report.headline_page import add_headline
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.log_page import add_log
from crosswire.engine.report.parameters import parameter_rows, read_config
from crosswire.engine.report.profit_page import add_profits
from crosswire.engine.report.recorder import (
    CONFIG,
    FILLS,
    LOG,
    OPPORTUNITIES,
    POSITIONS,
    REPORT,
    SERIES,
    TRADES,
    InstrumentInfo,
)
from crosswire.engine.report.series import (
    HALF_WIDTH_POINTS_MAX,
    POINTS_MAX,
    Pair,
    SampleLines,
    read_samples,
    thin,
)
from crosswire.engine.report.series_page import add_series
from crosswire.engine.report.spread_page import SpreadPage
from crosswire.engine.report.summary import RunSummary, is_missed, read_summary
from crosswire.engine.report.text import (
    counts_text,
    duration_text,
    money_text,
    moneys_text,
    number_text,
    time_text,
)

PAIRS_MAX = 4  # spreads drawn, the most traded first
ROWS_MAX = 25  # missed legs listed, the most expensive first

Table = dict[str, Values]


def write_report(run_directory: Path) -> Path:
    """Write the report of the run in `run_directory`; return its path. FileNotFoundError: it is no finished run."""
    report = _Report(run_directory)
    partial = run_directory / f"{REPORT}.partial"
    partial.write_text(report.render(), encoding="utf-8")
    return partial.replace(run_directory / REPORT)


class _Report:
    """One run's files, and the page that is made of them section by section."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.summary: RunSummary = read_summary(directory)
        self.config = (directory / CONFIG).read_text(encoding="utf-8")
        self.settings = read_config(self.config)
        self.instruments: list[InstrumentInfo] = self.summary.definitions
        self.fills = read_table(
            directory / FILLS,
            [
                "trade_id",
                "strategy",
                "client_order_id",
                "instrument",
                "time_ns",
                "side",
                "price",
                "size",
                "qty_lots",
                "notional",
                "slippage_bps",
                "liquidity",
            ],
        )
        self.trades = read_table(
            directory / TRADES,
            [
                "trade_id",
                "start_ns",
                "end_ns",
                "buy_instrument",
                "sell_instrument",
                "intended_size",
                "expected_value_e9",
                "traded_value_e9",
                "outcome",
                "retries",
                "unhedged_ns",
                "miss_cost_e9",
                "strategy",
                "first_buy_ticks",
                "first_sell_ticks",
                "legs",
            ],
        )
        self.opportunities = read_table(
            directory / OPPORTUNITIES,
            [
                "start_ns",
                "end_ns",
                "buy_instrument",
                "sell_instrument",
                "peak_value",
                "peak_value_e9",
                "captured_size_e9",
                "first_buy_ticks",
                "first_sell_ticks",
                "peak_ns",
                "peak_buy_ticks",
                "peak_sell_ticks",
                "legs",
            ],
        )
        self.range_ns = (self.summary.first_time_ns, max(self.summary.last_time_ns, self.summary.first_time_ns + 1))
        self.pairs = self._choose_pairs()
        charges = read_steps(directory, self.instruments)
        self.lines: SampleLines = read_samples(
            directory / POSITIONS, self.instruments, self.pairs, self.range_ns, charges
        )
        self.missed = is_missed(self.trades)
        self.names = [text(info.name) for info in self.instruments]
        self.page = Page(f"{self.summary.name}: run report")

    def render(self) -> str:
        page, summary = self.page, self.summary
        add_headline(page, summary, self.range_ns)
        add_profits(page, summary, self.lines, self.range_ns)
        if summary.has_legs:
            if self.pairs or not self._has_cycles():
                spreads = SpreadPage(page, self.instruments, self.settings, self.lines, self.range_ns)
                spreads.add(self.pairs, self.fills, self.trades, self.missed, self.opportunities)
            self._opportunities()
        else:
            add_fills(page, summary, self.lines, self.fills, self.range_ns)
        self._slippage()
        if summary.has_legs:
            self._unhedged()
            self._missed_legs()
        self._orders()
        orders = sum(summary.orders_by_state.values())
        add_details(page, self.directory, self.opportunities, self.trades, orders)
        self._strategies()
        self._latencies()
        self._venues()
        self._parameters()
        self._configuration()
        return page.render()

    def _choose_pairs(self) -> list[Pair]:
        """Choose the pairs most traded, then most seen; without any of several legs, instruments of one underlying."""
        counts: Counter[Pair] = Counter()
        for table, weight in ((self.trades, 1_000_000), (self.opportunities, 1)):
            legs = np.stack([table["buy_instrument"], table["sell_instrument"]])[:, table["legs"] == 0]
            legs = np.sort(legs.astype(np.int64), axis=0)
            if legs.size:
                pairs, numbers = np.unique(legs, axis=1, return_counts=True)
                for (first, second), number in zip(pairs.T.tolist(), numbers.tolist(), strict=True):
                    if first != second and first >= 0 and second < len(self.instruments):
                        counts[first, second] += weight * number
        if not counts and not self._has_cycles():
            for first in self.instruments:
                for second in self.instruments[first.index + 1 :]:
                    if first.underlying == second.underlying:
                        counts[first.index, second.index] = 1
        return [pair for pair, _ in counts.most_common(PAIRS_MAX)]

    def _has_cycles(self) -> bool:
        """Tell whether there are cycles of more than two legs: they have no spread to be drawn."""
        return any(table["legs"].any() for table in (self.trades, self.opportunities))

    def _cumulative(self, time_ns: Values, amounts: Values, name: str, colour: str) -> plots.Trace:
        order = np.argsort(time_ns, kind="stable")
        x = np.concatenate([[self.range_ns[0]], time_ns[order], [self.range_ns[1]]]).astype(np.int64)
        y = np.concatenate([[0.0], np.cumsum(amounts[order]), [float(amounts.sum())]])
        kept = thin(x, y, int(x.min()), int(x.max()), HALF_WIDTH_POINTS_MAX)
        return plots.line(x[kept], y[kept], name, colour, shape="hv")

    def _opportunities(self) -> None:
        found = self.opportunities
        self.page.section(
            "Opportunities against captured",
            "An opportunity is a span of time in which the executable edge after fees was above the threshold; it is "
            "captured when something was traded on both legs.",
        )
        if not len(found["start_ns"]):
            self.page.note("There was no opportunity in this run.")
            return
        captured = found["captured_size_e9"] > 0
        ones = np.ones(len(captured))
        counts = [
            self._cumulative(found["start_ns"], ones, "seen", plots.QUIET),
            self._cumulative(found["start_ns"][captured], ones[captured], "captured", plots.GOOD_COLOUR),
        ]
        quote, values = self._values()
        durations = found["end_ns"] - found["start_ns"]
        groups = {
            "captured": (durations[captured], plots.GOOD_COLOUR),
            "not captured": (durations[~captured], "#c3cad6"),
        }
        bars = plots.duration_bars(groups, "duration (log scale)", "opportunities")
        blocked = {text(name): count for name, count in self.summary.opportunities.blocked.items()}
        figures = [
            ("Seen and captured, so far", plots.over_time(counts, "opportunities", self.range_ns)),
            (f"Value in {quote}, so far", plots.over_time(values, f"value ({text(quote)})", self.range_ns)),
            ("How long they lasted", bars),
        ]
        if blocked:
            figures.append(("Why none was attempted", plots.count_bars(blocked, "opportunities", "#9aa5b8")))
        self.page.figures(figures)

    def _values(self) -> tuple[str, list[plots.Trace]]:
        """Show what was offered, expected and earned, in the quote currency with most opportunities."""
        found, trades = self.opportunities, self.trades
        quotes = np.array([info.quote for info in self.instruments])
        quote = Counter(quotes[found["buy_instrument"]].tolist()).most_common(1)[0][0]
        sides = (found["buy_instrument"], found["sell_instrument"])
        counted = counted_once(found["start_ns"], found["end_ns"], *sides, found["peak_value_e9"], found["legs"])
        offered = (quotes[found["buy_instrument"]] == quote) & counted
        own = quotes[trades["buy_instrument"].astype(np.int64)] == quote
        start, end = trades["start_ns"][own], trades["end_ns"][own]
        lines = [
            self._cumulative(found["start_ns"][offered], found["peak_value"][offered], "offered, once", plots.QUIET),
            self._cumulative(start, trades["expected_value_e9"][own] / 1e9, "expected", plots.BUY_COLOUR),
            self._cumulative(end, trades["traded_value_e9"][own] / 1e9, "traded", plots.GOOD_COLOUR),
        ]
        return quote, lines

    def _slippage(self) -> None:
        self.page.section(
            "Slippage",
            "Fill price against the price that the strategy planned for these lots, level by level; positive is worse. "
            "Boxes hold the middle half of the fills, whiskers reach from 5 to 95 %.",
        )
        bps = self.fills["slippage_bps"].astype(np.float64)
        sides: dict[str, list[tuple[str, Values]]] = {"buy": [], "sell": []}
        rows = []
        for info in self.instruments:
            for side, group in sides.items():
                own = (self.fills["instrument"] == info.index) & (self.fills["side"] == side) & ~np.isnan(bps)
                if not own.any():
                    continue
                group.append((self.names[info.index], bps[own]))
                low, middle, high = np.percentile(bps[own], (5, 50, 95))
                weighted = np.average(bps[own], weights=self.fills["notional"][own])
                figures = (bps[own].mean(), weighted, low, middle, high, bps[own].max())
                rows.append((info.name, side, number_text(len(bps[own])), *(f"{value:.3f}" for value in figures)))
        if not rows:
            self.page.note("There was no fill with a decided price in this run.")
            return
        self.page.figure("", plots.slippage_boxes(sides))
        columns = ["<instrument", "<side", "fills", "mean bps", "by volume", "5 %", "median", "95 %", "worst"]
        self.page.table(columns, rows)

    def _unhedged(self) -> None:
        self.page.section("Time un-hedged", "How long one leg of a trade was ahead of the other.")
        unhedged = self.trades["unhedged_ns"] > 0
        if not unhedged.any():
            self.page.note("No trade had one leg ahead of the other.")
            return
        groups = {}
        traces = []
        for name, own, colour in (
            ("both legs as sent", unhedged & ~self.missed, "#7d8ca5"),
            ("leg missed", unhedged & self.missed, plots.BAD_COLOUR),
        ):
            durations = self.trades["unhedged_ns"][own]
            groups[name] = (durations, colour)
            start, duration = self.trades["start_ns"][own], durations / 1e6
            kept = thin(start, duration, *self.range_ns, HALF_WIDTH_POINTS_MAX)
            marker = {"color": colour, "size": 6, "opacity": 0.75}
            traces.append(
                plots.line(start[kept], duration[kept], name, colour, mode="markers", marker=marker)
                | {"hovertemplate": "%{y:.3f} ms<br>%{x}<extra></extra>"}
            )
        scatter = plots.figure(
            traces, plots.time_axis(self.range_ns), plots.axis("un-hedged (ms)", type="log", dtick=1)
        )
        bars = plots.duration_bars(groups, "un-hedged (log scale)", "trades")
        self.page.figures([("Of each trade", scatter), ("Distribution", bars)])
        never = int(np.count_nonzero(~unhedged))
        if never:
            self.page.note(f"{number_text(never)} trades were never un-hedged and are not drawn.")

    def _missed_legs(self) -> None:
        summary = self.summary.trades.missed_legs
        self.page.section(
            "Missed legs",
            "A leg is missed when its order had to be retried or the trade was repaired elsewhere at a cost: what that "
            "lost against the prices decided on, in the quote currency of the buy leg.",
        )
        if not summary.trades:
            self.page.note("No leg was missed.")
            return
        self.page.add(
            f"<p>{text(number_text(summary.trades))} trades missed a leg; that cost "
            f"<b>{text(moneys_text(summary.cost))}</b>, {text(moneys_text(summary.cost_mean))} a trade, "
            f"at worst {text(moneys_text(summary.cost_worst))}.</p>"
        )
        places = np.flatnonzero(self.missed)
        places = places[np.argsort(-self.trades["miss_cost_e9"][places], kind="stable")]
        columns = [
            "<time",
            "trade",
            "<bought",
            "<sold",
            "size",
            "<outcome",
            "retries",
            "un-hedged",
            "expected",
            "traded",
        ]
        self.page.table([*columns, "cost", "<in"], [self._missed_row(place) for place in places[:ROWS_MAX].tolist()])
        if len(places) > ROWS_MAX:
            self.page.note(f"The {ROWS_MAX} dearest of {number_text(len(places))}; all are in {TRADES}.")

    def _missed_row(self, place: int) -> tuple[Any, ...]:
        row = {name: values[place] for name, values in self.trades.items()}
        buy, sell = self.instruments[row["buy_instrument"]], self.instruments[row["sell_instrument"]]
        money = (
            money_text(e9(int(row[name])), buy.quote, named=False)
            for name in ("expected_value_e9", "traded_value_e9", "miss_cost_e9")
        )
        return (
            time_text(int(row["start_ns"])).removesuffix(" UTC"),
            row["trade_id"],
            buy.name,
            sell.name,
            f"{row['intended_size']:.8g} {buy.base}",
            row["outcome"],
            row["retries"],
            duration_text(int(row["unhedged_ns"])),
            *money,
            buy.quote,
        )

    def _orders(self) -> None:
        self.page.section("Orders and vetoes", "Orders by how they ended, and by why the risk gate refused them.")
        figures = []
        for title, counts, colour in (
            ("Orders at their end", self.summary.orders_by_state, plots.VENUE_SHADES[0][1]),
            ("Vetoes by reason", self.summary.orders_vetoed, plots.VENUE_SHADES[2][1]),
        ):
            if counts:
                escaped = {text(name): count for name, count in counts.items()}
                figures.append((title, plots.count_bars(escaped, "orders", colour)))
        if figures:
            self.page.figures(figures)
        else:
            self.page.note("No order was asked for.")

    def _strategies(self) -> None:
        rows = [
            (
                name,
                number_text(own.orders),
                number_text(own.fills),
                ", ".join(f"{lots} of {instrument}" for instrument, lots in own.position.items()) or "nothing",
                counts_text(own.counters),
            )
            for name, own in self.summary.strategies.items()
        ]
        if rows:
            self.page.section("Strategies", "What each one did, holds at the end, and counted itself.")
            self.page.table(["<strategy", "orders", "fills", "<<holds", "<<its own counters"], rows)
            add_series(self.page, self.directory / SERIES, self.range_ns)
            add_log(self.page, self.directory / LOG)

    def _latencies(self) -> None:
        self.page.section("Latency", "By the run's clock; a percentile is the upper bound of the bucket it falls in.")
        figures = []
        rows = []
        for position, (name, latency) in enumerate(self.summary.latencies.items()):
            marks = {f"{percent} %": latency.percentile_ns(percent) for percent in (50, 90, 99)}
            if latency.count:
                colour = plots.VENUE_SHADES[position % 2][1]
                figures.append((name, plots.latency_bars(latency.buckets, marks, colour)))
            numbers = (duration_text(mark) for mark in (*marks.values(), latency.max_ns))
            rows.append((name, number_text(latency.count), *numbers, number_text(latency.negative)))
        if figures:
            self.page.figures(figures)
        if rows:
            self.page.table(["<latency", "count", "50 %", "90 %", "99 %", "max", "negative: clocks disagree"], rows)
        else:
            self.page.note("No latency was measured.")

    def _venues(self) -> None:
        self.page.section(
            "Data quality",
            "A gap or a broken chain makes a book invalid until it is proven again. A restart "
            "is a sequence that began anew.",
        )
        self.page.table(
            [
                "<venue",
                "packets",
                "level updates",
                "sequence gaps",
                "continuity breaks",
                "restarts",
                "duplicates",
                "definitions differ",
                "<<not believed, by reason",
                "<<other",
            ],
            [
                (
                    name,
                    number_text(venue.packets),
                    number_text(venue.level_updates),
                    number_text(venue.sequence_gaps),
                    number_text(venue.continuity_breaks),
                    number_text(venue.restarts),
                    number_text(venue.duplicates),
                    number_text(venue.definition_mismatches),
                    counts_text(venue.rejects),
                    counts_text(venue.counters),
                )
                for name, venue in self.summary.venues.items()
            ],
        )

    def _parameters(self) -> None:
        units = {name: each.units for name, each in self.summary.strategies.items()}
        rows = parameter_rows(self.settings, units)
        if rows:
            self.page.section(
                "Parameters and latencies", "Of the strategies, and how each venue was simulated, as configured."
            )
            self.page.table(["<of", "<key", "<<value", "<unit"], rows)

    def _configuration(self) -> None:
        summary = self.summary
        self.page.section("How it ran")
        rows = [
            ("frames", number_text(summary.frames)),
            ("messages", number_text(summary.messages)),
            ("level updates", number_text(summary.level_updates)),
            ("level updates a second", f"{summary.level_updates_per_s or 0:,.0f}"),
            ("loop", f"{summary.wall_s:.3f} s"),
            ("start to first frame", f"{summary.start_s:.3f} s"),
            ("digest of order frames", summary.digest),
            *((name, number_text(count)) for name, count in summary.counters.items()),
        ]
        self.page.table(["<", "< "], rows)
        self.page.note(
            f"Lines are thinned to at most {number_text(POINTS_MAX)} points, keeping each span's smallest and largest "
            f"value; every record is in the Parquet files beside this page. All times are UTC. "
            "Drag in a plot to zoom, double-click to see all again."
        )
        self.page.section(
            "Configuration", "As it was read. A configuration holds no secrets: keys come from elsewhere."
        )
        self.page.add(f"<pre>{text(self.config)}</pre>")
