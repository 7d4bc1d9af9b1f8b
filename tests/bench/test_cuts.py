"""`crosswire bench cuts`: how long a run is flat, with nothing open."""

import numpy as np

from tests.bench.cuts import flat_ns


def times(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_only_time_without_position_and_open_order_counts() -> None:
    # Two instruments bought and sold at 20 and 30 by two orders, both closed at 40; both flat again from 70 on, while
    # an order is open until 90; the last order is of 100 to 110.
    quiet = flat_ns(
        times(20, 30, 60, 70), times(0, 1, 0, 1), times(5, -5, 0, 0), times(10, 10, 50, 100), times(40, 40, 90, 110)
    )
    assert quiet == (10, 100)


def test_a_run_that_ends_with_a_position_is_never_flat_behind_its_first_fill() -> None:
    assert flat_ns(times(20, 30), times(0, 1), times(5, -5), times(10, 10), times(40, 50)) == (0, 40)


def test_a_run_without_orders_has_no_time() -> None:
    assert flat_ns(times(), times(), times(), times(), times()) == (0, 0)
