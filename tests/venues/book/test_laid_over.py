"""A book that lies over another shows the changes that it is ahead by, and else what the other shows."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.venues.book.book import Book, clear_book, lay_book_over, level_lots, make_books, set_level
from crosswire.venues.book.pages import LEVELS_MIN
from crosswire.venues.side import ASK, BID
from tests.venues.book.test_book import SIDES, Model, assert_equal, assert_tops_equal, level_changes

Change = tuple[int, int, int]


def run_apart(books: list[Book], changes: list[Change], draw: random.Random, first: int) -> int:
    """Let the book above go ahead, and the one below follow it up to where it is; how often they met."""
    ahead, below = books
    ahead_model, below_model = Model(), Model()
    for book in books:
        clear_book(book)
    for change in changes[:first]:
        assert set_level(below, *change)
        below_model.set(*change)
        ahead_model.set(*change)
    lay_book_over(ahead, below)
    behind = first
    met = 0
    for number, change in enumerate(changes[first:], first):
        assert set_level(ahead, *change)
        ahead_model.set(*change)
        assert_tops_equal(ahead, ahead_model)
        assert level_lots(ahead, change[0], change[1]) == change[2]
        while behind <= number and draw.random() < 0.6:
            assert set_level(below, *changes[behind])
            below_model.set(*changes[behind])
            behind += 1
        if draw.random() < 0.05:
            assert_equal(ahead, ahead_model)
            assert_equal(below, below_model)
        if behind == number + 1 and draw.random() < 0.2:
            lay_book_over(ahead, below)
            assert_equal(ahead, ahead_model)
            met += 1
    assert_equal(ahead, ahead_model)
    assert_equal(below, below_model)
    return met


@settings(max_examples=100)
@given(st.lists(level_changes, max_size=60), st.integers(0, 60), st.integers())
def test_any_changes_above_are_seen_above(changes, first, seed):
    books = list(make_books(2, 1000))
    plain, model = [], Model()
    for side, price, size, pick in changes:
        known = model.levels[side].keys()
        if known and pick <= 2:
            price, size = known[len(known) * pick // 3], 0
        plain.append((side, price, size))
        model.set(side, price, size)
    run_apart(books, plain, random.Random(seed), first)


@pytest.mark.parametrize("spread_ticks", [1, 5, 64, 5000])
@pytest.mark.parametrize("capacity", [LEVELS_MIN, 300])
def test_long_apart_all_is_taken_over_and_nothing_is_lost(spread_ticks: int, capacity: int) -> None:
    """Prices drift through more groups than there is room for, at most 24 levels a side at a time."""
    draw = random.Random(spread_ticks)
    model, changes, drift = Model(), [], 0
    for _ in range(4000):
        drift += spread_ticks * draw.randrange(3)
        for side, price in ((BID, drift), (ASK, drift + 40 * spread_ticks)):
            changes.append((side, price, draw.randrange(1, 9)))
            model.set(*changes[-1])
            while len(model.levels[side]) > 12:
                changes.append((side, min(model.levels[side]), 0))
                model.set(*changes[-1])
    ahead, below = make_books(2, capacity)
    met = run_apart([ahead, below], changes, draw, 100)
    assert met > 10
    assert ahead.pages.levels_let_go == below.pages.levels_let_go == 0


def test_a_book_that_fills_up_above_lets_go_what_is_far() -> None:
    """Below is full; above as many other levels come as there is room for: what is shown is right up to the bound."""
    ahead, below = make_books(2, LEVELS_MIN)
    truth = Model()
    for number in range(LEVELS_MIN // 2):
        for side, sign in ((BID, -1), (ASK, 1)):
            assert set_level(below, side, sign * (1000 + 64 * number), 1)
            truth.set(side, sign * (1000 + 64 * number), 1)
    lay_book_over(ahead, below)
    for number in range(LEVELS_MIN // 2):
        assert set_level(ahead, BID, -999 + 8 * number, 2)
        truth.set(BID, -999 + 8 * number, 2)
    assert ahead.pages.below == 0
    assert ahead.pages.is_cut == 1
    for side, counted in zip(SIDES, (ahead.bid_levels, ahead.ask_levels), strict=True):
        shown = {price: level_lots(ahead, side, price) for price in truth.levels[side]}
        kept = [price for price in truth.levels[side] if shown[price]]
        assert kept == list(truth.levels[side])[: len(kept)]
        assert all(shown[price] == truth.levels[side][price] for price in kept)
        assert len(kept) == counted
    assert ahead.bid_levels + ahead.ask_levels + ahead.pages.levels_let_go == truth.count()
    assert ahead.level_bid_ticks == truth.best(BID)


def test_a_cleared_book_lies_over_nothing() -> None:
    ahead, below = make_books(2, LEVELS_MIN)
    set_level(below, BID, 10, 1)
    lay_book_over(ahead, below)
    assert level_lots(ahead, BID, 10) == 1
    clear_book(ahead)
    assert_equal(ahead, Model())
    assert level_lots(below, BID, 10) == 1
