"""`crosswire bench scale`: every point of it can be configured, and what is measured is what is said."""

from pathlib import Path

import pytest

from crosswire.engine.config import parse_config
from tests.bench.scale import AXES, Point, QueuePoint, config_text, shape_of

POINTS = [(axis, value) for axis, values in AXES.items() if axis != "L3 orders" for value in values]


@pytest.mark.parametrize(("axis", "value"), POINTS)
def test_every_point_is_a_configuration(axis: str, value: int, tmp_path: Path) -> None:
    shape = shape_of(axis, value)
    config = parse_config(config_text(shape), tmp_path / "run.toml")
    assert len(config.venue) == shape.venues
    assert sum(len(venue.instrument) for venue in config.venue) == shape.instruments
    assert len(config.strategies) == shape.strategies
    assert all(each.levels_max > 2 * shape.depth for venue in config.venue for each in venue.instrument)


def test_a_point_loses_no_book_and_sends_no_order(tmp_path: Path) -> None:
    point = Point("instruments", 8, tmp_path / "point" / "run.toml")
    point.write(400)
    point.measure()
    (cost_ns,) = point.costs_ns
    assert cost_ns > 0


def test_a_queue_is_as_full_as_it_is_said_to_be(tmp_path: Path) -> None:
    point = QueuePoint("L3 orders", 1_000, tmp_path / "run.toml")
    QueuePoint.rounds = 4
    point.write(0)
    assert point.queue.count == 1_000
    for _ in range(QueuePoint.rounds):
        point.measure()
    assert abs(point.queue.count - 1_000) <= 5
    assert len(point.costs_ns) == 4
