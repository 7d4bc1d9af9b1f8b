"""Whole sweeps through the command line: equal to single backtests, whoever of them is killed and when.

Each needs several processes of its own, so a few sweeps serve all assertions.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.config import ConfigError
from crosswire.engine.entry_points import STRATEGY_GROUP
from crosswire.engine.report.summary import read_summary
from crosswire.engine.sweep.plan import make_plan, open_folder
from crosswire.engine.sweep.release import release_digest
from crosswire.engine.sweep.rows import Row, read_rows, row_path
from crosswire.engine.sweep.work import ReleaseError, Task, run_set
from crosswire.nic.host.process import HostError
from crosswire.nic.unit.store import store_folder
from tests.support.command import ask
from tests.support.paths import ROOT
from tests.support.short_run import two_seconds
from tests.support.third_party import found_in, offer

# Of two seconds of data; a depth of 0 is refused by the strategy when it is built.
GRID = ["--grid", "threshold_bps=0.5..2.5:0.5", "--grid", "depth=0,1,3"]
SETS, FAILING = 15, 5
WAIT_S = 120
# Units that a run needs before its loop, between its journal and its files, and only where an order was sent.
MISSING = ("look", "call-recorder_value_fills", "call-funding_read_frames_rates")


def start(
    config: Path, output: Path, *options: str, environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crosswire.engine.cli", "sweep", str(config), "-o", str(output), "--json"]
    pipe = subprocess.PIPE
    command += [*(options or ("--workers", "2")), *GRID]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | (environment or {}))


def finish(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Wait for a sweep that has failing sets; give what it printed, and what it said."""
    printed, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    return json.loads(printed), said


def wait_until(condition: Callable[[], Any]) -> Any:
    for _ in range(WAIT_S * 20):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def has_rows(output: Path, count: int) -> Callable[[], bool]:
    return lambda: len(list(output.glob("synthetic/sweep-*/rows/*.parquet"))) >= count


