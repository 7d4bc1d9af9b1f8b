"""The book against plain models: sorted dictionaries for levels, a few lines of Python for quotes and taken sizes."""

import hashlib
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from crosswire.nic.memory.struct import Array
from crosswire.venues.book.book import (
    NO_ASK,
    NO_BID,
    Book,
    available_lots,
    best_level,
    clear_book,
    executable_lots,
    invalidate_book,
    level_lots,
    make_books,
    next_level,
    refresh_top,
    set_level,
    set_quote,
    take_level,
)
from crosswire.venues.book.pages import LEVELS_MAX, LEVELS_MIN, RANK_BITS
from crosswire.venues.book.taken import TAKEN_MAX
from crosswire.venues.side import ASK, BID
from tests.support.uncompiled import printed_uncompiled

SIDES = (BID, ASK)
NONE = (NO_BID, NO_ASK)
PRICE_END = 1 << (RANK_BITS - 1)

dense = st.integers(-70, 70)
grid = st.integers(-300, 300).map(lambda number: number * 4096)  # each price a group of its own, neighbours far away
anywhere = st.integers(-PRICE_END, PRICE_END - 1)
prices = st.one_of(dense, dense, grid, anywhere)
lots = st.one_of(st.just(0), st.integers(1, 5), st.integers(1, (1 << 62)))
# The last number: 0 removes the best level instead, 1 and 2 some other one that exists.
level_changes = st.tuples(st.sampled_from(SIDES), prices, lots, st.integers(0, 9))


class Model:
    """Levels as a reader would keep them; bids by descending price."""

    def __init__(self) -> None:
        self.levels = (SortedDict(lambda price: -price), SortedDict())

    def set(self, side: int, price: int, size: int) -> None:
        if size:
            self.levels[side][price] = size
        else:
            self.levels[side].pop(price, None)

    def count(self) -> int:
        return len(self.levels[BID]) + len(self.levels[ASK])

    def best(self, side: int) -> int:
        return self.levels[side].keys()[0] if self.levels[side] else NONE[side]


def walk(book: Book, side: int) -> list[tuple[int, int]]:
    found = []
    price = best_level(book, side)
    while price != NONE[side]:
        found.append((price, executable_lots(book, side, price)))
        price = next_level(book, side, price)
    return found


def assert_tops_equal(book: Book, model: Model) -> None:
    assert (book.level_bid_ticks, book.level_ask_ticks) == (model.best(BID), model.best(ASK))
    lots = [model.levels[side].get(model.best(side), 0) for side in SIDES]
    assert [book.level_bid_lots, book.level_ask_lots] == lots
    assert (book.bid_levels, book.ask_levels) == (len(model.levels[BID]), len(model.levels[ASK]))


def assert_equal(book: Book, model: Model) -> None:
    assert_tops_equal(book, model)
    for side in SIDES:
        assert walk(book, side) == list(model.levels[side].items())


@pytest.fixture(scope="module")
def books() -> Array:
    return make_books(2, 1000)


