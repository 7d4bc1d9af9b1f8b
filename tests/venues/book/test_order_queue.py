"""The order queue against a plain model: a dictionary of orders, sorted lists, and sums."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Array
from crosswire.venues.book.book import Book, level_lots, make_books
from crosswire.venues.book.order_queue import (
    EMPTY_LEVELS_KEPT,
    LOTS_MAX,
    NONE,
    QUEUE_ORDERS_MAX,
    OrderQueue,
    clear_queue,
    delete_order,
    find_queued,
    first_order,
    lots_ahead,
    make_order_queues,
    put_order,
    queued,
    reduce_order,
)
from crosswire.venues.side import ASK, BID
from tests.support.uncompiled import printed_uncompiled

pytestmark = pytest.mark.starbase
SIDES = (BID, ASK)
ORDERS = 16
LEVELS = 6


class Model:
    """Orders as a reader would keep them: id -> [side, price, lots, sort id, when it came]."""

    def __init__(self) -> None:
        self.orders: dict[int, list[int]] = {}
        self.clock = 0

    def level(self, side: int, price: int) -> list[int]:
        """Ids at a price, first in time first."""
        found = [(o[3], o[4], order_id) for order_id, o in self.orders.items() if (o[0], o[1]) == (side, price)]
        return [order_id for _, _, order_id in sorted(found)]

    def prices(self, side: int) -> set[int]:
        return {order[1] for order in self.orders.values() if order[0] == side}

    def lots(self, side: int, price: int) -> int:
        return sum(self.orders[order_id][2] for order_id in self.level(side, price))

    def put(self, order_id: int, side: int, price: int, lots: int, sort_id: int) -> bool:
        """Whether there is room; if not, the order is gone."""
        self.clock += 1
        before = self.orders.pop(order_id, None)
        if len(self.orders) == ORDERS:
            return False
        is_new_level = not self.level(side, price)
        if is_new_level and len(self.prices(BID)) + len(self.prices(ASK)) == LEVELS:
            return False
        if self.lots(side, price) + lots > LOTS_MAX:
            return False
        came = self.clock
        if before is not None and before[:2] == [side, price] and before[3] == sort_id:
            came = before[4]
        self.orders[order_id] = [side, price, lots, sort_id, came]
        return True


def assert_equal(queue: OrderQueue, book: Book, model: Model) -> None:
    assert queue.count == len(model.orders)
    assert queue.level_count == len(model.prices(BID)) + len(model.prices(ASK))
    for side, levels, best, lots in (
        (BID, book.bid_levels, book.level_bid_ticks, book.level_bid_lots),
        (ASK, book.ask_levels, book.level_ask_ticks, book.level_ask_lots),
    ):
        prices = model.prices(side)
        assert levels == len(prices)
        if prices:
            assert best == (max(prices) if side == BID else min(prices))
            assert lots == model.lots(side, best)
        for price in prices:
            ids = model.level(side, price)
            slot, ahead, before = first_order(queue, side, price), 0, NONE
            for order_id in ids:
                order = queued(queue, slot)
                assert (order.order_id, order.side, order.price_ticks) == (order_id, side, price)
                assert order.qty_lots == model.orders[order_id][2]
                assert find_queued(queue, order_id) == slot
                assert lots_ahead(queue, slot) == ahead
                assert order.previous == before
                ahead += order.qty_lots
                before, slot = slot, order.next
            assert slot == NONE
            assert level_lots(book, side, price) == ahead == model.lots(side, price)


ids = st.integers(1, 24)
prices = st.integers(-3, 4)
changes = st.one_of(
    st.tuples(
        st.just("put"), ids, st.sampled_from(SIDES), prices, st.integers(1, 9), st.one_of(ids, st.integers(1, 1000))
    ),
    st.tuples(st.just("reduce"), ids, st.integers(1, 9)),
    st.tuples(st.just("delete"), ids),
)


@pytest.fixture(scope="module")
def books() -> Array:
    return make_books(2, 64)


@pytest.fixture(scope="module")
def queues() -> Array:
    return make_order_queues(2, ORDERS, LEVELS)


def apply(queue: OrderQueue, book: Book, model: Model, change: tuple) -> None:
    kind, order_id, *content = change
    known = model.orders.get(order_id)
    if kind == "put":
        fits = model.put(order_id, *content)
        slot = put_order(queue, book, order_id, *content)
        assert (slot != NONE) == fits
        assert slot == find_queued(queue, order_id)
    elif kind == "delete":
        assert delete_order(queue, book, order_id) == (known is not None)
        model.orders.pop(order_id, None)
    elif known is None:
        assert reduce_order(queue, book, order_id, content[0]) == NONE
    else:
        known[2] = min(known[2], content[0])
        assert reduce_order(queue, book, order_id, known[2]) == find_queued(queue, order_id) != NONE


@settings(max_examples=200)
@given(st.lists(changes, max_size=80))
def test_any_changes_leave_the_queue_equal_to_the_model(queues, books, steps):
    queue, book = queues[0], books[0]
    clear_queue(queue, book)
    model = Model()
    for change in steps:
        apply(queue, book, model, change)
    assert_equal(queue, book, model)
    for order_id in range(1, 25):
        assert (find_queued(queue, order_id) != NONE) == (order_id in model.orders)
    assert queues[1].count == 0


def test_ids_that_collide_survive_each_other_being_removed():
    """1,024 ids in a table that is at most half full, removed in other orders than they came."""
    queue, book = make_order_queues(1, 1024, 8)[0], make_books(1, 64)[0]
    spread = [number * 0x10001 for number in range(1, 1025)]
    for order_id in spread:
        assert put_order(queue, book, order_id, BID, order_id % 5, 2, order_id) != NONE
    assert put_order(queue, book, 1, BID, 1, 1, 1) == NONE
    assert queue.refused == 1
    for step in (7, 5, 3, 1):
        for order_id in spread[::step]:
            delete_order(queue, book, order_id)
            assert find_queued(queue, order_id) == NONE
        left = [order_id for order_id in spread if find_queued(queue, order_id) != NONE]
        spread = [order_id for order_id in spread if order_id in left]
        assert queue.count == len(left)
    assert (queue.count, queue.level_count, book.bid_levels) == (0, 0, 0)


def test_a_changed_order_keeps_owner_and_tag_and_a_new_one_has_none():
    queue, book = make_order_queues(1, 16, 4)[0], make_books(1, 64)[0]
    slot = put_order(queue, book, 5, ASK, 10, 3, 5)
    order = queued(queue, slot)
    order.owner, order.tag = 7, 8
    assert put_order(queue, book, 5, ASK, 11, 4, 9) == slot
    assert (order.owner, order.tag, order.qty_lots, order.sort_order_id) == (7, 8, 4, 9)
    delete_order(queue, book, 5)
    other = queued(queue, put_order(queue, book, 6, ASK, 11, 4, 9))
    assert (other.owner, other.tag) == (0, 0)


def test_place_is_by_sort_id_alone():
    queue, book = make_order_queues(1, 16, 4)[0], make_books(1, 64)[0]
    for order_id, sort_id in ((1, 10), (2, 20), (3, 30), (4, 25), (5, 5)):
        put_order(queue, book, order_id, BID, 100, order_id, sort_id)
    found, slot = [], first_order(queue, BID, 100)
    while slot != NONE:
        found.append(queue.orders[slot].order_id)
        slot = queue.orders[slot].next
    assert found == [5, 1, 2, 4, 3]
    assert lots_ahead(queue, find_queued(queue, 4)) == 5 + 1 + 2
    put_order(queue, book, 1, BID, 100, 1, 40)  # loses its place
    assert lots_ahead(queue, find_queued(queue, 1)) == 5 + 2 + 4 + 3
    assert level_lots(book, BID, 100) == 15


def test_refusals_leave_book_and_queue_agreeing():
    queue, book = make_order_queues(1, 16, 2)[0], make_books(1, 64)[0]
    assert put_order(queue, book, 1, BID, 1 << 40, 5, 1) == NONE  # beyond what a book can hold
    assert put_order(queue, book, 1, BID, 10, LOTS_MAX, 1) != NONE
    assert put_order(queue, book, 2, BID, 10, 1, 2) == NONE  # the sum
    assert put_order(queue, book, 2, BID, 11, 1, 2) != NONE
    assert put_order(queue, book, 3, BID, 12, 1, 3) == NONE  # the level
    assert put_order(queue, book, 2, BID, 10, 1, 2) == NONE  # a change that is refused takes the order with it
    assert find_queued(queue, 2) == NONE
    assert (queue.count, queue.level_count, book.bid_levels, level_lots(book, BID, 10)) == (1, 1, 1, LOTS_MAX)
    assert queue.refused == 4


@pytest.mark.parametrize(("orders", "levels"), [(0, 1), (24, 8), (QUEUE_ORDERS_MAX * 2, 8), (16, 0), (16, 17)])
def test_capacities_that_can_not_be_are_refused(orders, levels):
    with pytest.raises(ValueError, match="capacity"):
        make_order_queues(1, orders, levels)


def memory_after_a_run() -> str:
    """Everything that a queue holds after many changes."""
    queue, book, model = make_order_queues(1, ORDERS, LEVELS)[0], make_books(1, 64)[0], Model()
    number = 1
    for _ in range(600):
        number = number * 48_271 % 2_147_483_647
        order_id, kind = number % 23 + 1, number // 23 % 5
        if kind < 3:
            apply(
                queue,
                book,
                model,
                ("put", order_id, number // 7 & 1, number // 11 % 5, number // 3 % 9 + 1, number % 50),
            )
        elif kind == 3:
            apply(queue, book, model, ("reduce", order_id, number // 5 % 9 + 1))
        else:
            apply(queue, book, model, ("delete", order_id))
    assert_equal(queue, book, model)
    state = hashlib.sha256()
    for table, count in (
        (queue.orders, ORDERS),
        (queue.levels, LEVELS),
        (queue.order_directory.entries, 1 << queue.order_directory.bits),
        (queue.level_directory.entries, 1 << queue.level_directory.bits),
    ):
        state.update(table.numpy(count).tobytes())
    return f"{state.hexdigest()} {queue.count} {queue.refused} {queue.walked}"


@pytest.mark.parity
def test_compiled_and_uncompiled_leave_the_same_memory():
    assert printed_uncompiled(__name__, "memory_after_a_run") == memory_after_a_run()


def test_a_market_that_drifts_keeps_few_empty_levels() -> None:
    """A level that is empty is used again at its price; one whose turn it is makes room for a new one."""
    queue, book = make_order_queues(1, 64, 64)[0], make_books(1, 64)[0]
    for price in (5, 6, 5, 6, 5):
        put_order(queue, book, 1, BID, price, 1, 1)
    assert queue.levels_fresh == 2
    for capacity, most in ((64, 64), (1024, EMPTY_LEVELS_KEPT + 2)):
        queue, book = make_order_queues(1, 1024, capacity)[0], make_books(1, 64)[0]
        for step in range(3_000):
            put_order(queue, book, step + 1, BID, step, 2, step + 1)
            assert delete_order(queue, book, step) == (step > 0)
            assert (queue.count, queue.level_count, book.bid_levels) == (1, 1, 1)
            assert (book.level_bid_ticks, book.level_bid_lots) == (step, 2)
            assert first_order(queue, BID, step - 1) == NONE
            assert first_order(queue, BID, step) == find_queued(queue, step + 1)
        assert queue.levels_fresh <= most


def test_a_listed_level_with_orders_again_is_not_taken_away() -> None:
    queue, book = make_order_queues(1, 64, 4)[0], make_books(1, 64)[0]
    for order_id, price in ((1, 10), (2, 11), (3, 12), (4, 13)):
        put_order(queue, book, order_id, ASK, price, 1, order_id)
    for order_id in (1, 2):
        delete_order(queue, book, order_id)
    put_order(queue, book, 1, ASK, 10, 3, 1)
    assert put_order(queue, book, 5, ASK, 14, 1, 5) != NONE
    assert put_order(queue, book, 6, ASK, 15, 1, 6) == NONE
    found = [(price, first_order(queue, ASK, price) != NONE) for price in range(10, 16)]
    assert found == [(10, True), (11, False), (12, True), (13, True), (14, True), (15, False)]
    assert (book.level_ask_ticks, book.level_ask_lots, book.ask_levels) == (10, 3, 4)
