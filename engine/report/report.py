"""`report.html` of a finished run: what a trader reads after it.

Everything is drawn from the run's own files, so a report can be written again at any time. A line has at most
POINTS_MAX points, a plot at most MARKERS_MAX trades; a report is about 5 MB, nearly all of it plotly.js.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.columns import Values, read_table
from crosswire.engine.report.currency import e9
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.profit_page import add_profits
from crosswire.engine.report.recorder import CONFIG, FILLS, OPPORTUNITIES, POSITIONS, REPORT, TRADES, InstrumentInfo
from crosswire.engine.report.series import (
    HALF_WIDTH_POINTS_MAX,
    POINTS_MAX,
    Pair,
    SampleLines,
    read_samples,
    thin,
    trade_prices,
)
from crosswire.engine.report.summary import RunSummary, is_missed, read_summary
from crosswire.engine.report.text import (
    counts_text,
    duration_text,
    money_text,
    moneys_text,
    number_text,
    percent_text,
    time_text,
)

PAIRS_MAX = 4  # spreads drawn, the most traded first
MARKERS_MAX = 1000  # trades marked on a spread: missed ones first, then an even choice of the others
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
        self.summary: RunSummary = read_summary(directory)
        self.config = (directory / CONFIG).read_text(encoding="utf-8")
        self.instruments: list[InstrumentInfo] = self.summary.definitions
        self.fills = read_table(
            directory / FILLS, ["trade_id", "instrument", "side", "price", "qty_lots", "notional", "slippage_bps"]
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
            ],
        )
        self.opportunities = read_table(
            directory / OPPORTUNITIES,
            ["start_ns", "end_ns", "buy_instrument", "sell_instrument", "peak_value", "captured_size_e9"],
        )
        self.range_ns = (self.summary.first_time_ns, max(self.summary.last_time_ns, self.summary.first_time_ns + 1))
        self.pairs = self._choose_pairs()
        self.lines: SampleLines = read_samples(directory / POSITIONS, self.instruments, self.pairs, self.range_ns)
        self.missed = is_missed(self.trades)
        self.names = [text(info.name) for info in self.instruments]
        self.page = Page(f"{self.summary.name}: run report")

    def render(self) -> str:
        self._headline()
        add_profits(self.page, self.summary, self.lines, self.range_ns)
        self._spreads()
        self._opportunities()
        self._slippage()
        self._unhedged()
        self._missed_legs()
        self._orders()
        self._latencies()
        self._venues()
        self._configuration()
        return self.page.render()

    def _choose_pairs(self) -> list[Pair]:
        """Choose the pairs most traded, then most seen; without either, instruments of one underlying."""
        counts: Counter[Pair] = Counter()
        for table, weight in ((self.trades, 1_000_000), (self.opportunities, 1)):
            legs = np.sort(np.stack([table["buy_instrument"], table["sell_instrument"]]).astype(np.int64), axis=0)
            if legs.size:
                pairs, numbers = np.unique(legs, axis=1, return_counts=True)
                for (first, second), number in zip(pairs.T.tolist(), numbers.tolist(), strict=True):
                    if first != second and first >= 0 and second < len(self.instruments):
                        counts[first, second] += weight * number
        if not counts:
            for first in self.instruments:
                for second in self.instruments[first.index + 1 :]:
                    if first.underlying == second.underlying:
                        counts[first.index, second.index] = 1
        return [pair for pair, _ in counts.most_common(PAIRS_MAX)]

    def _headline(self) -> None:
        summary = self.summary
        opportunities, missed = summary.opportunities, summary.trades.missed_legs
        length = duration_text(self.range_ns[1] - self.range_ns[0])
        kind = text(summary.kind)
        self.page.add(f"<h1>{text(summary.name)} <small class='{kind}'>{kind}</small></h1>")
        self.page.add(
            f"<p class='quiet'>{text(f'{time_text(self.range_ns[0])} to {time_text(self.range_ns[1])} ({length})')}<br>"
            f"{text(', '.join(info.name for info in self.instruments))}<br>"
            f"{text(summary.config_file)}, Crosswire {text(summary.engine_version)}</p>"
        )
        self.page.warnings([str(warning) for warning in summary.warnings])
        tiles = []
        for currency, profit in summary.pnl.items():
            parts = {"realised": profit.realised, "locked": profit.locked, "open": profit.open}
            detail = ", ".join(f"{name} {money_text(part, currency, named=False)}" for name, part in parts.items())
            net = money_text(profit.net, currency, sign=True)
            tiles.append((f"P&L after fees, {currency}, marked", net, detail, _mood(profit.net)))
        total = summary.pnl_approximation
        if total is not None and len(summary.pnl) > 1:
            net = money_text(total.net, total.currency, sign=True)
            flattened = money_text(total.flattened, total.currency, sign=True, named=False)
            detail = f"at the run's last prices; {flattened} if flattened now"
            tiles.append((f"All of it, about, in {total.currency}", net, detail, _mood(total.net)))
        tiles += [
            (
                "Opportunities",
                number_text(opportunities.count),
                f"worth {moneys_text(opportunities.peak_value)} at their peaks",
                "",
            ),
            (
                "Captured",
                f"{number_text(opportunities.captured)} ({percent_text(opportunities.capture_rate)})",
                f"{number_text(opportunities.attempted)} attempted",
                "",
            ),
            (
                "Lasted, median",
                duration_text(opportunities.duration_median_ns),
                f"90 % within {duration_text(opportunities.duration_p90_ns)}, "
                f"longest {duration_text(opportunities.duration_max_ns)}",
                "",
            ),
            (
                "Trades",
                number_text(summary.trades.count),
                f"{number_text(summary.orders_sent)} orders sent, {number_text(summary.fills)} fills",
                "",
            ),
            (
                "Trades with a missed leg",
                number_text(missed.trades),
                f"cost {moneys_text(missed.cost)}" if missed.trades else "none",
                "bad" if missed.trades else "",
            ),
            (
                "Un-hedged",
                duration_text(round(summary.unhedged_seconds * 1e9)),
                "sum over all trades of one leg ahead of the other",
                "",
            ),
            (
                "Orders vetoed",
                number_text(sum(summary.orders_vetoed.values())),
                counts_text(summary.orders_vetoed),
                "",
            ),
        ]
        self.page.tiles(tiles)

    def _spreads(self) -> None:
        self.page.section(
            "Spread and trades",
            "Each pair as a market of its own: its bid is what selling the first named and buying the second gives, "
            "its ask what the reverse costs, in bps of the second one's price. Triangles are trades at their average "
            "fill prices; hollow red ones missed a leg.",
        )
        if not self.pairs:
            self.page.note("No two instruments of one underlying were configured.")
        bought, sold = trade_prices(self.fills, self.trades)
        for pair in self.pairs:
            first, second = (self.instruments[index] for index in pair)
            title = f"{second.name} against {first.name}"
            markers = self._markers(pair, bought, sold)
            levels = (first.taker_fee_e9 + second.taker_fee_e9) / 1e5, "taker fees of both legs"
            if self.summary.threshold_bps is not None:
                levels = levels[0] + self.summary.threshold_bps, "fees and threshold"
            bid, ask = self.lines.spread_bid[pair].points(), self.lines.spread_ask[pair].points()
            self.page.figure(title, plots.spread_figure(bid, ask, markers, levels, "the spread", self.range_ns))
        undrawn = int(np.count_nonzero(np.isnan(bought) | np.isnan(sold)))
        if undrawn:
            self.page.note(
                f"{number_text(undrawn)} trades were not filled on both of their instruments; they have no mark."
            )

    def _markers(self, pair: Pair, bought: Values, sold: Values) -> list[plots.Trace]:
        trades = self.trades
        traces = []
        for buys_spread in (False, True):
            buy, sell = (pair[1], pair[0]) if buys_spread else pair
            own = (trades["buy_instrument"] == buy) & (trades["sell_instrument"] == sell)
            own &= ~np.isnan(bought) & ~np.isnan(sold)
            reference, other = (sold, bought) if buys_spread else (bought, sold)
            bps = np.divide(other - reference, reference, out=np.full(len(bought), np.nan), where=own) * 1e4
            room = MARKERS_MAX
            for missed in (True, False):
                places = np.flatnonzero(own & (self.missed == missed))
                if len(places) > room:
                    places = places[np.linspace(0, len(places) - 1, room).astype(np.int64)]
                room -= len(places)
                if len(places):
                    name = ("bought" if buys_spread else "sold") + (", leg missed" if missed else "")
                    words = [self._trade_text(place) for place in places.tolist()]
                    starts = trades["start_ns"][places]
                    traces.append(plots.trade_markers(starts, bps[places], words, name, buys_spread, missed))
        return traces

    def _trade_text(self, place: int) -> str:
        trades = self.trades
        buy = self.instruments[trades["buy_instrument"][place]]
        size = f"{trades['intended_size'][place]:.8g} {buy.base}"
        realised = money_text(e9(int(trades["traded_value_e9"][place])), buy.quote, sign=True)
        return text(f"trade {trades['trade_id'][place]}: {size}, {trades['outcome'][place]}, traded for {realised}")

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
        offered = quotes[found["buy_instrument"]] == quote
        own = quotes[trades["buy_instrument"].astype(np.int64)] == quote
        start, end = trades["start_ns"][own], trades["end_ns"][own]
        lines = [
            self._cumulative(found["start_ns"][offered], found["peak_value"][offered], "offered at peaks", plots.QUIET),
            self._cumulative(start, trades["expected_value_e9"][own] / 1e9, "expected", plots.BUY_COLOUR),
            self._cumulative(end, trades["traded_value_e9"][own] / 1e9, "traded", plots.GOOD_COLOUR),
        ]
        return quote, lines

    def _slippage(self) -> None:
        self.page.section(
            "Slippage per leg",
            "Fill price against the price that the strategy saw and decided on; positive is worse. "
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
            "realised",
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
        self.page.section("Data quality", "A gap or a broken chain makes a book invalid until it is proven again.")
        self.page.table(
            [
                "<venue",
                "packets",
                "level updates",
                "sequence gaps",
                "continuity breaks",
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
                    number_text(venue.duplicates),
                    number_text(venue.definition_mismatches),
                    counts_text(venue.rejects),
                    counts_text(venue.counters),
                )
                for name, venue in self.summary.venues.items()
            ],
        )

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


def _mood(amount: Any) -> str:
    return "good" if amount > 0 else "bad" if amount < 0 else ""