@settings(max_examples=100)
@given(st.lists(level_changes, max_size=60))
@example([(BID, -PRICE_END, 1, 9), (BID, PRICE_END - 1, 2, 9), (BID, 0, 0, 0), (ASK, -1, 3, 9), (ASK, 0, 4, 9)])
def test_any_updates_leave_the_book_equal_to_sorted_dictionaries(books, changes):
    book, other = books
    clear_book(book)
    model = Model()
    for side, price, size, pick in changes:
        known = model.levels[side].keys()
        if known and pick <= 2:
            price, size = known[len(known) * pick // 3], 0
        assert set_level(book, side, price, size)
        model.set(side, price, size)
        assert_tops_equal(book, model)
        assert level_lots(book, side, price) == size
    assert_equal(book, model)
    assert (other.bid_levels, other.ask_levels) == (0, 0)


def churn(book: Book, model: Model, seed: int, steps: int, price_of) -> int:
    """Random updates, as many removals as additions; returns how many the book refused."""
    draw = random.Random(seed)
    refused = 0
    for step in range(steps):
        side = draw.choice(SIDES)
        levels = model.levels[side]
        if levels and draw.random() < 0.5:
            price = draw.choice((levels.keys()[0], draw.choice(levels.keys())))
            size = draw.randrange(3)
        else:
            price, size = price_of(draw, side, step), draw.randrange(4)
        if set_level(book, side, price, size):
            model.set(side, price, size)
        else:
            refused += 1
        assert_tops_equal(book, model)
    return refused


@pytest.mark.parametrize("spread_ticks", [1, 7, 64, 5000, 3_000_000])
def test_a_long_random_run_stays_equal(spread_ticks):
    book, model = make_books(1, 4000)[0], Model()
    refused = churn(book, model, spread_ticks, 6000, lambda draw, side, step: draw.randrange(-400, 400) * spread_ticks)
    assert refused == 0
    assert_equal(book, model)


@pytest.mark.parametrize("step_ticks", [1, 3, 9, 1000])
def test_prices_that_drift_leak_nothing(step_ticks):
    """Each price is new, at most 100 levels live at a time in room for 256: what was left behind must come back."""
    book, model = make_books(1, 256)[0], Model()
    drift = 0
    for _ in range(12_000):
        drift += step_ticks
        for side, price in ((BID, drift), (ASK, drift + 50 * step_ticks)):
            assert set_level(book, side, price, 1)
            model.set(side, price, 1)
            while len(model.levels[side]) > 50:
                gone = min(model.levels[side])
                assert set_level(book, side, gone, 0)
                model.set(side, gone, 0)
        assert book.pages.pages_used <= 256
        assert book.pages.groups_used <= 256
    assert_equal(book, model)


@pytest.mark.parametrize("spread_ticks", [1, 8, 64, 4096, 262_144, 10_000_000])
def test_there_is_room_for_the_stated_levels_wherever_they_lie(spread_ticks):
    capacity = 300
    book, model = make_books(1, capacity)[0], Model()
    for number in range(capacity):
        side, price = number & 1, (number - capacity // 2) * spread_ticks
        assert set_level(book, side, price, number + 1)
        model.set(side, price, number + 1)
    assert_equal(book, model)


def test_better_prices_out_of_range_are_refused_worse_ones_let_go_and_their_removal_is_nothing():
    book = make_books(1, LEVELS_MIN)[0]
    for side, better in ((BID, 1), (ASK, -1)):
        for price in (PRICE_END, 1 << 61):
            assert not set_level(book, side, better * price - (better < 0), 1)
            assert set_level(book, side, -better * price - (better > 0), 1)
            for each in (price, -price - 1):
                assert set_level(book, side, each, 0)
                assert level_lots(book, side, each) == 0
    assert (book.bid_levels, book.ask_levels, book.pages.levels_let_go) == (0, 0, 4)


@pytest.mark.parametrize("capacity", [0, LEVELS_MAX + 1])
def test_a_capacity_that_page_numbers_can_not_count_is_refused(capacity):
    with pytest.raises(ValueError, match="level_capacity"):
        make_books(1, capacity)


def test_clear_forgets_levels_quote_and_top(books):
    book = books[0]
    clear_book(book)
    for price in range(200):
        set_level(book, BID, price, 9)
    book.valid = 1
    set_quote(book, 5, 1000, 1, 1001, 1)
    assert refresh_top(book)
    clear_book(book)
    assert_equal(book, Model())
    assert (book.valid, book.bid_ticks, book.ask_ticks, book.bid_lots, book.ask_lots) == (0, NO_BID, NO_ASK, 0, 0)
    assert set_level(book, BID, 7, 1)
    assert walk(book, BID) == [(7, 1)]


def test_invalidation_leaves_no_top_and_no_quote(books):
    book = books[0]
    clear_book(book)
    set_level(book, BID, 10, 4)
    set_quote(book, 5, 11, 1, 12, 1)
    refresh_top(book)
    book.valid = 1
    invalidate_book(book)
    assert (book.valid, book.bid_ticks, book.ask_ticks, book.bid_lots, book.ask_lots) == (0, NO_BID, NO_ASK, 0, 0)
    assert walk(book, BID) == [(10, 4)]


# Quotes -------------------------------------------------------------------------------------------------------------

near = st.integers(-6, 6)
quotes = st.tuples(near, st.integers(0, 4), near, st.integers(0, 4))


def executable(model: Model, quote: tuple[int, int, int, int] | None, side: int) -> list[tuple[int, int]]:
    """What can be executed, best first; `quote` is the overlay, or None when the levels are as fresh."""
    levels = list(model.levels[side].items())
    if quote is None:
        return levels
    price, size = quote[2 * side : 2 * side + 2]
    if size == 0:
        return []
    sign = -1 if side == BID else 1
    return [(price, size)] + [level for level in levels if sign * level[0] > sign * price]


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("level"), st.tuples(st.sampled_from(SIDES), near, st.integers(0, 3))),
            st.tuples(st.just("quote"), quotes, st.integers(-2, 2)),
        ),
        max_size=25,
    )
)
def test_a_fresher_quote_overlays_the_levels(books, messages):
    book = books[0]
    clear_book(book)
    model, quote, quote_id = Model(), None, 0
    book.update_id = 10
    top = (NO_BID, 0, NO_ASK, 0)
    for kind, content, *offset in messages:
        if kind == "level":
            set_level(book, *content)
            model.set(*content)
            book.update_id += 1
        else:
            update_id = book.update_id + offset[0]
            set_quote(book, update_id, *content)
            if update_id >= quote_id:
                quote, quote_id = content, update_id
        overlay = quote if quote_id > book.update_id else None
        expected = [executable(model, overlay, side) for side in SIDES]
        new_top = tuple(part for side in SIDES for part in (expected[side] or [(NONE[side], 0)])[0])
        assert refresh_top(book) == (new_top != top)
        top = new_top
        assert (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots) == top
        for side in SIDES:
            assert walk(book, side) == expected[side]
            sizes = dict(expected[side])
            for price in range(-8, 9):
                assert executable_lots(book, side, price) == sizes.get(price, 0)
                assert level_lots(book, side, price) == model.levels[side].get(price, 0)
                beyond = [level for level, _ in expected[side] if (level < price if side == BID else level > price)]
                assert next_level(book, side, price) == (beyond or [NONE[side]])[0]


