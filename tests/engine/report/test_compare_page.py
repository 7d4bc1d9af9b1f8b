"""The page that two runs are compared on, and restarts of a feed on the console and the page."""

import base64
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet
import pytest
from rich.console import Console

from crosswire.engine.report.console import print_summary
from crosswire.engine.report.report import write_report
from crosswire.engine.report.summary import VenueFacts, read_summary
from tests.support.command import ask
from tests.support.synthetic_run import SyntheticRun


def figures_of(page: str) -> dict[str, Any]:
    """A page's figures by their titles."""
    figures = json.loads(page.split("id='figures'>")[1].split("</script>")[0])
    parts = page.split("<h3>")[1:]
    return {part.split("</h3>")[0]: figures[part.split("id='")[1].split("'")[0]] for part in parts}


def values(data: dict[str, str]) -> np.ndarray:
    """Numbers of a trace."""
    return np.frombuffer(base64.b64decode(data["bdata"]), "<" + data["dtype"]).astype(np.float64)


def test_curves_of_both_runs_are_on_one_plot_and_are_the_runs_own(finished: Path, slower: Path, tmp_path: Path) -> None:
    code, lines, _ = ask("compare", finished, slower, "--page", tmp_path / "page.html")
    assert (code, lines[-1]) == (1, f"page: {tmp_path / 'page.html'}")
    page = (tmp_path / "page.html").read_text()
    figures = figures_of(page)
    assert figures.keys() == {f"{what}{each}" for what in ("P&amp;L in ", "B less A, in ") for each in ("BTC", "USDT")}
    for figure in figures.values():
        go.Figure(figure)
    for currency in ("BTC", "USDT"):
        traces = figures[f"P&amp;L in {currency}"]["data"]
        assert [trace["name"] for trace in traces] == ["A", "B"]
        for trace, run in zip(traces, (finished, slower), strict=True):
            rows = pyarrow.parquet.read_table(run / "positions.parquet").select(
                ["time_ns", "instrument", "currency", "cash_e9", "value_e9", "fees_e9"]
            )
            last: dict[int, int] = {}
            marked: dict[int, int] = {}
            for row in rows.to_pylist():
                if row["currency"] == currency:
                    last[row["instrument"]] = row["cash_e9"] + row["value_e9"] - row["fees_e9"]
                    marked[row["time_ns"]] = sum(last.values())
            drawn = values(trace["y"])
            assert drawn[-1] == pytest.approx(float(read_summary(run).pnl[currency].net), abs=1e-4)
            assert drawn.min() == pytest.approx(min(marked.values()) / 1e9, abs=1e-4)
            assert drawn.max() == pytest.approx(max(marked.values()) / 1e9, abs=1e-4)
        apart = values(figures[f"B less A, in {currency}"]["data"][0]["y"])
        assert apart[-1] == pytest.approx(values(traces[1]["y"])[-1] - values(traces[0]["y"])[-1], abs=1e-4)
    for differs in json.loads(ask("compare", finished, slower, "--json")[1][0])["configuration"]:
        assert f"<td class='text'>{differs['what']}</td>" in page
    assert "src=" not in page.split("<script>")[0]


def test_a_page_is_written_only_where_there_is_something_to_see(finished: Path, slower: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert ask("compare", finished, finished, "--page", page)[0] == 0
    assert ask("compare", finished, slower, "--page", page, "--json")[0] == 1
    assert not page.exists()
    code, lines, _ = ask("compare", finished, slower)
    beside = slower.parent / f"compare-{finished.name}-{slower.name}.html"
    assert (code, lines[-1], beside.is_file()) == (1, f"page: {beside}", True)
    code, _, error = ask("compare", finished, slower, "--page", tmp_path / "none" / "page.html")
    assert (code, len(error.splitlines())) == (2, 1)


def test_restarts_of_a_feed_are_on_the_console_and_on_the_page(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.play(20)
    summary = run.finish(venues={"deribit": VenueFacts(packets=9, restarts=37), "binance": VenueFacts(packets=8)})
    written = StringIO()
    print_summary(summary, Console(file=written, width=100, color_system=None))
    printed = [line.split() for line in written.getvalue().splitlines() if line.startswith("Data ")]
    assert [("37" in line, line[line.index("restarts,") - 1]) for line in printed] == [(True, "37"), (False, "0")]
    page = write_report(run.recorder.directory).read_text()
    table = page.split("Data quality</h2>")[1].split("<h2>")[0]
    heads = [cell.split(">")[1].split("<")[0] for cell in table.split("<th ")[1:]]
    rows = [[cell.split(">")[1].split("<")[0] for cell in row.split("<td ")[1:]] for row in table.split("<tr")[2:]]
    assert [row[heads.index("restarts")] for row in rows] == ["37", "0"]
