"""The report's section for strategies that trade single orders, not pairs of legs: fills on the prices of the time."""

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.columns import Values
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.series import SampleLines
from crosswire.engine.report.summary import RunSummary
from crosswire.engine.report.text import number_text, percent_text

INSTRUMENTS_SHOWN = 4  # the most filled first
MARKERS_MAX = 1000  # fills of one side on one plot, an even choice

Table = dict[str, Values]


def add_fills(page: Page, summary: RunSummary, lines: SampleLines, fills: Table, range_ns: tuple[int, int]) -> None:
    """Add fills by instrument and side, and a plot of each of the most filled instruments."""
    page.section("Fills", "Each fill at its price, between the best bid and ask as sampled; hollow ones were maker.")
    rows = []
    counts = np.bincount(fills["instrument"].astype(np.int64), minlength=len(summary.definitions))
    for index in np.argsort(-counts, kind="stable").tolist():
        info, own = summary.definitions[index], fills["instrument"] == index
        for side in ("buy", "sell"):
            sided = own & (fills["side"] == side)
            count = int(np.count_nonzero(sided))
            if count:
                lots, price = fills["qty_lots"][sided].astype(np.float64), fills["price"][sided]
                maker = np.count_nonzero(fills["liquidity"][sided] == "maker") / count
                size = f"{lots.sum() * info.lot_e9 / 1e9:,.8g} {info.size_currency}"
                average = f"{np.average(price, weights=lots):,.10g}"
                rows.append((info.name, side, number_text(count), size, average, percent_text(maker)))
    page.table(["<instrument", "<side", "fills", "size", "average price", "maker"], rows)
    figures = []
    for index in [each for each in np.argsort(-counts, kind="stable").tolist() if counts[each]][:INSTRUMENTS_SHOWN]:
        info = summary.definitions[index]
        traces = [
            plots.line(*lines.bid[index].points(), "bid", plots.BID_COLOUR, width=1),
            plots.line(*lines.ask[index].points(), "ask", plots.ASK_COLOUR, width=1),
        ]
        for side in ("buy", "sell"):
            places = np.flatnonzero((fills["instrument"] == index) & (fills["side"] == side))
            if len(places) > MARKERS_MAX:
                places = places[np.linspace(0, len(places) - 1, MARKERS_MAX).astype(np.int64)]
            if len(places):
                traces.append(_marks(fills, places, side))
        title = f"price ({text(info.quote)})"
        figures.append((info.name, plots.over_time(traces, title, range_ns)))
    page.figures(figures)


def _marks(fills: Table, places: Values, side: str) -> plots.Trace:
    keys = [f"order {number}" for number in fills["client_order_id"][places].tolist()]
    words = [
        text(f"{side} {size:.8g}, {kind}")
        for size, kind in zip(fills["size"][places].tolist(), fills["liquidity"][places].tolist(), strict=True)
    ]
    hollow = (fills["liquidity"][places] == "maker").tolist()
    marks = plots.trade_markers(
        fills["time_ns"][places], fills["price"][places], words, keys, side, side == "buy", False
    )
    colour = marks["marker"]["color"]
    marks["marker"]["symbol"] = [f"{marks['marker']['symbol']}{'-open' if each else ''}" for each in hollow]
    marks["marker"]["line"] = {"width": 1.2, "color": colour}
    marks["hovertemplate"] = "%{text}<br>%{y}<br>%{x}<extra></extra>"
    return marks
