"""A trace holds what the run's captures, Parquet files and journal hold: no more, no less, at the same times."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from crosswire.engine.cli import app
from crosswire.engine.config import ConfigError
from crosswire.engine.journal.show import Filter, show_records
from crosswire.engine.report.make import make_files
from crosswire.engine.report.recorder import FILLS, OPPORTUNITIES, ORDERS, TRADES
from crosswire.engine.report.summary import read_summary
from crosswire.engine.trace import window as trace_window_module
from crosswire.engine.trace.trace import make_trace
from crosswire.engine.trace.tracks import frames_of
from crosswire.engine.trace.window import open_run, parse_time, trace_window
from crosswire.nic.rings.replay import read_frames
from crosswire.risk.records import RecordKind
from tests.support.simulated_live import make_run_config, play_live

DAY_NS = 1_767_225_600_000_000_000


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run_config(tmp_path_factory.mktemp("trace"))


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    done = invoke("backtest", config, "--output", config.parent / "runs", "--no-report")
    assert done.exit_code == 0, done.output
    return next((config.parent / "runs").glob("*/latest")).resolve()


@pytest.fixture(scope="module")
def whole(run: Path) -> dict[str, Any]:
    return traced(run, run.parent / "whole.json")


def traced(run: Path, path: Path, *options: object) -> dict[str, Any]:
    done = invoke("trace", run, "-o", path, *options)
    assert done.exit_code == 0, done.output
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def rows_of(run: Path, name: str) -> list[dict[str, Any]]:
    table = pq.read_table(run / name)
    return table.select([each.name for each in table.schema if "timestamp" not in str(each.type)]).to_pylist()


def time_of(trace: dict[str, Any], event: dict[str, Any]) -> int:
    return int(trace["otherData"]["begins_ns"]) + round(event["ts"] * 1000)


def wire(trace: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    return [each for each in trace["traceEvents"] if each.get("cat") == "wire" and each["name"] in names]


def processes(trace: dict[str, Any]) -> dict[int, str]:
    return {each["pid"]: each["args"]["name"] for each in trace["traceEvents"] if each["name"] == "process_name"}


def sent_orders(run: Path) -> list[dict[str, Any]]:
    return [row for row in rows_of(run, ORDERS) if row["state"] != "vetoed"]


def test_every_frame_of_the_captures_is_there_at_its_time(config: Path, whole: dict[str, Any]) -> None:
    names = processes(whole)
    for venue in ("deribit", "bridge"):
        (capture,) = (config.parent / "data").glob(f"{venue}*")
        frames = Counter((time_ns, len(data)) for time_ns, data in read_frames([capture]))
        shown = Counter(
            (time_of(whole, each), each["args"]["bytes"])
            for each in wire(whole, "market data")
            if names[each["pid"]] == f"venue {venue}"
        )
        assert shown == frames
        assert len(frames) > 100


def test_frames_and_turns_are_those_that_the_summary_counts(run: Path, whole: dict[str, Any]) -> None:
    summary = read_summary(run)
    frames = wire(whole, "market data", "answer", "other frame")
    assert len(frames) == summary.frames
    assert all(each["dur"] == 0 and "not measured" in each["args"]["length"] for each in frames)
    assert all(str(time_of(whole, each)) == each["args"]["received_ns"] for each in frames)
    taken = [each for each in whole["traceEvents"] if each["name"].startswith("poll, parse")]
    assert len(taken) == len(frames)


def test_every_order_lives_as_long_as_its_row_says(run: Path, whole: dict[str, Any]) -> None:
    orders = sent_orders(run)
    assert len(orders) > 5
    ends: dict[int, dict[str, Any]] = defaultdict(dict)
    for each in whole["traceEvents"]:
        if each.get("cat") == "order" and each["ph"] in "be" and each["name"] != "to its acknowledgement":
            ends[each["id"]][each["ph"]] = each
    assert set(ends) == {row["client_order_id"] for row in orders}
    for row in orders:
        begun, ended = ends[row["client_order_id"]]["b"], ends[row["client_order_id"]]["e"]
        assert time_of(whole, begun) == row["created_ns"]
        assert time_of(whole, ended) == (row["closed_ns"] or read_summary(run).last_time_ns + 1)
        assert begun["args"]["qty_lots"] == row["qty_lots"]
        assert begun["args"]["clock"] == "simulated"
    assert len(wire(whole, "new order")) == len(orders)


def test_every_fill_opportunity_and_trade_is_there(run: Path, whole: dict[str, Any]) -> None:
    fills = [each for each in whole["traceEvents"] if each["name"] == "fill"]
    assert Counter((each["id"], time_of(whole, each)) for each in fills) == Counter(
        (row["client_order_id"], row["time_ns"]) for row in rows_of(run, FILLS)
    )
    for file, kind in ((OPPORTUNITIES, "opportunity"), (TRADES, "trade")):
        shown = {each["id"]: time_of(whole, each) for each in whole["traceEvents"]
                 if each.get("cat") == kind and each["ph"] == "b"}  # fmt: skip
        rows = rows_of(run, file)
        assert shown == {number: row["start_ns"] for number, row in enumerate(rows, 1)}
        assert rows


def test_arrows_go_from_the_frame_by_the_order_to_the_answer(run: Path, whole: dict[str, Any]) -> None:
    """An arrow's end is bound to the slice written just before it, at its time, on its track."""
    ends: dict[int, dict[str, Any]] = defaultdict(dict)
    before: dict[str, Any] = {}
    for each in whole["traceEvents"]:
        if each["ph"] in "stf":
            assert (before["pid"], before["tid"], before["ts"]) == (each["pid"], each["tid"], each["ts"])
            ends[each["id"]][each["ph"]] = before
        else:
            before = each
    names, tied = processes(whole), 0
    for row in sent_orders(run):
        its = ends[row["client_order_id"]]
        message = its["t"] if {"s", "t", "f"} <= set(its) else its["s" if "answer" in its["f"]["name"] else "f"]
        assert message["name"] == "new order"
        assert time_of(whole, message) == row["created_ns"]
        assert names[message["pid"]] == f"venue {row['venue']}"
        if row["trigger_ns"]:
            assert time_of(whole, its["s"]) == row["trigger_ns"]
            assert its["s"]["args"]["turn"] == message["args"]["turn"]
        if row["acked_ns"]:
            assert its["f"]["name"] == "answer"
            assert names[its["f"]["pid"]] == f"venue {row['venue']}"
            assert time_of(whole, its["f"]) + its["f"]["args"]["waited_ns"] == row["acked_ns"]
            tied += 1
    assert tied > 5


