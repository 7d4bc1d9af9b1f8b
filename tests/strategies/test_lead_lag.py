"""The lead-lag strategy: what is a move of the leader, which quotes are stale, what they must pay, and both exits."""

import random
import re
from fractions import Fraction
from typing import Any

import pytest

from crosswire.strategies.average import FRACTION_BITS
from crosswire.strategies.hold import HoldState
from crosswire.strategies.interface import on_book
from crosswire.strategies.lead_lag import LeadLag
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.trades import Outcome
from crosswire.testing import Answer, Harness, Sent, check_properties, fill, inverse, linear, miss, reject, veto
from crosswire.venues.instrument import E9
from crosswire.venues.side import BUY, SELL
from tests.support.lead_lag_setup import MS, PARAMETERS, WARM_SAMPLES, blocked, make, quote, sent, warm

UP = [("f", BUY, 100_005, 1000), ("l", SELL, 100_095, 1000)]
DOWN = [("l", BUY, 99_905, 1000), ("f", SELL, 99_995, 1000)]


@pytest.mark.parametrize(("to", "orders"), [(10_010, UP), (9_990, DOWN)])
def test_a_stale_quote_is_taken_and_hedged_at_once(to: int, orders: list[Any]) -> None:
    harness = make()
    warm(harness)
    quote(harness, "l", to)
    assert sent(harness) == orders
    harness.advance(MS)
    assert harness.position_lots("f") == -harness.position_lots("l") == (1000 if to > 10_000 else -1000)
    (trade,) = harness.trades
    assert trade["outcome"] == Outcome.COMPLETE
    # 9 of the prices less 1 bp of fee on either side.
    assert trade["traded_value_e9"] == pytest.approx(7 * E9, rel=2e-3)
    assert len(harness.opportunities) == 0  # it lasts as long as the quote does
    quote(harness, "f", to)
    (opportunity,) = harness.opportunities
    assert (opportunity["attempts"], opportunity["captured_size_e9"]) == (1, E9)


@pytest.mark.parametrize("follower", [10_050, 9_950])
def test_the_fair_price_is_the_leader_s_at_the_mean_basis(follower: int) -> None:
    harness = make()
    warm(harness, follower=follower)
    quote(harness, "l", 10_002)  # two basis points: neither a move nor an edge
    quote(harness, "l", 10_010)
    assert [order.name for order in harness.orders] == ["f", "l"]
    assert harness.orders[0].price_ticks == follower * 10 + 5


def test_no_trade_before_the_basis_is_known() -> None:
    harness = make()
    harness.strategy.warmup_samples = WARM_SAMPLES * 2
    warm(harness)
    quote(harness, "l", 10_010)
    assert harness.orders == []


@pytest.mark.parametrize("moved", [True, False])
def test_a_follower_that_has_moved_already_is_left_alone(moved: bool) -> None:
    """The leader moves in two steps; between them the follower's ask moves a little, and would still pay."""
    harness = make()
    warm(harness)
    quote(harness, "l", 10_003)
    quote(harness, "f", Fraction(100_001, 10) if moved else 10_000)
    quote(harness, "l", 10_010)
    assert bool(harness.orders) == (not moved)
    follower = harness.strategy.followers[1]
    assert (follower.not_behind, follower.awaited) == ((1, 0) if moved else (0, 1))


def test_a_follower_that_moves_in_time_is_not_taken() -> None:
    harness = make(edge_min_bps=20)
    warm(harness)
    quote(harness, "l", 10_010)
    quote(harness, "f", 10_010)
    quote(harness, "l", 10_015)
    assert harness.orders == []


@pytest.mark.parametrize(("pause_us", "trades"), [(4_000, True), (6_000, False)])
def test_a_move_happens_within_its_window(pause_us: int, trades: bool) -> None:
    harness = make(move_min_bps=8)
    warm(harness)
    quote(harness, "l", 10_006)
    harness.advance(pause_us * 1_000)
    quote(harness, "l", 10_010)
    assert bool(harness.orders) == trades


