"""Goal: a monitor's log has the end of each run that it watched, whenever the monitor ends itself."""

from pathlib import Path

import pytest

from crosswire.engine.monitor import watch as watching
from crosswire.engine.monitor.snapshot import Snapshot
from crosswire.engine.monitor.watch import Watch
from tests.engine.monitor.support import FakeRun, make_core

FOLDER = Path("20261129T000000Z-00000000")


@pytest.fixture
def run() -> FakeRun:
    config, core = make_core()
    return FakeRun(config, core, FOLDER)


class Watched:
    """A watch of one run, and what it has said."""

    def __init__(self, run: FakeRun, output: Path) -> None:
        self.said: list[tuple[str, str, dict[str, object]]] = []
        self.watch = Watch(output, "synthetic", lambda text, event, **fields: self.said.append((text, event, fields)))
        self.watch.snapshot, self.watch.is_alive = Snapshot(run), True  # type: ignore[arg-type]


def test_a_run_that_ends_between_two_looks_is_noted_at_the_end(run: FakeRun, tmp_path: Path) -> None:
    watched = Watched(run, tmp_path)
    watched.watch.look()
    assert watched.said == []
    run.alive = False
    watched.watch.look()  # too soon behind the other
    assert watched.said == []
    watched.watch.note_end()
    watched.watch.note_end()
    assert watched.said == [(f"run {FOLDER} has ended", "run_ended", {"run": str(FOLDER)})]
    assert not watched.watch.is_alive


def test_a_run_that_goes_on_is_not_said_to_have_ended(run: FakeRun, tmp_path: Path) -> None:
    watched = Watched(run, tmp_path)
    watched.watch.note_end()
    assert (watched.said, watched.watch.is_alive) == ([], True)


def test_a_look_says_what_it_waits_for(run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    watched = Watched(run, tmp_path)
    run.alive = False
    watched.watch.look()
    text, event, fields = watched.said[0]
    assert text == f"run {FOLDER} has ended; waiting for the next run of synthetic"
    assert (event, fields) == ("run_ended", {"run": str(FOLDER)})
