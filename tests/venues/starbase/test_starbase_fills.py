"""The table of fills that were told: what it forgets, and that it never fills up."""

import pytest

from crosswire.venues.starbase.orders.fills import FILLS_MAX, FillSet, add_fill_once

pytestmark = pytest.mark.starbase


def places(fills: FillSet) -> list[int]:
    """Places in `keys` that are found by a slot."""
    return sorted(slot - 1 for slot in fills.slots if slot != 0)


@pytest.fixture(scope="module")
def full() -> FillSet:
    """As many fills as are remembered, of one order each."""
    fills = FillSet()
    assert all(add_fill_once(fills, match, 7 * match) for match in range(FILLS_MAX))
    return fills


def copy_of(fills: FillSet) -> FillSet:
    made = FillSet()
    made.count, made.copies = fills.count, fills.copies
    for name in ("slots", "keys"):
        getattr(made, name).numpy()[:] = getattr(fills, name).numpy()
    return made


def test_as_many_as_are_remembered_are_all_known(full: FillSet) -> None:
    fills = copy_of(full)
    assert places(fills) == list(range(FILLS_MAX))
    assert not add_fill_once(fills, 0, 0)
    assert not add_fill_once(fills, FILLS_MAX - 1, 7 * (FILLS_MAX - 1))
    assert (fills.count, fills.copies) == (FILLS_MAX, 2)


def test_one_more_costs_the_oldest_alone(full: FillSet) -> None:
    fills = copy_of(full)
    assert add_fill_once(fills, FILLS_MAX, 1)
    assert not add_fill_once(fills, 1, 7)
    assert places(fills) == list(range(FILLS_MAX))
    assert add_fill_once(fills, 0, 0)
    assert not add_fill_once(fills, 2, 14)
    assert add_fill_once(fills, 1, 7)


def test_a_table_that_goes_round_stays_half_full_and_knows_the_last(full: FillSet) -> None:
    """Each one forgotten leaves an empty slot, and those that were put further on because of it are still found."""
    fills = copy_of(full)
    more = FILLS_MAX // 4
    for match in range(FILLS_MAX, FILLS_MAX + more):
        assert add_fill_once(fills, match, 7 * match)
    assert places(fills) == list(range(FILLS_MAX))
    assert not any(add_fill_once(fills, match, 7 * match) for match in range(more, FILLS_MAX + more))


def test_the_two_sides_of_a_match_are_two_fills() -> None:
    fills = FillSet()
    assert add_fill_once(fills, 5, 1)
    assert add_fill_once(fills, 5, 2)
    assert add_fill_once(fills, 6, 1)
    assert not add_fill_once(fills, 5, 2)