@pytest.mark.parametrize(("pause_us", "trades"), [(5_000, True), (11_000, False)])
def test_a_quote_that_stands_for_long_after_the_move_is_not_stale(pause_us: int, trades: bool) -> None:
    harness = make()
    harness.answers = [veto(), veto()]
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(pause_us * 1_000)
    quote(harness, "l", 10_010)
    quote(harness, "f", 10_000)
    assert len(harness.orders) == (4 if trades else 2)
    if not trades:
        # It ended when its time was up, not when somebody noticed.
        (opportunity,) = harness.opportunities
        assert opportunity["end_ns"] - opportunity["start_ns"] == 10 * MS


def test_what_is_taken_is_taken_once() -> None:
    harness = make(open_trades_max=9)
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(MS)
    quote(harness, "l", 10_011)
    assert len(harness.orders) == 2
    quote(harness, "f", 10_000)  # offered again
    assert len(harness.orders) == 4


def test_as_many_levels_are_taken_as_pay() -> None:
    harness = make(depth=5, size_max=3)
    quote(harness, "l", 10_000)
    asks = [("10000.5", "0.3"), ("10002.5", "0.4"), ("10004.4", "0.2"), ("10004.6", 5)]
    harness.set_book("f", bids=[("9999.5", 5)], asks=asks)
    harness.advance((WARM_SAMPLES + 1) * MS)
    quote(harness, "l", 10_010)
    # 10009.5 less 2 bps of fees and 3 of edge is 10004.5.
    assert sent(harness) == [("f", BUY, 100_044, 900), ("l", SELL, 100_095, 900)]


@pytest.mark.parametrize("exit_rule", ["hedge", "hold"])
def test_a_sweep_is_a_move_before_the_book_shows_it(exit_rule: str) -> None:
    harness = make(sweep_min="1.5", exit=exit_rule)
    warm(harness)
    harness.trade("l", BUY, 10_005, 1_000)
    assert harness.strategy.moves == 0
    harness.trade("l", BUY, 10_010, 1_000)
    assert (harness.strategy.moves, harness.strategy.sweeps) == (1, 1)
    if exit_rule == "hold":
        # The leader was at 10000 in the middle, and the sweep went 9.5 beyond its ask.
        assert sent(harness) == [("f", BUY, 100_005, 1000)]
        return
    assert harness.orders == []  # a hedge at the bid that is shown would not pay
    quote(harness, "l", 10_010)
    assert sent(harness) == UP


def test_a_packet_with_the_trades_and_the_book_tells_of_one_move() -> None:
    harness = make(sweep_min=1)
    warm(harness)
    harness.change_book("l", bids=[("10009.5", 5)], asks=[("10010.5", 5)])
    harness.step_ns = 0
    harness.trade("l", BUY, 10_010, 1_000)
    assert sent(harness) == UP
    on_book(harness.strategy, harness.desk, 0)
    assert (harness.desk.request_count, harness.strategy.moves, harness.strategy.sweeps) == (0, 1, 1)


@pytest.mark.parametrize(("to", "trades"), [(10_010, False), (10_000, True)])
def test_a_leader_that_moved_in_the_follower_s_own_packet_is_seen(to: int, trades: bool) -> None:
    harness = make()
    warm(harness)
    harness.change_book("l", bids=[("10009.5", 5)], asks=[("10010.5", 5)])
    quote(harness, "f", to, size=7)
    assert harness.strategy.moves == 1
    assert bool(harness.orders) == trades


def test_a_sweep_that_the_book_never_shows_is_forgotten_with_its_next_change() -> None:
    harness = make(sweep_min=1, exit="hold", act_within_us=100_000)
    harness.answers = [miss()]
    warm(harness)
    harness.trade("l", SELL, 9_990, 1_000)
    assert [(order.name, order.side) for order in harness.orders] == [("f", SELL)]
    quote(harness, "l", 10_000, size=6)
    quote(harness, "f", 10_000)
    assert (len(harness.orders), harness.strategy.moves) == (1, 1)


