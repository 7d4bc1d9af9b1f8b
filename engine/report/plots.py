"""The report's figures, as plotly.js reads them: plain dictionaries of traces and layout.

Built without plotly's own Python classes, whose checks would cost more than the rest of the report; the tests run the
figures through them instead. Every text is escaped by the caller (`html.escape`): plotly reads tags in labels.
"""

import base64
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from crosswire.engine.report.text import duration_text

Values = np.ndarray[Any, Any]
Figure = dict[str, Any]
Trace = dict[str, Any]

INK = "#2d3748"
QUIET = "#8a94a6"
GRID = "#e9ecf1"
ZERO = "#c9cfd9"
PAPER = "#ffffff"
VEIL = "rgba(255,255,255,0.85)"  # behind a label
BUY_COLOUR = "#2563a8"
SELL_COLOUR = "#c2570c"
BID_COLOUR = "#64748f"  # of a spread: quiet, so that the trades on it stand out
ASK_COLOUR = "#a9b5c8"
GOOD_COLOUR = "#2f7d4f"
BAD_COLOUR = "#b3261e"
# One hue for each venue, its instruments in shades of it.
VENUE_SHADES = (
    ("#4453a6", "#8a96d6", "#27306b", "#b4bce6"),
    ("#1b8a8a", "#6fc0bd", "#0d5557", "#a5dbd8"),
    ("#9a6a17", "#cfa75c", "#664509", "#e3cb9c"),
    ("#85408f", "#bd86c5", "#57235f", "#dbbade"),
    ("#5b6b2f", "#9aab67", "#3a461a", "#c5d0a3"),
)
BINS_A_DECADE = 8
LEVEL_DASHES = ("dash", "dot", "dashdot", "longdash")


def array(values: Values, dtype: str = "f8") -> dict[str, str]:
    """Encode numbers as plotly.js reads them without parsing: base64 of little-endian floats.

    "f4" is enough for drawing.
    """
    return {"dtype": dtype, "bdata": base64.b64encode(np.asarray(values, "<" + dtype).tobytes()).decode()}


def times(time_ns: Values) -> dict[str, str]:
    """Convert times for a date axis, which counts UTC milliseconds and shows UTC."""
    return array(np.asarray(time_ns, np.int64) / 1e6)


def instrument_colours(venues: Sequence[str]) -> list[str]:
    """Choose a colour for each instrument, given the venue of each."""
    hues: dict[str, int] = {}
    seen: dict[str, int] = {}
    colours = []
    for venue in venues:
        shades = VENUE_SHADES[hues.setdefault(venue, len(hues)) % len(VENUE_SHADES)]
        colours.append(shades[seen.get(venue, 0) % len(shades)])
        seen[venue] = seen.get(venue, 0) + 1
    return colours


def axis(title: str, **options: Any) -> dict[str, Any]:
    """Make an axis with a title that names its unit."""
    quiet = {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": ZERO, "automargin": True}
    return {"title": {"text": title, "font": {"size": 12, "color": QUIET}}, **quiet, **options}


def time_axis(range_ns: tuple[int, int]) -> dict[str, Any]:
    """Make a time axis over the whole run, in UTC."""
    ends = [range_ns[0] / 1e6, max(range_ns[1], range_ns[0] + 1_000_000) / 1e6]
    return axis("time (UTC)", type="date", range=ends, hoverformat="%Y-%m-%d %H:%M:%S.%L")


def figure(traces: list[Trace], x: dict[str, Any], y: dict[str, Any], height: int = 300, **layout: Any) -> Figure:
    """Draw traces in the report's common style."""
    base = {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 34, "b": 44},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 12, "color": INK},
        "hovermode": "closest",
        "showlegend": len(traces) > 1,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        "xaxis": x,
        "yaxis": y,
    }
    return {"data": traces, "layout": base | layout}


def over_time(traces: list[Trace], y_title: str, range_ns: tuple[int, int]) -> Figure:
    """Draw traces over the whole run."""
    return figure(traces, time_axis(range_ns), axis(y_title))


def line(
    time_ns: Values, values: Values, name: str, colour: str, width: float = 1.5, shape: str = "linear", **options: Any
) -> Trace:
    """Draw a line that breaks where a value is missing; `shape` "hv" draws steps."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": times(time_ns),
        "y": array(values, "f4"),
        "name": name,
        "line": {"color": colour, "width": width, "shape": shape},
        "connectgaps": False,
        **options,
    }


def points(x: Values, values: Values, name: str, colour: str) -> Trace:
    """Draw a line through points, on an axis of log10(ns)."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": array(x),
        "y": array(values),
        "name": name,
        "text": [duration_text(round(10**each)) for each in x.tolist()],
        "hovertemplate": "%{text}: %{y}<extra>" + name + "</extra>",
        "line": {"color": colour, "width": 1.6},
        "marker": {"color": colour, "size": 7},
    }


