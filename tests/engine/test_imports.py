"""`crosswire import` and a configuration's recordings: what is shown of an import, kept beside it, and told later."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crosswire.engine.backtest import run_backtest
from crosswire.engine.cli import app, import_app
from crosswire.engine.config import load_config
from crosswire.engine.data import prepare_data
from crosswire.engine.imports import import_warnings, note_path, read_note
from crosswire.engine.inspect import inspect_captures
from crosswire.engine.venue_commands import add_importers
from tests.support.paths import ROOT

add_importers(import_app)

BASE_MS = 1_772_000_000_000
COINM = {"s": "BTCUSD_PERP", "ps": "BTCUSD"}


def line(at_ms: int, message: dict[str, Any]) -> str:
    return f"{(BASE_MS + at_ms) * 10**6} {json.dumps(message)}\n"


def lines(first: int, last: int, spot: bool = False, **more: Any) -> str:
    """A snapshot at 50, if the lines begin at 51, and deltas from `first` to `last`, 100 ms apart."""
    text = ""
    sides = {"bids": [["61000.0", "1"], ["60999.9", "2"]], "asks": [["61000.1", "1"]]}
    if first == 51:
        text += line(0, {"lastUpdateId": 50, **sides})
    for number in range(first, last + 1):
        at_ms = (number - 50) * 100
        ids = {"U": number, "u": number} | ({} if spot else {"pu": number - 1, "T": BASE_MS + at_ms})
        times = {"e": "depthUpdate", "E": BASE_MS + at_ms, "s": "BTCUSDT", **more}
        text += line(at_ms, {**times, **ids, "b": [["61000.0", str(number - 50)]], "a": [["61001", "0"]]})
    return text


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["import", "binance", *map(str, arguments)], env={"COLUMNS": "100"})


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A recording with a blank line and one of a list."""
    path = tmp_path / "faulty.txt"
    path.write_text(lines(51, 52) + "\n" + line(250, {"stream": "!ticker@arr", "data": []}) + lines(53, 54))
    return path


