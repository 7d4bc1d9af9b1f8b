"""A book with more levels than it has room for: what it shows is right, or it says that it does not know."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from crosswire.venues.book.book import (
    NO_ASK,
    NO_BID,
    Book,
    clear_book,
    is_beyond,
    level_lots,
    make_books,
    sees_best,
    set_level,
    worse_level,
)
from crosswire.venues.book.order_queue import (
    NONE,
    OrderQueue,
    delete_order,
    find_queued,
    let_go_far_orders,
    make_order_queues,
    put_order,
)
from crosswire.venues.book.pages import LEVELS_MIN, NO_BOUND, PAGE_TICKS
from crosswire.venues.side import ASK, BID

SIDES = (BID, ASK)
EMPTY = (NO_BID, NO_ASK)
ROUGH = 40 * PAGE_TICKS  # prices further apart than a page: a level fills one


class Truth:
    """All levels, whatever there is room for; best first."""

    def __init__(self) -> None:
        self.levels = (SortedDict(lambda price: -price), SortedDict())

    def set(self, side: int, price: int, lots: int) -> None:
        if lots:
            self.levels[side][price] = lots
        else:
            self.levels[side].pop(price, None)


def shown(book: Book, side: int) -> list[tuple[int, int]]:
    """Walk what the book shows of a side, best first."""
    price = book.level_bid_ticks if side == BID else book.level_ask_ticks
    found = []
    while price != EMPTY[side]:
        found.append((price, level_lots(book, side, price)))
        price = worse_level(book, side, price)
    return found


def check(book: Book, truth: Truth) -> None:
    """What is shown is the best of all there is, in order and without a hole; an empty side is empty, or not valid."""
    for side in SIDES:
        levels = shown(book, side)
        assert levels == list(truth.levels[side].items())[: len(levels)]
        assert len(levels) == (book.bid_levels if side == BID else book.ask_levels)
        if not levels and truth.levels[side]:
            assert not sees_best(book)
        for price, _ in truth.levels[side].items()[len(levels) :]:
            assert is_beyond(book, side, price)
    assert book.pages.pages_used <= book.pages.levels_max
    assert book.pages.groups_used <= book.pages.levels_max


prices = st.one_of(st.integers(-ROUGH, ROUGH), st.integers(-300, 300).map(lambda number: number * 1000))
changes = st.tuples(st.sampled_from(SIDES), prices, st.integers(1, 9), st.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(st.lists(changes, min_size=150, max_size=400))
def test_whatever_a_full_book_shows_is_right(updates: list[tuple[int, int, int, int]]) -> None:
    book, truth = make_books(1, LEVELS_MIN)[0], Truth()
    for side, price, lots, pick in updates:
        known = truth.levels[side].keys()
        if known and pick <= 2:
            price, lots = known[(len(known) - 1) * pick // 4], 0  # the best, or one near it
        assert set_level(book, side, price, lots)
        truth.set(side, price, lots)
    check(book, truth)


@pytest.mark.parametrize("seed", range(4))
def test_a_long_drift_of_a_full_book_stays_right(seed: int) -> None:
    """The market walks through what is known; a snapshot now and then makes the book whole again."""
    draw, book, truth = random.Random(seed), make_books(1, LEVELS_MIN)[0], Truth()
    middle, let_go, blind = 0, 0, 0
    for step in range(4000):
        middle += draw.randrange(-900, 900)
        side = draw.choice(SIDES)
        away = draw.randrange(1, 60) * 500
        price, lots = middle - away if side == BID else middle + away, draw.randrange(1, 5)
        for each in [each for each in truth.levels[1 - side] if (each >= price if side == ASK else each <= price)]:
            assert set_level(book, 1 - side, each, 0)  # the two sides never cross
            truth.set(1 - side, each, 0)
        assert set_level(book, side, price, lots)
        truth.set(side, price, lots)
        blind += not sees_best(book)
        let_go += book.pages.is_cut
        if step % 40 == 0:
            check(book, truth)
        if step % 1000 == 999:
            clear_book(book)
            assert sees_best(book)
            assert book.pages.bounds[BID] == book.pages.bounds[ASK] == NO_BOUND
            for each in SIDES:
                for level in truth.levels[each].items():
                    assert set_level(book, each, *level)
            check(book, truth)
    assert let_go > 100


def test_the_side_with_fewer_levels_is_not_emptied_for_the_other() -> None:
    book = make_books(1, LEVELS_MIN)[0]
    for number in range(10):
        assert set_level(book, BID, -number * 100, 1)
    for number in range(10 * LEVELS_MIN):
        assert set_level(book, ASK, 100 + number * 100, 1)
    assert book.bid_levels == 10
    assert shown(book, ASK)[:3] == [(100, 1), (200, 1), (300, 1)]
    assert book.pages.levels_let_go == 10 * LEVELS_MIN - book.ask_levels


def test_a_book_whose_near_side_is_consumed_does_not_see_its_best_until_a_better_one_comes() -> None:
    book = make_books(1, LEVELS_MIN)[0]
    assert set_level(book, BID, 0, 1)
    for number in range(3 * LEVELS_MIN):
        assert set_level(book, ASK, 100 + number * 100, 1)
    assert sees_best(book)
    for price, _ in shown(book, ASK):
        assert sees_best(book)
        assert set_level(book, ASK, price, 0)
    assert not sees_best(book)
    assert set_level(book, ASK, 100 * 2 * LEVELS_MIN, 1)  # beyond what is known: it may not be the best
    assert not sees_best(book)
    assert set_level(book, ASK, 90, 1)
    assert sees_best(book)
    assert shown(book, ASK) == [(90, 1)]


def fill(queue: OrderQueue, book: Book, draw: random.Random, count: int) -> dict[int, tuple[int, int, int]]:
    """Put `count` orders as a feed does that lets the far ones go; all of them by id."""
    truth: dict[int, tuple[int, int, int]] = {}
    for order_id in range(1, count + 1):
        side, away, lots = draw.choice(SIDES), draw.randrange(1, 400) * 20, draw.randrange(1, 5)
        price = -away if side == BID else away
        truth[order_id] = (side, price, lots)
        while (
            not is_beyond(book, side, price) and put_order(queue, book, order_id, side, price, lots, order_id) == NONE
        ):
            assert let_go_far_orders(queue, book)
    return truth


def sums(truth: dict[int, tuple[int, int, int]]) -> Truth:
    levels = Truth()
    for side, price, lots in truth.values():
        levels.set(side, price, levels.levels[side].get(price, 0) + lots)
    return levels


@pytest.mark.parametrize(("orders", "levels"), [(1024, 64), (64, 64), (256, 128)])
def test_a_full_order_queue_lets_go_what_is_far_and_stays_right(orders: int, levels: int) -> None:
    queue: Any = make_order_queues(1, orders, levels)[0]
    book, draw = make_books(1, levels)[0], random.Random(levels)
    truth = fill(queue, book, draw, 1500)
    assert book.pages.levels_let_go > 0
    check(book, sums(truth))
    for order_id in draw.sample(sorted(truth), 700):
        side, price, _ = truth.pop(order_id)
        is_kept = find_queued(queue, order_id) != NONE
        assert is_kept == (not is_beyond(book, side, price))
        assert delete_order(queue, book, order_id) == is_kept
    check(book, sums(truth))