def test_trades_of_both_sides_are_no_sweep() -> None:
    harness = make(sweep_min="1.5", exit="hold")
    warm(harness)
    for _ in range(5):
        harness.trade("l", BUY, 10_010, 1_000)
        harness.trade("l", SELL, 9_990, 1_000)
    harness.trade("f", BUY, 10_010, 9_000)
    assert (harness.strategy.moves, harness.orders) == (0, [])


def test_trades_without_a_threshold_are_nothing() -> None:
    harness = make(exit="hold")
    warm(harness)
    harness.trade("l", BUY, 10_010, 100_000)
    assert (harness.strategy.moves, harness.orders) == (0, [])


@pytest.mark.parametrize("lost", ["l", "f"])
def test_nothing_is_done_on_a_lost_book(lost: str) -> None:
    harness = make(open_trades_max=9)
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(MS)
    harness.lose_book(lost)
    (opportunity,) = harness.opportunities
    assert opportunity["end_ns"] == harness.desk.now_ns
    orders = len(harness.orders)
    other = "f" if lost == "l" else "l"
    quote(harness, other, 10_000 if other == "f" else 10_012)
    assert len(harness.orders) == orders
    # Across the gap there is no move, and no quote that has stood.
    quote(harness, lost, 10_030 if lost == "l" else 10_000)
    assert len(harness.orders) == orders


@pytest.mark.parametrize("silent", ["l", "f"])
def test_nothing_is_done_on_an_old_book(silent: str) -> None:
    harness = make(book_age_max_ms=50, act_within_us=200_000, exit="hold")
    warm(harness)
    if silent == "l":
        harness.answers = [veto()]
        quote(harness, "l", 10_010)
        assert len(harness.orders) == 1
    harness.advance(51 * MS)
    quote(harness, "f" if silent == "l" else "l", 10_000 if silent == "l" else 10_010)
    assert len(harness.orders) == (1 if silent == "l" else 0)


def test_an_old_book_is_no_sample_of_the_basis() -> None:
    harness = make(book_age_max_ms=30)
    warm(harness)
    samples = harness.strategy.followers[1].average.samples
    harness.advance(30 * MS)
    assert harness.strategy.followers[1].average.samples - samples <= 10


def test_neither_leg_is_sent_without_room_for_both() -> None:
    harness = make(position_max="1.5", act_within_us=1_000)
    warm(harness)
    for _ in range(3):
        quote(harness, "l", 10_010)
        harness.advance(2 * MS)
        quote(harness, "l", 10_000)
        quote(harness, "f", 9_980)
        quote(harness, "f", 10_000)
        harness.advance(10 * MS)
    assert [(order.name, order.qty_lots) for order in harness.orders] == [
        ("f", 1000), ("l", 1000), ("f", 500), ("l", 500),
    ]  # fmt: skip
    assert Blocked.POSITION in blocked(harness)


def test_a_missed_leg_is_unwound_and_not_hedged_elsewhere() -> None:
    mix = {name: linear(taker_fee_bps=1) for name in "lfg"}
    harness = make(mix=mix, followers=["f", "g"], retries=0)
    quote(harness, "g", 10_020)
    warm(harness)
    quote(harness, "g", 10_030)
    harness.answers = [miss(), fill()]
    quote(harness, "l", 10_010)
    harness.advance(60 * MS)
    assert [(order.name, order.side) for order in harness.orders] == [("f", BUY), ("l", SELL), ("l", BUY)]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


# A venue that holds takers.


def held(at: str, **changes: Any) -> Harness:
    """No fees; one of both is at a venue that holds takers for 10 ms."""
    mix = {"l": linear(taker_fee_bps=0), "f": linear(taker_fee_bps=0)}
    mix[at].speed_bump_ns = 10 * MS
    return make(mix=mix, **changes)