def test_json_has_every_count_and_the_warnings_in_one_form(faulty: Path, tmp_path: Path) -> None:
    result = run(faulty, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    [capture] = shown["captures"]
    assert (capture["lines"], capture["deltas"], capture["bad_lines"], capture["other_streams"]) == (7, 4, 1, 1)
    assert (capture["clock_leaps"], capture["breaks"]) == (0, 0)  # zeros, too
    assert shown["warnings"] == capture["warnings"]
    assert [(each["kind"], each["count"], each["first_place"]) for each in shown["warnings"]] == [
        ("blank lines", 1, f"{faulty}, line 4"),
        ("lines that hold a list of messages, not imported", 1, f"{faulty}, line 5"),
    ]
    assert all(each["what_to_do"] for each in shown["warnings"])


def test_the_table_has_the_main_counts_and_below_it_whatever_is_not_zero(faulty: Path, tmp_path: Path) -> None:
    result = run(faulty, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "usdm_faulty.pcap: snapshots 1, bad lines 1, other streams 1\n" in result.stdout
    assert f"warning: 1 blank lines, first at {faulty}, line 4: " in result.stdout
    good = tmp_path / "good.txt"
    good.write_text(lines(51, 54))
    result = run(good, "-o", tmp_path / "out")
    assert (result.exit_code, "warning" in result.stdout) == (0, False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--strict",), "refused by --strict: 1 blank lines, first at "),
        (("--clock-offset-ms", "soon"), "--clock-offset-ms 'soon' is neither a number nor auto"),
        (("--clock-offset-ms", "nan"), "--clock-offset-ms 'nan' is neither a number nor auto"),
        (("--clock-offset-ms", "1e9"), "more than a day"),
        (("--delay-floor-ms", "x"), "--delay-floor-ms 'x' is no number"),
        (("--market", "coinm"), "BTCUSDT is no symbol of coinm"),
    ],
)
def test_what_is_refused_is_one_line_and_writes_nothing(
    options: tuple[str, ...], reason: str, faulty: Path, tmp_path: Path
) -> None:
    result = run(faulty, "-o", tmp_path / "out", *options)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_what_there_is_already_is_not_replaced(faulty: Path, tmp_path: Path) -> None:
    assert run(faulty, "-o", tmp_path / "out").exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    result = run(faulty, "-o", tmp_path / "out", "--clock-offset-ms", "5")
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(before) == ["usdm_faulty.pcap", "usdm_faulty.pcap.import.json"]


def test_an_estimated_offset_is_shown_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "late.txt"
    path.write_text(lines(51, 99).replace(f"{BASE_MS // 1000}", f"{BASE_MS // 1000 - 2}", 0))
    behind = "".join(f"{int(each[:19]) - 2_000_000_000}{each[19:]}" for each in path.open())
    path.write_text(behind)
    result = run(path, "-o", tmp_path / "out", "--clock-offset-ms", "auto")
    assert "clock offset +2,000.000 ms (estimated, within " in result.stdout
    note = read_note(tmp_path / "out" / "usdm_late.pcap")
    assert note is not None
    assert (note.clock.offset_ns, note.clock.is_estimated, note.warnings) == (2_000_000_000, True, [])


def test_days_that_are_imported_together_are_inspected_together(tmp_path: Path) -> None:
    for name, text in (("day1", lines(51, 60)), ("day2", lines(61, 70))):
        (tmp_path / f"{name}.txt").write_text(text)
    assert run(tmp_path / "day2.txt", tmp_path / "day1.txt", "-o", tmp_path / "out").exit_code == 0
    captures = [tmp_path / "out" / f"usdm_day{n}.pcap" for n in (1, 2)]
    for part, deltas in ((captures, 20), (captures[1:], 10)):
        seen = inspect_captures(part, "bridge")
        assert (seen["messages"]["BookDelta"], seen["gaps"], seen["continuity_breaks"]) == (deltas, 0, 0)
        assert (seen["books"]["BTCUSDT"]["valid"], seen["books"]["BTCUSDT"]["bid"]) == (True, [61000.0, 20.0])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The Binance example over made-up recordings: two for spot, where the second goes on from the first."""
    made = {
        "spot1": lines(51, 60, spot=True),
        "spot2": lines(61, 70, spot=True),
        "usdm": lines(51, 60) + "\n" + lines(61, 70),
        "coinm": lines(51, 70, **COINM),
    }
    for name, text in made.items():
        (tmp_path / f"{name}.txt").write_text(text)
    text = (ROOT / "examples" / "binance-btc.toml").read_text()
    for name, example in (("spot", "spot_btcusdt"), ("usdm", "usdm_btcusdt"), ("coinm", "coinm_btcusd_perp")):
        names = ("spot1", "spot2") if name == "spot" else (name,)
        market, _, symbol = example.partition("_")
        captures = ", ".join(f'"data/{each}.pcap"' for each in names)
        recordings = ", ".join(f'"{each}.txt"' for each in names)
        text = text.replace(f'["../data/binance/{example}_20240808.pcap"]', f"[{captures}]")
        text = text.replace(f'["$CROSSWIRE_DATA/binance/{market}/{symbol}_20240808.gz"]', f"[{recordings}]")
    path = tmp_path / "run.toml"
    path.write_text(text.replace("clock_offset_ms = 1275", "clock_offset_ms = 5"))
    return path


def kinds(path: Path) -> list[tuple[str, int]]:
    return [(each.kind, each.count) for each in import_warnings(load_config(path), path)]


def test_a_configurations_recordings_are_imported_together_and_their_warnings_kept(config: Path) -> None:
    root = config.parent
    prepare_data(load_config(config), config, None)
    assert sorted(path.name for path in (root / "data").glob("*.pcap")) == [
        "coinm.pcap",
        "spot1.pcap",
        "spot2.pcap",
        "usdm.pcap",
    ]
    second = read_note(root / "data" / "spot2.pcap")
    assert second is not None
    assert (second.counts["deltas"], second.clock.offset_ns) == (10, 5_000_000)
    assert kinds(config) == [("blank lines", 1)]
    # One of two is gone: it is made again as it was, from where the other ends, which is left as it is.
    spot1, spot2 = (root / "data" / f"spot{n}.pcap" for n in (1, 2))
    before, first = spot2.read_bytes(), spot1.stat()
    spot2.unlink()
    prepare_data(load_config(config), config, None)
    assert spot2.read_bytes() == before
    assert (spot1.stat().st_mtime_ns, spot1.stat().st_ino) == (first.st_mtime_ns, first.st_ino)
    assert not [path for path in (root / "data").iterdir() if path.name.startswith(".")]


def test_another_clock_offset_than_the_configurations_is_told(config: Path) -> None:
    root = config.parent
    names = ("usdm", "coinm", "spot1", "spot2")
    assert run(*(root / f"{name}.txt" for name in names), "-o", root / "plain").exit_code == 0
    (root / "data").mkdir()
    for path in (root / "plain").iterdir():
        path.rename(root / "data" / path.name.partition("_")[2])
    prepare_data(load_config(config), config, None)
    other = "captures with another clock offset than the configuration's"
    assert kinds(config) == [(other, 1), (other, 1), ("blank lines", 1), (other, 1), (other, 1)]
    told = [str(each) for each in import_warnings(load_config(config), config)]
    assert "imported with 0 ms, clock_offset_ms is 5: remove it" in told[0]


def test_warnings_of_captures_that_a_folder_or_a_pattern_names_are_kept(config: Path) -> None:
    prepare_data(load_config(config), config, None)
    assert kinds(config) == [("blank lines", 1)]
    data = config.parent / "data"
    (data / "usdm").mkdir()
    for path in data.glob("usdm.pcap*"):
        path.rename(data / "usdm" / path.name)
    for name in ("data/usdm", "data/usdm/*.pcap"):
        text = config.read_text().replace('recordings = ["usdm.txt"]\n', "")
        named = config.with_name("named.toml")
        named.write_text(text.replace('"data/usdm.pcap"', f'"{name}"'))
        assert kinds(named) == [("blank lines", 1)]


def test_a_note_of_another_file_is_not_believed(config: Path) -> None:
    prepare_data(load_config(config), config, None)
    capture = config.parent / "data" / "usdm.pcap"
    capture.write_bytes(capture.read_bytes()[:-1])
    assert (read_note(capture), kinds(config)) == (None, [])
    for damaged in (b"{", b"", b"\xff", b"[]", b'{"recording": 1}'):
        note_path(capture).write_bytes(damaged)
        assert (read_note(capture), kinds(config)) == (None, [("notes of imports that can't be read", 1)])


@pytest.mark.slow
def test_an_imports_warnings_are_in_the_summary_of_this_backtest_and_the_next(config: Path, tmp_path: Path) -> None:
    for _ in range(2):
        folder = run_backtest(config, tmp_path / "runs", started=0.0, with_report=False)
        summary = json.loads((folder / "summary.json").read_text())
        told = [(each["kind"], each["count"], each["first_place"]) for each in summary["warnings"]]
        assert ("blank lines", 1, f"{config.parent / 'usdm.txt'}, line 12") in told