def test_slices_of_a_track_lie_in_each_other_or_apart(whole: dict[str, Any]) -> None:
    """What the format asks of a track; a reader draws anything else wrongly."""
    open_until: dict[tuple[int, int], list[int]] = defaultdict(list)
    slices = [each for each in whole["traceEvents"] if each["ph"] == "X"]
    for each in sorted(slices, key=lambda each: each["ts"]):  # stable: as a reader does
        begin, stack = round(each["ts"] * 1000), open_until[each["pid"], each["tid"]]
        while stack and stack[-1] <= begin:
            stack.pop()
        end = begin + round(each["dur"] * 1000)
        assert not stack or end <= stack[-1]
        stack.append(end)
    assert all(each["ts"] >= 0 for each in slices)


def test_each_length_says_that_it_was_measured_in_the_replay(whole: dict[str, Any]) -> None:
    long = [each for each in whole["traceEvents"] if each["ph"] == "X" and each["dur"] > 0]
    assert {each["args"]["measured"] for each in long} == {"in replay on this machine"}
    assert {each["cat"] for each in long} == {"turn", "frame", "decode", "signal", "risk", "send"}
    for each in long:
        assert 0 < each["dur"] < 1e6


def test_prices_are_those_of_the_books(run: Path, whole: dict[str, Any]) -> None:
    infos = {info.name: info for info in read_summary(run).definitions}
    last: dict[str, dict[str, float]] = {}
    rows, compared = iter(rows_of(run, OPPORTUNITIES)), 0
    row = next(rows)
    for each in sorted(whole["traceEvents"], key=lambda event: event.get("ts", -1)):
        while row is not None and each.get("ts", -1) >= 0 and time_of(whole, each) > row["start_ns"]:
            buy, sell = infos[row["buy"]], infos[row["sell"]]
            assert last[row["buy"]]["ask"] == row["first_buy_ticks"] * buy.tick_e9 / 1e9
            assert last[row["sell"]]["bid"] == row["first_sell_ticks"] * sell.tick_e9 / 1e9
            compared += 1
            row = next(rows, None)  # type: ignore[arg-type]
        if each["ph"] == "C" and each["name"].split()[0] in infos:
            last[each["name"].split()[0]] = each["args"]
    assert compared == len(rows_of(run, OPPORTUNITIES))
    held = {each["name"]: each["args"] for each in whole["traceEvents"] if each["name"].startswith("position ")}
    positions: Counter[str] = Counter()
    for fill in rows_of(run, FILLS):
        name = f"{fill['venue']}/{fill['symbol']}"
        positions[name] += (1 if fill["side"] == "buy" else -1) * fill["qty_lots"]
    for name, lots in positions.items():
        (size,) = held[f"position {name}"].values()
        assert size == lots * infos[name].lot_e9 / 1e9


