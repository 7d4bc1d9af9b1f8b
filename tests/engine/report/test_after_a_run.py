"""What is asked of runs afterwards: one moment of one, two beside each other, one at several latencies."""

import json
import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.config import ConfigError
from crosswire.engine.latency_sweep import parse_latencies, with_order_latency
from crosswire.engine.report.compare import compare_runs
from crosswire.engine.report.parameters import parameter_rows, read_config, thresholds_bps
from crosswire.engine.report.rows import Rows
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from tests.engine.report.conftest import SLOW_US
from tests.support.command import ask
from tests.support.paths import ROOT


def books_in(lines: list[str]) -> dict[str, list[str]]:
    """The lines under each heading of books."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in lines:
        if not line.startswith(" "):
            heading = line if line.startswith("books ") else ""
        elif heading:
            found.setdefault(heading.removeprefix("books ").split(",")[0], []).append(line.strip())
    return found


def test_a_trade_is_shown_with_the_very_books_that_it_was_decided_on(finished: Path) -> None:
    trade = Rows(finished).find("trade", 1).row
    code, lines, _ = ask("show", finished, "trade", 1)
    assert code == 0
    books = books_in(lines)
    assert list(books) == ["just before", "at its start", "at its end"]
    at_start = books["at its start"]
    infos = {info.name: info for info in Rows(finished).summary.definitions}
    for name, key, side in ((trade["buy"], "first_buy_ticks", 1), (trade["sell"], "first_sell_ticks", 0)):
        place = next(place for place, line in enumerate(at_start) if line.startswith(name))
        best = at_start[place + 1].split("|")[side].split()
        price = best[0] if side else best[1]
        assert float(price) == trade[key] * infos[name].tick_e9 / 1e9
    assert sum(line.startswith("order ") for line in lines) >= 2
    assert any("trigger received" in line and "acknowledged after" in line for line in lines)
    assert sum(line.startswith("messages of ") for line in lines) == 4


def test_an_opportunity_and_an_order_are_shown_and_an_order_by_its_id_too(finished: Path) -> None:
    code, lines, _ = ask("show", finished, "opportunity", 1)
    assert (code, lines[0]) == (0, "opportunity 1")
    assert "at its start" in books_in(lines)
    order = Rows(finished).find("order", 3)
    _, by_row, _ = ask("show", finished, "order", 3)
    _, by_id, _ = ask("show", finished, "order", order.row["client_order_id"])
    assert by_row == by_id


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trade", 0), "trade 0: there is none"),
        (("trade", 10**9), "counted from 1"),
        (("fill", 1), "fill: must be one of opportunity, trade, order"),
        (("trade", 1, "--capture", "nowhere=x"), "--capture nowhere: the run has the venues deribit, bridge"),
        (("trade", 1, "--capture", "deribit"), "--capture deribit: must be VENUE=FILE"),
    ],
)
def test_what_can_not_be_shown_is_said_in_one_line(finished: Path, words: tuple[object, ...], said: str) -> None:
    code, _, error = ask("show", finished, *words)
    assert code == 1
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_without_captures_everything_else_is_shown(finished: Path, config: Path) -> None:
    capture = config.parent.parent / "data" / "synthetic" / "bridge.pcap"
    away = capture.rename(capture.with_suffix(".away"))
    try:
        code, lines, _ = ask("show", finished, "trade", 1)
        assert code == 0
        assert "bridge.pcap of venue bridge is not there; name it with --capture bridge=FILE" in lines[-1]
        assert any(line.startswith("order ") for line in lines)
        _, given, _ = ask("show", finished, "trade", 1, "--capture", f"bridge={away}")
    finally:
        away.rename(capture)
    assert given == ask("show", finished, "trade", 1)[1]


def test_a_run_is_the_same_as_itself(finished: Path) -> None:
    code, lines, _ = ask("compare", finished, finished)
    assert (code, lines[-1]) == (0, "no difference")


def test_runs_at_two_latencies_differ_in_what_that_makes_different(finished: Path, slower: Path) -> None:
    found = compare_runs(finished, slower)
    changed = {each.what: (each.first, each.second, each.change) for each in found.configuration}
    assert changed == {
        f"venue.{venue}.simulation.{key}": (us, SLOW_US, Decimal(SLOW_US - us))
        for venue, us in (("deribit", 200), ("bridge", 800))
        for key in ("order_latency.us", "response_latency.us")
    }
    figures = {each.what: each for each in found.figures}
    assert "digest" in figures
    assert not {"wall_s", "start_s", "level_updates_per_s"} & figures.keys()
    for each in found.figures:
        if isinstance(each.first, int) and isinstance(each.second, int):
            assert each.change == each.second - each.first
    assert found.first_order is not None
    rows = [Rows(folder).table("orders.parquet") for folder in (finished, slower)]
    ours, theirs = (sorted(each, key=lambda row: row["client_order_id"]) for each in rows)
    place = found.first_order.number - 1
    terms = ("created_ns", "side", "price_ticks", "qty_lots", "acked_ns", "closed_ns", "filled_lots", "state")
    assert [[row[name] for name in terms] for row in ours[:place]] == [
        [row[name] for name in terms] for row in theirs[:place]
    ]
    assert [ours[place][name] for name in terms] != [theirs[place][name] for name in terms]
    assert found.first_order.first is not None
    assert found.first_order.first["client_order_id"] == ours[place]["client_order_id"]
    assert {curve.currency for curve in found.curves} <= {"BTC", "USDT"}
    assert found.curves
    code, lines, _ = ask("compare", finished, slower, "--json")
    assert code == 1
    assert json.loads(lines[0])["first_order"]["number"] == found.first_order.number


def test_runs_that_lack_something_are_compared_as_far_as_they_can_be(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "orders.parquet").unlink()
    (copy / "config.toml").write_text("name = ")
    code, lines, _ = ask("compare", finished, copy)
    assert code == 1
    assert any("orders are not compared" in line for line in lines)
    shutil.copy(finished / "config.toml", copy)
    code, lines, _ = ask("compare", finished, copy)
    assert (code, lines[-1]) == (0, "no difference in what could be compared")
    (copy / "config.toml").write_text("name = ")
    code, lines, _ = ask("compare", finished, copy)
    assert any("counts as empty" in line for line in lines)
    (copy / "summary.json").write_text("{}")
    for folder, said in (
        (tmp_path / "none", "there is no such run folder"),
        (tmp_path, "has no summary.json"),
        (copy, "can't be read"),
    ):
        code, _, error = ask("compare", finished, folder)
        assert code == 2
        assert said in error
        assert len(error.strip().splitlines()) == 1


def test_a_sweep_runs_each_latency_in_a_folder_of_its_own(config: Path, slower: Path, tmp_path: Path) -> None:
    code, lines, _ = ask("latency", config, "--order-us", f"{SLOW_US},200", "-o", tmp_path, "--json")
    assert code == 0
    sweep = json.loads(lines[-1])
    assert [run["order_latency_us"] for run in sweep["runs"]] == [200, SLOW_US]
    fast, slow = (Path(run["folder"]) for run in sweep["runs"])
    assert not (tmp_path / "synthetic" / "latest").exists()  # it stays with what was asked for by its own configuration
    # The same as a run that was configured so, and the configuration that it kept says so.
    assert compare_runs(slow, slower).is_same
    assert {each.what for each in compare_runs(fast, slow).configuration} >= {
        "venue.deribit.simulation.order_latency.us"
    }
    for run in sweep["runs"]:
        summary: dict[str, Any] = json.loads((Path(run["folder"]) / "summary.json").read_text())
        assert run["net"] == pytest.approx(summary["pnl_approximation"]["net"])
        assert run["orders_sent"] == summary["orders_sent"]
    (page,) = (tmp_path / "synthetic").glob("latency-*.html")
    assert "P&amp;L against latency" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text()) == sweep


@pytest.mark.parametrize("words", ["", "a", "1,,2", "-1", "1.5", ",".join(map(str, range(65)))])
def test_what_is_no_list_of_latencies_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="whole numbers of microseconds"):
        parse_latencies(words)


def test_latencies_are_set_where_they_were_missing_and_nothing_else_is_changed() -> None:
    text = (
        "# why\n[[venue]]\nname = 'a'\n[venue.simulation]  # here\norder_latency = { model = 'constant', us = 5 }\n"
        "burst = 1\n[other]\norder_latency = 7\n"
    )
    assert with_order_latency(text, 9, "") == (
        "# why\n[[venue]]\nname = 'a'\n[venue.simulation]  # here\n"
        'order_latency = { model = "constant", us = 9 }\nresponse_latency = { model = "constant", us = 9 }\n'
        "burst = 1\n[other]\norder_latency = 7\n"
    )
    for unknown in (
        "",
        "[[venue]]\nsimulation = { order_latency = { model = 'constant', us = 5 } }\n",
        "venue = 3\n",
        "[[venue]]\n",
    ):
        with pytest.raises(ConfigError, match="can't be set"):
            with_order_latency(unknown, 9, "")


def test_parameters_are_read_from_any_configuration() -> None:
    config = read_config((ROOT / "examples" / "binance-btc.toml").read_text())
    assert thresholds_bps(config, ("spot/BTCUSDT", "usdm/BTCUSDT")) == {"threshold_bps": 2, "close_threshold_bps": -1.5}
    assert thresholds_bps(config, ("spot/BTCUSDT", "another/BTCUSDT")) == {}
    rows = parameter_rows(config, {"cross_spread": {"size_max": "base coin"}})
    assert ("cross_spread", "size_max", "0.2", "base coin") in rows
    assert ("usdm", "simulation.burst", "50", "") in rows
    assert parameter_rows(read_config("not TOML"), {}) == []


def test_a_moment_is_shown_from_a_folder_of_captures_too(finished: Path, config: Path) -> None:
    data = config.parent.parent / "data" / "synthetic"
    frames = list(read_frames([data / "bridge.pcap"]))
    parts = data / "parts"
    parts.mkdir()
    for number, part in enumerate((frames[: len(frames) // 2], frames[len(frames) // 2 :])):
        with CaptureWriter(parts / f"bridge-{number}.pcap") as writer:
            for time_ns, frame in part:
                writer.write(time_ns, frame)
    text = config.read_text().replace("bridge.pcap", "parts")
    run = run_backtest(config, config.parent / "runs", started=time.perf_counter(), with_report=False, config_text=text)
    code, lines, _ = ask("show", run, "trade", 1)
    assert code == 0
    assert books_in(lines) == books_in(ask("show", finished, "trade", 1)[1]) != {}