def spread_figure(
    bid: tuple[Values, Values],
    ask: tuple[Values, Values],
    markers: list[Trace],
    levels_bps: Sequence[tuple[float, str]],
    label: str,
    range_ns: tuple[int, int],
) -> Figure:
    """Draw a pair's spread as a market of its own, with its trades; beyond the levels it pays to trade."""
    traces = [
        line(*bid, f"sell {label}: bid", BID_COLOUR, width=1, hovertemplate="%{y:.2f} bps"),
        line(*ask, f"buy {label}: ask", ASK_COLOUR, width=1, hovertemplate="%{y:.2f} bps"),
        *markers,
    ]
    for place, (bps, meaning) in enumerate(levels_bps):
        traces += _level_lines(bps, f"±{bps:.2f} bps: {meaning}", LEVEL_DASHES[place % len(LEVEL_DASHES)], range_ns)
    return figure(traces, time_axis(range_ns), axis("spread (bps)"), 380)


def _level_lines(bps: float, name: str, dash: str, range_ns: tuple[int, int]) -> list[Trace]:
    """Draw a level above and below zero: it pays to sell above the one, and to buy below the other."""
    ends = np.array(range_ns)
    style = {"color": QUIET, "width": 1, "dash": dash}
    return [
        line(ends, np.array([each, each]), name, QUIET, hovertemplate="%{y:.2f} bps")
        | {"line": style, "legendgroup": name, "showlegend": each == bps}
        for each in (bps, -bps)
    ]


def peak_markers(time_ns: Values, values: Values, texts: list[str], keys: list[str], name: str, buys: bool) -> Trace:
    """Mark opportunities at their peaks by dots in the side's colour; `keys`: of what a click shows."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": times(time_ns),
        "y": array(values),
        "text": texts,
        "customdata": keys,
        "name": name,
        "hovertemplate": "%{text}<br>%{y:.2f} bps<br>%{x}<extra></extra>",
        "marker": {"symbol": "circle", "size": 5, "opacity": 0.55, "color": BUY_COLOUR if buys else SELL_COLOUR},
    }


def trade_markers(
    time_ns: Values, values: Values, texts: list[str], keys: list[str], name: str, buys: bool, missed: bool
) -> Trace:
    """Mark trades on a spread: triangles in the side's colour, hollow and red where a leg was missed."""
    colour = BUY_COLOUR if buys else SELL_COLOUR
    return {
        "type": "scatter",
        "mode": "markers",
        "x": times(time_ns),
        "y": array(values),
        "text": texts,
        "customdata": keys,
        "name": name,
        "hovertemplate": "%{text}<br>%{y:.2f} bps<br>%{x}<extra></extra>",
        "marker": {
            "symbol": "triangle-up" if buys else "triangle-down",
            "size": 10,
            "color": PAPER if missed else colour,
            "line": {"width": 1.6 if missed else 0.5, "color": BAD_COLOUR if missed else PAPER},
        },
    }


def bins_of(durations_ns: Values) -> Values:
    """Number log-spaced bins, BINS_A_DECADE to a decade of ns."""
    return np.floor(np.log10(np.maximum(durations_ns, 1)) * BINS_A_DECADE).astype(np.int64)


def duration_ticks(low: float, high: float) -> dict[str, Any]:
    """Make ticks for an axis of log10(ns): each power of ten in its own unit, 2 and 5 times it where there is room."""
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    durations = [step * 10**decade for decade in range(int(low), int(np.ceil(high)) + 1) for step in steps]
    return {"tickvals": np.log10(durations).tolist(), "ticktext": [duration_text(ns) for ns in durations]}


