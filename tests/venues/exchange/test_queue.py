"""Queue models against a plain simulation that knows everything beforehand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.exchange.order_entry import set_queue
from crosswire.venues.exchange.queue import (
    DECREASES_MAX,
    Queue,
    QueueModel,
    QueuePlace,
    join_queue,
    see_level,
    see_trade,
    share_behind,
)
from crosswire.venues.exchange.settings import take_queue
from tests.support import queue_simulation as plain
from tests.support.queue_simulation import PlainQueue, Share

MODELS: list[tuple[str, float, Share | None]] = [
    ("risk_averse", 0, None),
    ("log", 0, plain.log),
    ("log_2", 0, plain.log_2),
    *(("power", n, plain.power(n)) for n in (1, 2, 3.5)),
    *(("power_2", n, plain.power_2(n)) for n in (1, 2, 3.5)),
    *(("power_3", n, plain.power_3(n)) for n in (1, 2, 3.5)),
]
each_model = pytest.mark.parametrize(("name", "n", "share"), MODELS)


def make_queue(name: str, n: float) -> Queue:
    return Queue(model=QueueModel[name.upper()], power=n)


def joined(shown: int, scale: float = 1.0) -> QueuePlace:
    place = QueuePlace()
    join_queue(place, shown, 0, 0, scale)
    return place


steps = st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=40)


@each_model
@given(st.integers(0, 60), steps, st.sampled_from([1.0, 0.001, 100.0]))
def test_in_order_the_models_are_the_formulas(
    name: str, n: float, share: Share | None, shown: int, steps: list[tuple[bool, int]], scale: float
) -> None:
    queue, place = make_queue(name, n), joined(shown, scale)
    expected = PlainQueue(shown, shown, share, scale)
    reached = 0
    for time_ns, (is_trade, lots) in enumerate(steps, 1):
        before = expected.reached
        if is_trade:
            expected.trade(lots)
            told = see_trade(queue, place, lots, time_ns)
            reached += told
            assert told <= lots
            # Part of a lot that reaches us is nobody's; which side of a whole lot rounding puts it is not told.
            exact = expected.reached - before
            assert math.floor(exact - 1e-6) <= told <= math.floor(exact + 1e-6)
        else:
            expected.show(lots)
            see_level(queue, place, lots, time_ns)
        assert place.front_lots == pytest.approx(expected.front, abs=1e-6)
        assert place.front_lots >= 0
    assert reached <= sum(lots for is_trade, lots in steps if is_trade)


@each_model
@given(
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=20),
)
def test_a_trade_told_after_its_change_counts_as_if_it_had_been_told_before(
    name: str, n: float, share: Share | None, shown: int, rounds: list[tuple[int, int, int, bool]]
) -> None:
    """Each round something trades, is cancelled and comes; which of trade and change is told first makes no odds.

    Where as much came as traded, nothing shows that the change was the trade's: then the two are told in order.
    """
    queue, place = make_queue(name, n), joined(shown)
    expected = PlainQueue(shown, shown, share)
    reached = 0
    for number, (traded, cancelled, came, is_late) in enumerate(rounds, 1):
        now = max(0, expected.shown - traded - cancelled) + came
        traded = min(traded, expected.shown)
        time_ns = 10 * number
        if is_late and expected.shown - now >= traded:
            see_level(queue, place, now, time_ns + 1)
            reached += see_trade(queue, place, traded, time_ns)
        else:
            reached += see_trade(queue, place, traded, time_ns)
            see_level(queue, place, now, time_ns + 1)
        expected.trade(traded)
        expected.show(now)
        assert place.front_lots == pytest.approx(expected.front, abs=1e-6)
    assert reached <= expected.reached + 1e-6
    assert reached >= expected.reached - len(rounds)


def test_a_late_trade_is_not_taken_from_the_queue_twice() -> None:
    """100 ahead; 40 trade, which the level shows first: 60 are ahead, not 20."""
    queue, place = make_queue("risk_averse", 0), joined(100)
    see_level(queue, place, 60, 5)
    assert see_trade(queue, place, 40, 5) == 0
    assert place.front_lots == 60
    # Nor by two trades of one change; what is more than it was not in it.
    see_level(queue, place, 50, 7)
    assert see_trade(queue, place, 4, 6) == see_trade(queue, place, 6, 7) == 0
    assert place.front_lots == 50
    assert see_trade(queue, place, 3, 7) == 0
    assert place.front_lots == 47


def test_a_newer_trade_is_not_explained_by_an_older_change() -> None:
    queue, place = make_queue("risk_averse", 0), joined(100)
    see_level(queue, place, 60, 5)
    assert see_trade(queue, place, 40, 6) == 0
    assert place.front_lots == 20
    see_level(queue, place, 20, 7)
    assert place.front_lots == 20


def test_a_trade_that_others_came_behind_explains_no_later_decrease() -> None:
    """40 trade and 40 come, so the level shows the same; what goes after that was cancelled."""
    queue, place = make_queue("power", 1), joined(100)
    see_level(queue, place, 100, 5)
    assert see_trade(queue, place, 40, 5) == 0
    assert (place.front_lots, place.traded_lots) == (60, 0)
    see_level(queue, place, 80, 6)
    assert place.front_lots == pytest.approx(60 - 0.6 * 20)


@pytest.mark.parametrize("between", [100, 90])
def test_a_change_made_before_a_trade_and_told_after_it_does_not_have_it(between: int) -> None:
    """40 of 100 trade at 10. What is told next was made at 8: those 40 are still to be seen, and are not cancels."""
    in_order = make_queue("power", 1), joined(100)
    see_level(*in_order, between, 8)
    assert see_trade(*in_order, 40, 10) == 0
    see_level(*in_order, between - 40, 12)
    queue, place = make_queue("power", 1), joined(100)
    assert see_trade(queue, place, 40, 10) == 0
    see_level(queue, place, between, 8)
    see_level(queue, place, between - 40, 12)
    assert place.front_lots == pytest.approx(in_order[1].front_lots)
    assert (place.traded_lots, place.front_lots) == (0, pytest.approx(between - 40))


def test_late_trades_reach_us_when_we_are_first() -> None:
    queue, place = make_queue("risk_averse", 0), joined(2)
    see_level(queue, place, 10, 3)
    see_level(queue, place, 5, 5)
    assert see_trade(queue, place, 5, 5) == 3
    assert place.front_lots == 0


def test_the_oldest_decrease_is_forgotten_first() -> None:
    queue, place = make_queue("risk_averse", 0), joined(100)
    for time_ns in range(1, DECREASES_MAX + 2):
        see_level(queue, place, 100 - time_ns, time_ns)
    assert place.count == DECREASES_MAX
    assert place.decreases[0].time_ns == 2
    shown = 100 - DECREASES_MAX - 1
    assert see_trade(queue, place, DECREASES_MAX + 1, 1) == 0
    assert place.front_lots == shown - 1  # one lot is explained by no decrease that is known


sizes = st.just(0.0) | st.floats(1e-9, 1e9)


@pytest.mark.parametrize("n", [1.0, 2.0, 50.0])
@given(sizes, sizes)
def test_shares_are_shares(n: float, front: float, back: float) -> None:
    """Also of sizes whose powers leave the numbers; at the head every cancel is behind us, at the tail none."""
    if front + back == 0:
        return
    for model in QueueModel:
        if model != QueueModel.RISK_AVERSE:
            queue = Queue(model=model, power=n)
            assert -1e-9 <= share_behind(queue, front, back) <= 1 + 1e-9
            assert share_behind(queue, 0.0, front + back) == pytest.approx(1)
            assert share_behind(queue, front + back, 0.0) == pytest.approx(0)


def test_models_are_chosen_by_name() -> None:
    for name, n in (("risk_averse", 0), ("log", 0), ("power", 3), ("power_2", 2), ("power_3", 1)):
        queue = Queue(model=9, power=9)
        set_queue(queue, take_queue({"model": name, "n": n} if n else name))
        assert (queue.model, queue.power) == (QueueModel[name.upper()], n)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("fifo", 'queue: model = "fifo": must be one of risk_averse, power, power_2, power_3, log, log_2, exact'),
        ("power", 'queue: model = "power": write it as queue = { model = "power", n = 3 }'),
        ({"model": "log", "n": 2}, 'queue: model = "log": it has no n'),
        ({"model": "power", "n": -1}, "queue: n = -1: must be above 0 and at most 100"),
        ({"n": 2}, "queue: object missing required field `model`"),
        (3, "queue: expected `object`, got `int`"),
        ("exact", 'queue = "exact": needs an exchange that matches order by order, not one over captures'),
    ],
)
def test_a_mistake_is_told_in_one_line(raw: object, said: str) -> None:
    with pytest.raises(ValueError, match="queue") as caught:
        set_queue(Queue(), take_queue(raw))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
