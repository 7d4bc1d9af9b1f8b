"""Latency models: by time and number, never by how often they were asked."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.latency import (
    LOAD_MAX,
    QUANTILES,
    Latency,
    Load,
    Point,
    latency_at,
    note_frame,
    set_empirical,
    set_interpolated,
    set_load,
)
from crosswire.nic.rings.ring import Frame, commit, next_time_ns, poll, release, reserve

QUANTILES_NS = [1_000_000 + 100 * place**2 for place in range(QUANTILES + 1)]


def empirical(seed: int) -> Latency:
    latency = Latency()
    set_empirical(latency, QUANTILES_NS, seed)
    return latency


def points(rows: list[tuple[int, int]]) -> Latency:
    made = Point.array(len(rows))
    for point, (time_ns, latency_ns) in zip(made, rows, strict=True):
        point.time_ns = time_ns
        point.latency_ns = latency_ns
    latency = Latency()
    set_interpolated(latency, made)
    return latency


def test_draws_have_the_distribution_that_they_are_drawn_from() -> None:
    draws = sorted(latency_at(empirical(7), 0, number) for number in range(20_000))
    for percent in (1, 10, 50, 90, 99):
        share = np.searchsorted(draws, np.quantile(QUANTILES_NS, percent / 100)) / len(draws)
        assert share == pytest.approx(percent / 100, abs=0.015)  # four deviations of 20,000 draws
    assert draws[0] >= QUANTILES_NS[0]
    assert draws[-1] <= QUANTILES_NS[-1]


def test_a_draw_is_the_numbers_own() -> None:
    """Whatever was drawn before, in whatever order; another seed draws others."""
    numbers = list(range(500))
    once = {number: latency_at(empirical(3), 0, number) for number in numbers}
    latency = empirical(3)
    random.Random(1).shuffle(numbers)
    assert {number: latency_at(latency, number, number) for number in numbers} == once
    assert [latency_at(empirical(4), 0, number) for number in range(500)] != list(once.values())


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**10)), min_size=1, max_size=20),
    st.lists(st.integers(-10, 10**12 + 10), min_size=1, max_size=30),
)
def test_interpolation_is_numpys(rows: list[tuple[int, int]], asked: list[int]) -> None:
    rows = sorted(dict(rows).items())
    latency = points(rows)
    times_ns, latencies_ns = zip(*rows, strict=True)
    for time_ns in asked:
        expected = np.interp(time_ns, times_ns, latencies_ns)
        assert latency_at(latency, time_ns, 0) == pytest.approx(expected, abs=1, rel=1e-9)


def test_of_two_points_at_one_time_the_second_begins_there() -> None:
    latency = points([(0, 10), (100, 20), (100, 50), (200, 70)])
    assert [latency_at(latency, time_ns, 0) for time_ns in (99, 100, 150)] == [19, 50, 60]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=200), st.integers(1, 100))
def test_load_is_the_frames_of_the_window(steps: list[tuple[int, bool]], window_ns: int) -> None:
    latency = Latency()
    set_load(latency, 7, Load(window_ns=window_ns))
    now_ns, frames = 0, []
    for step_ns, is_frame in steps:
        now_ns += step_ns
        if is_frame:
            note_frame(latency, now_ns)
            frames.append(now_ns)
        expected = sum(now_ns - window_ns < time_ns for time_ns in frames)
        assert latency_at(latency, now_ns, 0) == 7 * expected


def test_the_load_is_bounded() -> None:
    latency = Latency()
    set_load(latency, 1, Load(window_ns=10**9))
    for time_ns in range(LOAD_MAX + 100):
        note_frame(latency, time_ns)
    assert latency_at(latency, LOAD_MAX + 100, 0) == LOAD_MAX


def test_a_wire_keeps_the_order_of_its_frames_whatever_they_take() -> None:
    ring, frame = DelayRing(), Frame()
    set_delay_ring(ring, 1_000)
    set_interpolated(ring.latency, points([(0, 5_000), (10, 0)]).points)
    arrivals = []
    for now_ns in (0, 5, 10):
        assert reserve(ring, 60) != 0
        commit(ring, 60, now_ns)
    for _ in range(3):
        arrivals.append(next_time_ns(ring))
        assert poll(ring, frame, arrivals[-1])
        release(ring)
    assert arrivals == [6_000, 6_000, 6_000]