def children(parent: int) -> list[int]:
    """The worker processes of a sweep."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_child = int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if is_child and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def essence(rows: dict[int, Row]) -> dict[int, tuple[Any, ...]]:
    """What of the rows may not depend on who ran them and when."""
    left_out = {"worker", "wall_s", "compiled"}
    return {
        number: tuple(getattr(row, name) for name in Row.__struct_fields__ if name not in left_out)
        for number, row in rows.items()
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_seconds(tmp_path_factory.mktemp("data"), 1)


@pytest.fixture(scope="module")
def swept(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """A sweep on two workers of this machine, one of which is killed midway; some units are not compiled yet."""
    output = tmp_path_factory.mktemp("swept")
    cache = tmp_path_factory.mktemp("cache")
    if store_folder().is_dir():
        shutil.copytree(store_folder(), cache / "units")
        for name in MISSING:
            for path in (cache / "units").glob(f"{name}-*"):
                path.unlink()
    process = start(config, output, environment={"CROSSWIRE_CACHE": str(cache)})
    wait_until(has_rows(output, 2))
    os.kill(children(process.pid)[0], signal.SIGKILL)
    printed, said = finish(process)
    return printed, said, output


def test_a_worker_that_is_killed_midway_loses_nothing(swept: tuple[dict[str, Any], str, Path]) -> None:
    printed, said, _ = swept
    assert [row["number"] for row in printed["rows"]] == list(range(SETS))
    assert printed["workers_lost"] == 1
    assert "1 worker was lost: out of memory, killed by somebody, or ended by a crash" in said
    assert printed["failed"] == FAILING
    assert f"{FAILING} of {SETS} sets failed" in said


def test_failing_sets_are_named_with_their_error(swept: tuple[dict[str, Any], str, Path]) -> None:
    printed, said, _ = swept
    failed = [row for row in printed["rows"] if row["error"]]
    assert {row["settings"][1] for row in failed} == {"depth=0"}
    for row in failed:
        assert "depth" in row["error"]
        assert f"failed: set {row['number']} (threshold_bps=" in said


def test_nothing_is_compiled_twice_nor_by_sets_that_run_side_by_side(swept: tuple[dict[str, Any], str, Path]) -> None:
    printed, _, _ = swept
    assert not [name for row in printed["rows"] for name in row["compiled"]]
    assert len(set(printed["compiled"])) == len(printed["compiled"])
    assert set(printed["compiled"]) >= set(MISSING)


def test_a_set_is_what_a_backtest_with_its_settings_is(
    swept: tuple[dict[str, Any], str, Path], config: Path, tmp_path: Path
) -> None:
    printed, _, _ = swept
    digests = set()
    for row in (printed["rows"][1], printed["rows"][14]):
        folder = run_backtest(config, tmp_path, started=0.0, with_report=False, settings=row["settings"])
        summary = read_summary(folder)
        assert summary.digest == row["digest"]
        assert summary.pnl_approximation is not None
        assert float(summary.pnl_approximation.net) == row["net"]
        digests.add(row["digest"])
    assert len(digests) == 2


def test_its_pnl_series_adds_up_to_its_pnl(swept: tuple[dict[str, Any], str, Path]) -> None:
    _, _, output = swept
    rows, _ = read_rows(next(output.glob("synthetic/sweep-*")))
    traded = [row for row in rows.values() if row.fills]
    assert traded
    for row in traded:
        assert len(row.intervals) == len(row.profit) > 10
        assert sum(row.profit) == pytest.approx(float(row.net), abs=1e-6)


def test_only_the_sweeps_own_folder_is_left(swept: tuple[dict[str, Any], str, Path]) -> None:
    printed, _, output = swept
    folder = Path(printed["folder"])
    assert [each.name for each in (output / "synthetic").iterdir()] == [folder.name]
    assert {each.name for each in folder.iterdir()} == {"rows", "sweep.json", "config.toml", "report.html", "lock"}
    assert "Surfaces" in (folder / "report.html").read_text()


def test_a_sweep_that_is_killed_goes_on_and_does_a_damaged_row_again(
    swept: tuple[dict[str, Any], str, Path], config: Path, tmp_path: Path
) -> None:
    process = start(config, tmp_path)
    wait_until(has_rows(tmp_path, 4))
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    folder = next(tmp_path.glob("synthetic/sweep-*"))
    done, _ = read_rows(folder)
    good = [number for number, row in done.items() if not row.error]
    kept, damaged = row_path(folder, good[0]), row_path(folder, good[1])
    damaged.write_bytes(damaged.read_bytes()[:-100])
    before = kept.stat()
    printed, said = finish(start(config, tmp_path))
    assert f"{damaged}" in said
    assert "done again" in said
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert Path(printed["folder"]) == folder
    whole, _ = read_rows(next(swept[2].glob("synthetic/sweep-*")))
    assert essence(read_rows(folder)[0]) == essence(whole)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler with two workers, as somebody starts them by hand."""
    address_file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    processes = [
        subprocess.Popen(
            [
                *(*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
                *("--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(address_file)),
            ],
            **quiet,  # type: ignore[call-overload]
        )
    ]
    try:
        wait_until(address_file.exists)
        wait_until(lambda: address_file.read_text().endswith("}"))
        address = str(json.loads(address_file.read_text())["address"])
        for _ in range(2):
            command = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            processes.append(subprocess.Popen(command, **quiet))  # type: ignore[call-overload]
        yield address
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_workers_of_a_scheduler_give_the_same(
    swept: tuple[dict[str, Any], str, Path], config: Path, tmp_path: Path, scheduler: str
) -> None:
    printed, _ = finish(start(config, tmp_path / "out", "--scheduler", scheduler))
    assert not [name for row in printed["rows"] for name in row["compiled"]]
    own, whole = (read_rows(next(each.glob("synthetic/sweep-*")))[0] for each in (tmp_path / "out", swept[2]))
    assert essence(own) == essence(whole)


def test_a_worker_with_other_sources_refuses(config: Path) -> None:
    text = config.read_text()
    task = Task(0, (), str(config), text, text, "another", "")
    with pytest.raises(ReleaseError, match="install the same release there"):
        run_set(task)


NIBBLER = """
import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, on_book
from nibbling.amounts import STEP


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Nibbler(Strategy):
    seen: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Nibbler":
        return cls()


@on_book.register(Nibbler)
def look(strategy: Nibbler, desk: Desk, instrument: int) -> None:
    strategy.seen += STEP
"""


@pytest.mark.parametrize("use", ["nibbler", "nibbling.mine:Nibbler"])
def test_a_worker_with_another_version_of_an_installed_strategy_refuses(config: Path, tmp_path: Path, use: str) -> None:
    """By its name or by its module: what differs is a helper that the strategy's own file imports."""
    head, _, rest = config.read_text().partition("[strategy]\n")
    text = f'{head}[strategy]\nuse = "{use}"\n\n{rest[rest.index("[live]") :]}'
    versions = {}
    for step in (1, 2):
        versions[step] = tmp_path / f"version_{step}"
        package = versions[step] / "nibbling"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "mine.py").write_text(NIBBLER)
        (package / "amounts.py").write_text(f"STEP = {step}\n")
        offer(versions[step], "nibbling", {"nibbler": "nibbling.mine:Nibbler"}, STRATEGY_GROUP)

    def task_of(step: int) -> Task:
        with found_in(versions[step]):
            release_digest.cache_clear()
            return Task(0, (), str(config), text, text, release_digest(text, config), "")

    task = task_of(1)
    assert task_of(1) == task
    with found_in(versions[2]):
        release_digest.cache_clear()
        with pytest.raises(ReleaseError, match="install the same release there"):
            run_set(task)
    release_digest.cache_clear()


def test_other_data_is_another_sweep(config: Path, tmp_path: Path) -> None:
    text = config.read_text()
    captures = [tmp_path / name for name in ("a.pcap", "b.pcap")]
    for capture, original in zip(captures, sorted((config.parent / "../data/synthetic").glob("*.pcap")), strict=True):
        capture.write_bytes(original.read_bytes())
    for name, capture in zip(("bridge", "deribit"), captures, strict=True):
        text = text.replace(f"../data/synthetic/{name}.pcap", str(capture))
    path = tmp_path / "run.toml"
    plan, _ = make_plan(path, text, ["depth=1..3"], "grid", 0, 1, "net")
    data = bytearray(captures[0].read_bytes())
    data[-1] ^= 1
    captures[0].write_bytes(data)
    release_digest.cache_clear()
    # Digests of files are kept within a process, by path: a sweep looks at them once.
    from crosswire.engine.sweep import release

    release._ends_of.cache_clear()
    assert make_plan(path, text, ["depth=1..3"], "grid", 0, 1, "net")[0].digest != plan.digest


def test_no_more_sets_are_drawn_than_there_are(config: Path) -> None:
    for grid, sets in ((["depth=1..3", "size_max=0.1,0.2"], 6), (["depth=1..3", "threshold_bps=0.5..1"], 50)):
        assert make_plan(config, config.read_text(), grid, "random", 50, 1, "net")[0].sets == sets


def test_two_processes_can_not_be_at_one_sweep(config: Path, tmp_path: Path) -> None:
    plan, _ = make_plan(config, config.read_text(), ["depth=1..3"], "grid", 0, 1, "net")
    _, lock = open_folder(tmp_path, plan)
    with pytest.raises(HostError, match="another process is at this sweep"):
        open_folder(tmp_path, plan)
    os.close(lock)
    os.close(open_folder(tmp_path, plan)[1])


@pytest.mark.parametrize(
    ("grid", "method", "sets", "objective", "said"),
    [
        (["no.such.key=1..3"], "grid", 0, "net", "no"),
        (["treshold_bps=1..3"], "grid", 0, "net", "did you mean `threshold_bps`"),
        (["threshold_bps=1,x"], "grid", 0, "net", "threshold_bps = x"),
        (["limits.loss_max=1,x"], "grid", 0, "net", "loss_max"),
        (["depth=1..3"], "random", 0, "net", "--random 0: must be 1 to 5,000"),
        (["depth=1..3"], "grid", 0, "luck", "--objective luck: must be net, flattened, realised"),
    ],
)
def test_what_can_not_be_swept_is_refused_before_anything_runs(
    config: Path, grid: list[str], method: str, sets: int, objective: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        make_plan(config, config.read_text(), grid, method, sets, 1, objective)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--grid", "depth=1..3", "--bayesian", "2", "--seed", "-1"), "--seed -1: must be 0 to 4294967295"),
        (("--grid", "depth=5..1"), "--grid depth=5..1: must begin below its end"),
    ],
)
def test_what_can_not_be_swept_is_refused_before_its_data_is_made(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    config = tmp_path / "synthetic.toml"
    config.write_text((ROOT / "examples" / "synthetic.toml").read_text().replace("../data", "data"))
    status, _, errors = ask("sweep", config, *options, "-o", tmp_path / "runs")
    assert (status, errors) == (1, f"crosswire: {said}\n")
    assert [path.name for path in tmp_path.iterdir()] == [config.name]