@pytest.mark.parametrize("at", ["l", "f"])
@pytest.mark.parametrize(
    ("move", "margin", "to", "trades"),
    [
        (0, 1, 10_006, True),  # 5 bps at the prices that can be had, of which 3 are asked for
        (4, 1, 10_007, False),  # the mean move of a delay is 4 bps: 6 do not pay for it
        (4, 1, 10_010, True),
        (4, 2, 10_011, False),
        (4, 2, 10_014, True),
        (4, 0, 10_006, True),
    ],
)
def test_a_held_leg_must_earn_the_mean_move_of_its_delay(
    at: str, move: int, margin: int, to: int, trades: bool
) -> None:
    harness = held(at, speed_bump_margin=margin, window_us=100, edge_min_bps=3)
    harness.strategy.warmup_samples = 1 << 40
    for step in range(60):
        up = move if step % 2 else 0
        quote(harness, "l", 10_000 + up)
        quote(harness, "f", 10_000 + up)
        harness.advance(10 * MS)
    harness.strategy.followers[1].average.mean = 0
    quote(harness, "l", 10_000)
    quote(harness, "f", 10_000)
    harness.advance(9 * MS)
    harness.strategy.warmup_samples = WARM_SAMPLES
    quote(harness, "l", to)
    assert bool(harness.orders) == trades


def test_a_held_follower_pays_for_its_delay_on_the_way_in_and_out() -> None:
    harness = held("f", exit="hold")
    harness.strategy.exposures[1].moves.mean = 30_000 << FRACTION_BITS  # 3 bps
    warm(harness)
    quote(harness, "l", 10_009)  # 8.5 bps, of which 3 are asked for, and 6 for the delays
    assert harness.orders == []
    quote(harness, "l", "10009.7")
    assert sent(harness) == [("f", BUY, 100_005, 1000)]


# Held until the follower has caught up.


def test_what_is_held_is_left_once_the_follower_has_caught_up() -> None:
    harness = make(exit="hold")
    warm(harness)
    quote(harness, "l", 10_010)
    assert sent(harness) == [("f", BUY, 100_005, 1000)]
    harness.advance(MS)
    assert harness.position_lots("f") == 1000
    quote(harness, "f", 10_006)
    assert len(harness.orders) == 1  # on its way
    quote(harness, "f", 10_010)
    assert sent(harness)[1:] == [("f", SELL, 100_095 - 10, 1000)]  # `unwind_ticks` through the bid
    harness.advance(MS)
    assert (harness.position_lots("f"), harness.position_lots("l")) == (0, 0)
    assert harness.strategy.followers[1].hold.state == HoldState.FLAT
    (opportunity,) = harness.opportunities
    assert (opportunity["attempts"], opportunity["captured_size_e9"]) == (1, E9)


@pytest.mark.parametrize(("to", "side", "last_ticks"), [(10_010, BUY, 100_049), (9_990, SELL, 99_950)])
def test_what_is_held_is_taken_to_the_last_tick_that_pays(to: int, side: int, last_ticks: int) -> None:
    """Fees of 1 bp each way, an edge of 3: 10010 * 0.9999 / 1.0004 is 10004.998, 9990 * 1.0004 / 0.9999 9994.996."""
    harness = make(exit="hold", depth=100)
    quote(harness, "l", 10_000)
    bids, asks = ([(first + away * ticks, 1) for ticks in range(100)] for first, away in ((99_995, -1), (100_005, 1)))
    harness.set_book_ticks("f", bids, asks)
    harness.advance((WARM_SAMPLES + 1) * MS)
    quote(harness, "l", to)
    assert sent(harness) == [("f", side, last_ticks, 45 if side == BUY else 46)]


@pytest.mark.parametrize("to", [10_010, 9_990])
def test_what_does_not_catch_up_is_left_after_the_longest_hold(to: int) -> None:
    harness = make(exit="hold", hold_max_ms=20)
    warm(harness)
    quote(harness, "l", to)
    side = harness.orders[0].side
    harness.advance(19 * MS)
    assert len(harness.orders) == 1
    harness.advance(2 * MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders[1:]] == [("f", 1 - side, 1000)]
    assert harness.position_lots("f") == 0


