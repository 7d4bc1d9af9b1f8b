"""The judge of the whole line sees what is wrong, and compares nothing that was not proven."""

import pytest

from crosswire.venues.side import BUY, SELL
from tests.support.whole_line_judge import (
    Accounts,
    Books,
    differing,
    signed,
    whole_times_ns,
    wrong_by_id,
    wrong_by_sample,
)

BOOKS = Books(ids=[10, 12, 15, 20, 30], digests=[1, 2, 3, 4, 5], stretches=[0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        ([(10, 1), (11, 1), (12, 7)], (2, 0)),  # between 12 and 15 the book was lost: what it was at 12 is not compared
        ([(11, 2)], (1, 1)),
        ([(15, 3), (19, 3), (20, 4), (29, 5)], (4, 1)),
        ([(9, 1), (30, 5), (31, 9)], (0, 0)),  # before the first book, and behind the last: nothing says how it went on
    ],
)
def test_books_by_samples(samples: list[tuple[int, int]], found: tuple[int, int]) -> None:
    assert wrong_by_sample(BOOKS, samples) == found


def test_books_by_update_id() -> None:
    assert wrong_by_id(BOOKS, {12: 2, 15: 8, 99: 1}) == (2, 1)


def test_a_recovery_is_of_the_loss_that_follows_the_fault() -> None:
    books = Books(lost_ns=[100, 500], proven_ns=[10, 160, 700])
    assert books.recovery_ns(90, 200) == 70
    assert books.recovery_ns(110, 200) is None
    assert books.recovery_ns(450, 600) == 250


def test_sides_that_differ_are_told() -> None:
    mine, theirs = [(1, BUY, 10, 2), (2, SELL, 11, 1)], [(1, BUY, 10, 2), (3, BUY, 9, 4)]
    assert signed(mine) == 1
    assert differing(mine, theirs) == [[(2, SELL, 11, 1)], [(3, BUY, 9, 4)]]
    assert differing(mine, [*mine, mine[0]]) == [[], [mine[0], mine[0]]]
    found = Accounts()
    found.expect("same", 1, 1, 1)
    found.expect("position", 1, 1, 2)
    assert found.differences == ["position: 1 / 1 / 2"]


def test_times_of_the_bridge_s_log() -> None:
    log = "2026-11-29T14:52:54.382Z usdm orders: the account is whole\n2026-11-29T14:52:55.000Z usdm orders: STOPPED\n"
    assert whole_times_ns(log) == [1_795_963_974_382_000_000]
