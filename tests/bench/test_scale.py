"""`crosswire bench scale`: every point of it can be configured, and what is measured is what is said."""

from pathlib import Path

import pytest

from crosswire.engine.config import parse_config
from tests.bench.scale import AXES, SHORT, Point, QueuePoint, config_text, shape_of

POINTS = [(axis, value) for axis, values in AXES.items() if axis != "L3 orders" for value in values]


@pytest.mark.parametrize(("axis", "value"), POINTS)
def test_every_point_is_a_configuration(axis: str, value: int, tmp_path: Path) -> None:
    shape = shape_of(axis, value)
    config = parse_config(config_text(shape), tmp_path / "run.toml")
    assert len(config.venue) == shape.venues
    assert sum(len(venue.instrument) for venue in config.venue) == shape.instruments
    assert len(config.strategies) == shape.strategies
    assert all(each.levels_max > 2 * shape.depth for venue in config.venue for each in venue.instrument)


def test_both_runs_of_a_point_begin_alike_and_one_has_ten_times_the_frames(tmp_path: Path) -> None:
    point = Point("instruments", 8, tmp_path / "point" / "run.toml")
    point.write(400)
    opening = 8 * 2 + 2  # a definition and a snapshot each, and each venue's answer to the logon
    for path, frames in ((point.config, 400), (point.config.parent / SHORT / "run.toml", 40)):
        spent_ns, seen = point.run(path)
        assert seen == opening + frames
        assert spent_ns > 0


def test_a_cost_is_what_the_longer_run_takes_beyond_the_shorter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = Point("instruments", 8, tmp_path / "run.toml")
    seen = {SHORT: (5_000, 50), tmp_path.name: (14_000, 140)}
    monkeypatch.setattr(Point, "run", lambda _point, path: seen[path.parent.name])
    point.measure()
    assert point.costs_ns == [100.0]


def test_a_queue_is_as_full_as_it_is_said_to_be(tmp_path: Path) -> None:
    point = QueuePoint("L3 orders", 1_000, tmp_path / "run.toml")
    QueuePoint.rounds = 4
    point.write(0)
    assert point.queue.count == 1_000
    for _ in range(QueuePoint.rounds):
        point.measure()
    assert abs(point.queue.count - 1_000) <= 5
    assert len(point.costs_ns) == 4