def test_what_is_filled_in_part_is_held_and_left_in_parts() -> None:
    harness = make(exit="hold", hold_max_ms=20, unwind_interval_ms=5)
    harness.answers = [fill(400), fill(100), miss(), reject(), fill()]
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(60 * MS)
    assert [order.qty_lots for order in harness.orders] == [1000, 400, 300, 300, 300]
    pauses = [b.sent_ns - a.sent_ns for a, b in zip(harness.orders[1:], harness.orders[2:], strict=False)]
    assert pauses == [5 * MS] * 3
    assert harness.position_lots("f") == 0


def test_what_is_missed_is_not_held() -> None:
    harness = make(exit="hold", hold_max_ms=20)
    harness.answers = [miss()]
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(60 * MS)
    assert len(harness.orders) == 1
    assert harness.strategy.followers[1].hold.state == HoldState.FLAT


def test_what_can_t_be_left_is_an_alarm_and_stops_all_until_it_is_flat() -> None:
    harness = make(exit="hold", hold_max_ms=20, unwind_interval_ms=5, give_up_ms=50)
    harness.answers = [fill()]
    harness.otherwise = miss()
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(69 * MS)
    assert harness.strategy.legs.alarms == 0
    harness.advance(10 * MS)
    assert (harness.strategy.legs.alarms, harness.strategy.legs.failed) == (1, 1)
    harness.otherwise = fill()
    harness.advance(60 * MS)
    assert harness.position_lots("f") == 0
    assert (harness.strategy.legs.alarms, harness.strategy.legs.failed) == (1, 0)


def test_what_is_held_on_a_lost_book_waits_for_it() -> None:
    harness = make(exit="hold", hold_max_ms=20)
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(MS)
    harness.lose_book("f")
    harness.advance(100 * MS)
    assert len(harness.orders) == 1
    quote(harness, "f", 10_000)
    harness.advance(60 * MS)
    assert harness.position_lots("f") == 0


def test_what_an_operator_has_flattened_is_not_sold_again() -> None:
    harness = make(exit="hold", hold_max_ms=20)
    warm(harness)
    quote(harness, "l", 10_010)
    harness.advance(MS)
    harness.desk.positions[1].position_lots = 0
    harness.advance(60 * MS)
    assert len(harness.orders) == 1
    assert harness.strategy.followers[1].hold.state == HoldState.FLAT


# How far behind they are.


def test_the_lag_is_from_the_known_move_to_the_quote_that_follows() -> None:
    harness = make(edge_min_bps=500)
    warm(harness)
    assert harness.strategy.series() == ["lag of f, ms"]
    quote(harness, "l", 10_010)
    known_ns = harness.desk.now_ns
    harness.advance(3 * MS)
    quote(harness, "f", 10_000, size=7)  # no other price
    quote(harness, "f", 9_999)  # the wrong way
    quote(harness, "f", 10_005)
    (value,) = harness.values
    assert (value["series"], value["value_e9"]) == (0, (harness.desk.now_ns - known_ns) * 1_000)
    quote(harness, "f", 10_010)
    assert len(harness.values) == 1
    quote(harness, "l", 9_990)
    quote(harness, "l", 10_010)  # taken back
    quote(harness, "l", 10_030)
    harness.advance(1_001 * MS)
    quote(harness, "f", 10_020)  # a second later it is no answer
    assert len(harness.values) == 1
    counted = harness.strategy.counters()
    assert counted["leader: moves"] == 4
    assert (counted["f: followed"], counted["f: did not follow"], counted["f: was not behind"]) == (1, 2, 1)


