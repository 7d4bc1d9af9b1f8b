"""The page of a jitter measurement: holes by size, and when the larger ones came."""

from pathlib import Path

import numpy as np

from crosswire.engine.doctor.show import jitter_text
from crosswire.engine.report import plots
from crosswire.engine.report.html import Page
from crosswire.engine.report.text import duration_text
from crosswire.nic.host.doctor.jitter import HOLES_MAX, LONG_NS, SHORT_NS, Measured


def write_jitter(measured: Measured, path: Path) -> Path:
    """Write the page. OSError: it can't be written."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(jitter_page(measured), encoding="utf-8")
    return partial.replace(path)


def jitter_page(measured: Measured) -> str:
    """Draw a measurement."""
    page = Page(f"Jitter of core {measured.jitter.core}")
    page.add(f"<h1>Jitter of core {measured.jitter.core}</h1>")
    page.note(jitter_text(measured))
    page.section("Holes by size", "A thread that only reads the counter; a hole is a microsecond and more without one.")
    if not measured.buckets:
        page.note("There was none.")
        return page.render()
    page.figure("", bars(measured, [each for each in (SHORT_NS, LONG_NS) if each <= measured.jitter.longest_ns]))
    if measured.moments_ns:
        more = " (the first ones)" if len(measured.moments_ns) == HOLES_MAX else ""
        page.section("When they came", f"Holes of 5 us and more{more}: rows at one distance are a timer.")
        page.figure("", moments(measured))
    return page.render()


def bars(measured: Measured, marks_ns: list[int]) -> plots.Figure:
    """Draw the histogram, counts on a logarithmic axis: one long hole matters beside thousands of short ones."""
    figure = plots.latency_bars(measured.buckets, {}, plots.BUY_COLOUR)
    figure["layout"]["xaxis"]["title"]["text"] = "length of the hole (log scale)"
    figure["layout"]["yaxis"] |= {"type": "log", "dtick": 1}
    figure["layout"]["yaxis"]["title"]["text"] = "holes (log scale)"
    shapes, notes = [], []
    for mark_ns in marks_ns:
        at = float(np.log10(mark_ns))
        line = {"color": plots.BAD_COLOUR, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line})
        notes.append(
            {"x": at, "yref": "paper", "y": 1, "text": duration_text(mark_ns), "showarrow": False, "xanchor": "left"}
        )
    figure["layout"] |= {"shapes": shapes, "annotations": notes}
    return figure


def moments(measured: Measured) -> plots.Figure:
    """Draw the larger holes over time."""
    at_ns, lasted_ns = np.array(measured.moments_ns, np.float64).T
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": plots.array(at_ns / 1e9),
        "y": plots.array(lasted_ns / 1e3),
        "hovertemplate": "%{y:.1f} us at %{x:.6f} s<extra></extra>",
        "marker": {"color": plots.BUY_COLOUR, "size": 5},
    }
    x = plots.axis("time (s)", range=[0, measured.jitter.seconds])
    return plots.figure([trace], x, plots.axis("length (us, log scale)", type="log", dtick=1))