def duration_bars(groups: Mapping[str, tuple[Values, str]], x_title: str, y_title: str) -> Figure:
    """Draw stacked histograms of durations in ns on a log axis; `groups`: name -> (durations, colour)."""
    all_bins = np.concatenate([bins_of(durations) for durations, _ in groups.values()])
    first, last = (int(all_bins.min()), int(all_bins.max())) if len(all_bins) else (0, 0)
    bins = np.arange(first, last + 1)
    edges = [duration_text(round(10 ** (low / BINS_A_DECADE))) for low in range(first, last + 2)]
    labels = [f"{low} to {high}" for low, high in pairwise(edges)]
    traces = [
        {
            "type": "bar",
            "x": array((bins + 0.5) / BINS_A_DECADE),
            "y": array(np.bincount(bins_of(durations) - first, minlength=len(bins))),
            "width": 0.92 / BINS_A_DECADE,
            "name": name,
            "text": labels,
            "textposition": "none",
            "hovertemplate": "%{text}: %{y}<extra>" + name + "</extra>",
            "marker": {"color": colour},
        }
        for name, (durations, colour) in groups.items()
    ]
    ends = (first / BINS_A_DECADE, (last + 1) / BINS_A_DECADE)
    x = axis(x_title, range=[ends[0] - 0.05, ends[1] + 0.05], **duration_ticks(*ends))
    return figure(traces, x, axis(y_title), barmode="stack")


def latency_bars(buckets: Sequence[tuple[int, int]], marks_ns: Mapping[str, int], colour: str) -> Figure:
    """Draw a latency histogram as it was counted: one bar for each bucket, with percentiles marked."""
    upper = np.array([max(1, bound) for bound, _ in buckets], np.float64)
    right = np.log10(upper + 1)
    # A bucket begins where the one before ends; after an empty stretch it is as wide as an eighth of an octave.
    left = np.maximum(np.concatenate([[0.0], right[:-1]]), np.log10(upper * 8 / 9 + 1) if len(upper) else right)
    trace = {
        "type": "bar",
        "x": array((left + right) / 2),
        "y": array(np.array([count for _, count in buckets], np.float64)),
        "width": array((right - left) * 0.92),
        "text": [f"up to {duration_text(bound)}" for bound, _ in buckets],
        "textposition": "none",
        "hovertemplate": "%{text}: %{y}<extra></extra>",
        "marker": {"color": colour},
    }
    shapes = []
    annotations = []
    for position, (name, mark_ns) in enumerate(marks_ns.items()):
        x = float(np.log10(max(1, mark_ns)))
        line_style = {"color": QUIET, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line_style})
        annotations.append(
            {"x": x, "yref": "paper", "y": 1 - 0.09 * position, "text": f"{name} {duration_text(mark_ns)}"}
            | {"showarrow": False, "xanchor": "left", "yanchor": "top", "font": {"size": 11, "color": INK}}
            | {"bgcolor": VEIL}
        )
    ends = (float(left.min()), float(right.max())) if len(buckets) else (0.0, 1.0)
    room = 0.3 * max(ends[1] - ends[0], 0.3)
    x_axis = axis("latency (log scale)", range=[ends[0] - room / 6, ends[1] + room], **duration_ticks(*ends))
    return figure([trace], x_axis, axis("count"), 260, shapes=shapes, annotations=annotations)


def count_bars(counts: Mapping[str, int], title: str, colour: str) -> Figure:
    """Draw horizontal bars, the largest on top."""
    ordered = sorted(counts.items(), key=lambda item: item[1])
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": array(np.array([count for _, count in ordered], np.float64)),
        "y": [name for name, _ in ordered],
        "hovertemplate": "%{y}: %{x}<extra></extra>",
        "marker": {"color": colour},
    }
    return figure([trace], axis(title), axis("", type="category", ticksuffix=" "), 110 + 40 * max(1, len(counts)))


def slippage_boxes(sides: Mapping[str, list[tuple[str, Values]]]) -> Figure:
    """Draw slippage by instrument and side: boxes from 25 to 75 %, whiskers from 5 to 95 %.

    `sides`: side -> (instrument, bps).
    """
    traces = []
    rows = {name for group in sides.values() for name, _ in group}
    for side, group in sides.items():
        if not group:
            continue
        marks = np.array([np.percentile(bps, (5, 25, 50, 75, 95)) for _, bps in group])
        colour = BUY_COLOUR if side == "buy" else SELL_COLOUR
        traces.append(
            {
                "type": "box",
                "orientation": "h",
                "name": side,
                "y": [name for name, _ in group],
                "lowerfence": array(marks[:, 0]),
                "q1": array(marks[:, 1]),
                "median": array(marks[:, 2]),
                "q3": array(marks[:, 3]),
                "upperfence": array(marks[:, 4]),
                "line": {"color": colour, "width": 1.5},
                "fillcolor": colour + "33",
            }
        )
    x = axis("slippage against the decided price (bps, positive is worse)", zeroline=True)
    height = 140 + 60 * max(1, len(rows))
    return figure(traces, x, axis("", type="category", ticksuffix=" "), height, boxmode="group", showlegend=True)