@pytest.mark.parametrize("exit_rule", ["hedge", "hold"])
def test_what_must_hold_of_it_does(exit_rule: str) -> None:
    parameters = PARAMETERS | {
        "leader": "a",
        "followers": ["b"],
        "exit": exit_rule,
        "half_life_s": "0.01",
        "warmup_s": "0.01",
        "window_us": 1_000_000,
        "move_min_bps": 1,
        "act_within_us": 1_000_000,
        "edge_min_bps": 0,
        "sweep_min": "0.02",
        "hold_max_ms": 30,
        "size_max": "0.02",
        "position_max": "0.05",
        "book_age_max_ms": 60_000,
    }
    # What is missing of a hedge is traded at either, so that nothing bounds a leg but its retries: the gate does.
    limits = {"a": "0.05", "b": "0.05"} if exit_rule == "hold" else None
    mix = {"a": linear(taker_fee_bps=0), "b": linear(tick="0.2", taker_fee_bps=0)}
    check_properties(LeadLag, parameters, mix, position_max=limits, examples=40)
    check_properties(LeadLag, parameters, mix | {"b": inverse(tick="0.1", taker_fee_bps=0)}, examples=20)


# Generated data with a lag that is built in.

STEP_NS = MS
LATENCY_STEPS = 2  # from an order to the venue


def played(lag_steps: int, seed: int = 3) -> Harness:
    """A walk with jumps that the follower repeats `lag_steps` of a millisecond later; orders meet the later book."""
    dice = random.Random(seed)
    path = [100_000]
    for _ in range(600):
        jump = dice.choice((-1, 1)) * dice.randrange(80, 200) if dice.random() < 0.04 else 0
        drift = dice.choice((-2, 2)) if dice.random() < 0.1 else 0
        path.append(path[-1] + drift + jump)
    harness = make(sample_us=5_000, act_within_us=20_000, position_max=100, retries=0)
    at = 0

    def decide(order: Sent) -> Answer:
        """Fill what still stands when the order arrives."""
        later = min(at + LATENCY_STEPS, len(path) - 1)
        middle = path[later] if order.name == "l" else path[max(0, later - lag_steps)] + 300
        best_ticks = middle + (5 if order.side == BUY else -5)
        stands = order.price_ticks >= best_ticks if order.side == BUY else order.price_ticks <= best_ticks
        return (
            fill(price_ticks=best_ticks, after_ns=LATENCY_STEPS * STEP_NS) if stands else miss(LATENCY_STEPS * STEP_NS)
        )

    harness.decide = decide
    for at in range(len(path)):
        for name, middle in (("f", path[max(0, at - lag_steps)] + 300), ("l", path[at])):
            harness.set_book_ticks(name, bids=[(middle - 5, 5_000)], asks=[(middle + 5, 5_000)])
        harness.advance(STEP_NS - 2_000)
    harness.finish()
    return harness


def earned(harness: Harness) -> float:
    return sum(trade["traded_value_e9"] for trade in harness.trades) / E9


def test_profit_answers_to_the_lag() -> None:
    without, short, long = (played(lag) for lag in (0, 1, 5))
    assert (without.orders, without.values) == ([], [])
    # Shorter than an order's way: what is sent comes too late, and costs.
    assert len(short.orders) > 10
    assert earned(short) <= 0
    assert len(long.trades) > 10
    assert earned(long) > 5 * len(long.trades) / 2
    lags_ms = sorted(value["value_e9"] / E9 for value in long.values)
    assert lags_ms[len(lags_ms) // 2] == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"followers": []}, "followers: 1 to 7 are needed, not 0"),
        ({"followers": ["l"]}, "instruments: one is named twice"),
        ({"followers": ["x"]}, "no instrument 'x'; configured are f, l"),
        ({"warmup_s": 1}, "warmup_s = 1 is shorter than half_life_s = 1000"),
        ({"window_us": 99}, "window_us = 99: must be 100 to 10000000 us"),
        ({"move_min_bps": 0}, "move_min_bps = 0: must be above 0 to 5000 bps"),
        ({"edge_min_bps": -1}, "edge_min_bps = -1: must be 0 to 5000 bps"),
        ({"sweep_min": -1}, "sweep_min = -1: must be 0 or more base coin"),
        ({"hold_max_ms": 0}, "hold_max_ms = 0: must be 1 to 3600000 ms"),
    ],
)
def test_contradictions_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**changes)