# What the simulated exchange's own user took --------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.sampled_from(SIDES), near, st.integers(1, 5)),
            st.tuples(st.just("level"), st.sampled_from(SIDES), near, st.integers(0, 9)),
        ),
        max_size=40,
    )
)
def test_taken_lots_come_back_only_by_the_market(books, steps):
    book = books[0]
    clear_book(book)
    levels: dict[tuple[int, int], int] = {}
    taken: dict[tuple[int, int], int] = {}
    for kind, side, price, size in steps:
        key = (side, price)
        before = levels.get(key, 0)
        if kind == "take":
            available = before - taken.get(key, 0)
            assert available_lots(book, side, price) == available
            if available > 0:
                took = min(size, available)
                take_level(book, side, price, took)
                taken[key] = taken.get(key, 0) + took
            continue
        set_level(book, side, price, size)
        levels[key] = size
        remaining = min(taken.pop(key, 0), size)
        if remaining:
            taken[key] = remaining
        for side in SIDES:
            for price in range(-6, 7):
                left = levels.get((side, price), 0) - taken.get((side, price), 0)
                assert available_lots(book, side, price) == left
                assert level_lots(book, side, price) == levels.get((side, price), 0)


def test_a_fresher_quote_refills_and_forgets_like_a_level(books):
    book = books[0]
    clear_book(book)
    book.update_id = 1
    set_level(book, ASK, 100, 10)
    take_level(book, ASK, 100, 8)
    set_quote(book, 2, 99, 1, 100, 15)  # 5 more than the level had
    assert available_lots(book, ASK, 100) == 15 - 8
    set_level(book, ASK, 100, 15)  # the depth stream says the same again: no second refill
    assert available_lots(book, ASK, 100) == 15 - 8
    set_quote(book, 3, 99, 1, 100, 2)
    assert available_lots(book, ASK, 100) == 0
    set_quote(book, 4, 99, 1, 101, 5)  # the level is gone
    set_quote(book, 5, 99, 1, 100, 2)  # and a new one came
    assert available_lots(book, ASK, 100) == 2


def test_an_old_quote_says_nothing_about_what_is_taken(books):
    book = books[0]
    clear_book(book)
    book.update_id = 10
    set_level(book, BID, 100, 10)
    take_level(book, BID, 100, 8)
    set_quote(book, 9, 90, 1, 101, 1)
    assert available_lots(book, BID, 100) == 2


def test_taken_prices_are_bounded_and_the_oldest_is_dropped_and_counted(books):
    book = books[0]
    clear_book(book)
    dropped = book.taken.dropped
    for price in range(TAKEN_MAX + 2):
        set_level(book, BID, price, 10)
        take_level(book, BID, price, 4)
    assert book.taken.count == TAKEN_MAX
    assert book.taken.dropped == dropped + 2
    assert [available_lots(book, BID, price) for price in (0, 1, 2, TAKEN_MAX + 1)] == [10, 10, 6, 6]


# Both worlds ----------------------------------------------------------------------------------------------------------


def memory_after_a_run() -> str:
    """Everything that a book holds after random updates, a quote and a taken level."""
    book = make_books(1, 200)[0]
    churn(book, Model(), 3, 800, lambda draw, side, step: draw.randrange(-300, 300) * draw.choice((1, 2, 4099)) + step)
    book.update_id = 5
    set_quote(book, 6, book.level_bid_ticks, 3, book.level_ask_ticks, 4)
    refresh_top(book)
    take_level(book, BID, book.bid_ticks, 2)
    pages = book.pages
    state = hashlib.sha256()
    for table, count in (
        (pages.groups, 1 << pages.group_bits),
        (pages.nodes, 1 << pages.node_bits),
        (pages.sizes, pages.pages_fresh * 8),
        (pages.free, pages.free_count),
    ):
        state.update(table.numpy(count).tobytes())
    fields = [getattr(book, name) for name in Book.fields if name not in ("pages", "taken")]
    return (
        f"{state.hexdigest()} {bytes(book.taken).hex()} {fields} {pages.groups_used} {pages.pages_used} {pages.cursor}"
    )


@pytest.mark.parity
def test_compiled_and_uncompiled_leave_the_same_memory():
    assert printed_uncompiled(__name__, "memory_after_a_run") == memory_after_a_run()
