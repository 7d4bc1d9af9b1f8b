"""The intervals that a run's P&L is kept by."""

import numpy as np
import pytest

from crosswire.engine.sweep.series import NS_PER_DAY
from crosswire.engine.sweep.work import INTERVALS_MAX, INTERVALS_NS, interval_for

MS = 1_000_000


@pytest.mark.parametrize(
    ("apart_ms", "samples", "interval_ms"),
    [(100, 200, 100), (150, 200, 200), (100, 20_000, 1000), (1000, 40 * 86_400, 1_800_000), (1, 2, 10)],
)
def test_an_interval_is_no_shorter_than_samples_are_apart_and_there_are_not_too_many(
    apart_ms: int, samples: int, interval_ms: int
) -> None:
    time_ns = NS_PER_DAY + np.arange(samples, dtype=np.int64) * apart_ms * MS
    assert interval_for(time_ns) == interval_ms * MS
    assert len(np.unique(time_ns // (interval_ms * MS))) <= INTERVALS_MAX + 1


def test_a_pause_between_captures_makes_no_interval_longer_than_the_span_needs() -> None:
    day = np.arange(100, dtype=np.int64) * 100 * MS
    assert interval_for(np.concatenate([day, NS_PER_DAY + day])) == 60_000 * MS


def test_intervals_divide_a_day() -> None:
    assert sorted(INTERVALS_NS) == INTERVALS_NS
    assert not [each for each in INTERVALS_NS if NS_PER_DAY % each]


def test_one_sample_has_an_interval() -> None:
    assert interval_for(np.array([5], np.int64)) == INTERVALS_NS[0]
