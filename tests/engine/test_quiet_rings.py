"""A ring that says where its next frame shows is polled when that changes, or when it said at the latest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.build.run import Run, build_run
from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.loop import Status, look_at_rings, turn_once
from crosswire.nic.memory.struct import address_of, array, u32
from crosswire.nic.rings.ring import NEVER_NS
from tests.support.paths import ROOT

QUIET = 7  # what all words hold


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run with its session timers behind it; frames are due."""
    generate_captures(tmp_path / "data" / "synthetic", seed=1, seconds=1)
    (tmp_path / "examples").mkdir()
    path = tmp_path / "examples" / "run.toml"
    path.write_text((ROOT / "examples" / "synthetic.toml").read_text())
    run = build_run(load_config(path), path)
    run.load()
    look_at_rings(run.engine)
    while run.engine.state.frames == 0:
        assert turn(run) == Status.TURNED
    yield run
    run.close()


def turn(run: Run) -> int:
    return turn_once(run.engine, run.clock)


def silence(run: Run) -> list[Any]:
    """Have every venue's ring say that it has no frame; the words that it is to be seen by."""
    words = []
    for number in range(run.engine.venue_count):
        watch = run.engine.venues[number].watch
        words.append(array(u32, 1))
        words[-1][0] = QUIET
        watch.until_ns, watch.address, watch.value = NEVER_NS, address_of(words[-1]), QUIET
    return words


def next_due(run: Run) -> int:
    venues = run.engine.venues
    return min(range(run.engine.venue_count), key=lambda number: venues[number].due_ns)


def test_a_quiet_ring_is_left_alone(run: Run) -> None:
    frames, words = run.engine.state.frames, silence(run)
    for _ in range(5):
        assert turn(run) == Status.TURNED
        assert run.engine.venues[next_due(run)].due_ns <= run.engine.state.now_ns
    assert run.engine.state.frames == frames
    words[next_due(run)][0] = QUIET + 1
    assert turn(run) == Status.TURNED
    assert run.engine.state.frames == frames + 1


def test_a_quiet_ring_is_polled_when_its_time_has_come(run: Run) -> None:
    frames, words = run.engine.state.frames, silence(run)
    turn(run)
    watch = run.engine.venues[next_due(run)].watch
    watch.until_ns = run.engine.state.now_ns + 1
    turn(run)
    assert run.engine.state.frames == frames
    watch.until_ns = run.engine.state.now_ns
    turn(run)
    assert run.engine.state.frames == frames + 1
    assert all(word[0] == QUIET for word in words)


def test_a_ring_that_shows_nothing_is_always_polled(run: Run) -> None:
    """As those of a replay, whose frames are all there from the start: a word that it does not have is forgotten."""
    silence(run)
    look_at_rings(run.engine)
    assert [run.engine.venues[number].watch.until_ns for number in range(run.engine.venue_count)] == [0, 0]
    frames = run.engine.state.frames
    turn(run)
    assert run.engine.state.frames > frames