def test_a_window_around_an_order_has_just_its_turns(run: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    order = sent_orders(run)[2]
    number = rows_of(run, ORDERS).index(order) + 1
    part = traced(run, tmp_path / "order.json", "--order", number, "--around", 2)
    moments = [order[name] for name in ("trigger_ns", "created_ns", "acked_ns", "closed_ns") if order[name]]
    begin, end = min(moments) - 2_000_001, max(moments) + 2_000_000  # the moment just before it counts
    frames = [each for each in wire(whole, "market data", "answer") if
              begin <= time_of(whole, each) + each["args"]["waited_ns"] <= end]  # fmt: skip
    assert len(wire(part, "market data", "answer")) == len(frames)
    assert [each["id"] for each in part["traceEvents"] if each["ph"] == "s"].count(order["client_order_id"]) == 1
    same = traced(run, tmp_path / "id.json", "--order", order["client_order_id"], "--around", 2)
    assert len(same["traceEvents"]) == len(part["traceEvents"])


def test_a_window_that_is_too_long_is_cut_and_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_window_module, "TURNS_MAX", 50)
    opened = open_run(run, None)
    cut = trace_window(opened, 0, 1 << 62)
    (warning,) = [each for each in cut.warnings if each.kind == "turns behind the trace's end"]
    assert len(cut.rows) == 50 - sum(cut.window.turns["time_ns"] == cut.until_ns)
    assert warning.count == opened.recording.rows - 50
    assert max(cut.marks["time_ns"]) < cut.until_ns


def test_a_frame_that_waited_stands_where_it_was_received(run: Path) -> None:
    """In a backtest none waits, but on kernel's stamps they do."""
    order = next(row for row in sent_orders(run) if row["trigger_ns"] == row["created_ns"])
    made = trace_window(open_run(run, None), order["created_ns"], order["created_ns"] + 1)
    made.marks["frame_time_ns"] -= 500
    frame = frames_of(made)[0]
    assert frame.time_ns == order["created_ns"] - 500
    assert frame.args["waited_ns"] == 500
    assert make_trace(made).origin_ns == frame.time_ns


def test_a_live_run_is_traced_from_its_journal_and_capture(config: Path, tmp_path: Path) -> None:
    play_live(tmp_path / "run", config)
    make_files(tmp_path / "run", with_report=False)
    trace = traced(tmp_path / "run", tmp_path / "live.json", "--capture", tmp_path / "run" / "capture")
    assert Counter(each["args"]["order"] for each in wire(trace, "new order")) == Counter(
        str(record["client_order_id"])
        for record in show_records(tmp_path / "run", Filter(kinds=frozenset({RecordKind.ORDER_SENT})))
    )
    assert len(wire(trace, "new order")) > 5
    assert sum(each["ph"] == "f" for each in trace["traceEvents"]) == len(wire(trace, "new order"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--from", "soon"], "--from soon: must be as"),
        (["--from", "00:00:01", "--to", "00:00:01"], "is not behind"),
        (["--from", "00:01:00", "--to", "00:02:00"], "no turn from"),
        (["--order", "99999"], "there is none"),
        (["--order", "1", "--trade", "1"], "give one of"),
        (["--capture", "."], "is a live run's"),
    ],
)
def test_what_can_not_be_traced_is_said_in_one_line(run: Path, tmp_path: Path, options: list[str], line: str) -> None:
    done = invoke("trace", run, "-o", tmp_path / "t.json", *options)
    assert done.exit_code == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1767225600000000007", DAY_NS + 7),
        ("00:00:01.5", DAY_NS + 1_500_000_000),
        ("2026-01-01T00:00:01.000000001Z", DAY_NS + 1_000_000_001),
        ("2026-01-01 00:01", DAY_NS + 60_000_000_000),
    ],
)
def test_times_are_read_to_the_ns(text: str, time_ns: int) -> None:
    assert parse_time(text, "--from", DAY_NS + 3_600_000_000_000) == time_ns


@pytest.mark.parametrize("text", ["", "1.5", "24:00:00", "2026-02-30T00:00:00", "00:00:00.0000000001"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be as"):
        parse_time(text, "--to", DAY_NS)
