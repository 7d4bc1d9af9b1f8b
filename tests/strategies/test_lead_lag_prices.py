"""What the lead-lag strategy takes, against what each price is worth by exact fractions."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.average import FRACTION_BITS
from crosswire.strategies.mean_basis import BASIS_UNIT_E9
from crosswire.strategies.opportunity import Blocked
from crosswire.testing import Harness, Sent, inverse, linear
from crosswire.venues.instrument import E9, Instrument, Payoff
from crosswire.venues.side import BUY, SELL
from tests.support.lead_lag_setup import MS, WARM_SAMPLES, blocked, make


@st.composite
def instruments(draw: Any) -> Instrument:
    fee = Fraction(draw(st.integers(-200, 1000)), 100)
    if draw(st.booleans()):
        tick, lot = draw(st.sampled_from([("0.5", 10), ("0.1", 100)]))
        return inverse(tick, lot, fee)
    tick, lot = draw(st.sampled_from([("0.01", "0.00001"), ("0.1", "0.001"), ("0.5", "0.02")]))
    return linear(tick, lot, fee)


@st.composite
def ladders(draw: Any, instrument: Instrument, middle: int) -> tuple[list[Any], list[Any]]:
    """Bids and asks around a price, (price, size)."""
    tick, lot = Fraction(instrument.tick_e9, E9), Fraction(instrument.lot_e9, E9)
    coins = middle if instrument.payoff == Payoff.INVERSE else 1
    sides = []
    for away in (-1, 1):
        ticks = int(middle / tick) + away * draw(st.integers(1, 5))
        levels = []
        for _ in range(draw(st.integers(1, 4))):
            levels.append((ticks * tick, draw(st.integers(1, max(1, int(2 * coins / lot)))) * lot))
            ticks += away * draw(st.integers(1, 1 + int(6 / tick)))
        sides.append(levels)
    return sides[0], sides[1]


@dataclass
class Case:
    """A leader that has moved against a follower, and what each price is worth by fractions."""

    harness: Harness
    both: list[Instrument]
    units: list[Fraction]
    books: list[tuple[list[Any], list[Any]]]
    edge: Fraction

    @property
    def mean(self) -> Fraction:
        return Fraction(self.harness.strategy.followers[1].average.mean * BASIS_UNIT_E9, E9 << FRACTION_BITS)

    def worth(self, place: int, side: int, price: Fraction) -> Fraction:
        """Money per coin after the taker fee, in the common currency; a follower's at the leader, at the mean basis."""
        fee = Fraction(self.both[place].taker_fee_e9, E9)
        money = price * self.units[place] * (1 + fee if side == BUY else 1 - fee)
        return money / (1 + self.mean) if place == 1 else money

    def hedged_edge(self, follower_price: Fraction, leader_price: Fraction, follower_side: int) -> Fraction:
        """What both legs earn above the least edge."""
        follower = self.worth(1, follower_side, follower_price)
        leader = self.worth(0, 1 - follower_side, leader_price)
        bought = (
            follower_price * self.units[1] / (1 + self.mean) if follower_side == BUY else leader_price * self.units[0]
        )
        earned = leader - follower if follower_side == BUY else follower - leader
        return earned - self.edge * bought

    def micro(self) -> Fraction:
        bids, asks = self.books[0]
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        return (bid * ask_size + ask * bid_size) / (bid_size + ask_size) * self.units[0]

    def held_edge(self, price: Fraction, side: int) -> Fraction:
        """What a follower's price earns above the least edge, traded back at the fair one."""
        fee = Fraction(self.both[1].taker_fee_e9, E9)
        fair = self.micro() * (1 + self.mean)
        here = price * self.units[1]
        if side == BUY:
            return fair * (1 - fee) - here * (1 + fee + self.edge)
        return here * (1 - fee) - fair * (1 + fee + self.edge)


def drawn(data: st.DataObject, exit_rule: str) -> Case:
    both = [data.draw(instruments(), name) for name in "lf"]
    edge_bps = Fraction(data.draw(st.integers(0, 1500)), 100)
    adjustments = [Fraction(data.draw(st.integers(-2000, 2000)), 100) for _ in both]
    harness = make(
        mix=dict(zip("lf", both, strict=True)),
        exit=exit_rule,
        edge_min_bps=str(float(edge_bps)),
        move_min_bps=1,
        depth=data.draw(st.integers(1, 4)),
        size_max=2,
        position_max=100,
        quote_adjustment_bps={name: str(float(bps)) for name, bps in zip("lf", adjustments, strict=True)},
    )
    center = data.draw(st.sampled_from([900, 30_000]))
    follower = data.draw(ladders(both[1], center + data.draw(st.integers(-center // 100, center // 100))), "follower")
    tick, lot = Fraction(both[0].tick_e9, E9), Fraction(both[0].lot_e9, E9)
    near = int(center / tick) * tick
    harness.set_book("l", bids=[(near - tick, lot)], asks=[(near + tick, lot)])
    harness.set_book("f", bids=follower[0], asks=follower[1])
    harness.advance((WARM_SAMPLES + 1) * MS)
    assert harness.orders == []
    moved = center + data.draw(st.integers(-center // 100, center // 100), "move")
    leader = data.draw(ladders(both[0], moved), "leader")
    harness.set_book("l", bids=leader[0], asks=leader[1])
    return Case(harness, both, [1 + bps / 10_000 for bps in adjustments], [leader, follower], edge_bps / 10_000)


def price_of(instrument: Instrument, order: Sent) -> Fraction:
    return order.price_ticks * Fraction(instrument.tick_e9, E9)


@settings(max_examples=80)
@given(st.data())
def test_no_hedged_trade_takes_a_level_that_does_not_pay(data: st.DataObject) -> None:
    case = drawn(data, "hedge")
    direction = case.harness.strategy.direction
    if direction == 0:
        assert case.harness.orders == []
        return
    side = BUY if direction > 0 else SELL
    (leader_bids, leader_asks), (bids, asks) = case.books
    best = case.hedged_edge(
        *((asks[0][0], leader_bids[0][0]) if side == BUY else (bids[0][0], leader_asks[0][0])), side
    )
    if case.harness.orders:
        leader, follower = sorted(case.harness.orders, key=lambda order: order.instrument)
        assert follower.side == side == 1 - leader.side
        prices = [price_of(instrument, order) for instrument, order in zip(case.both, (leader, follower), strict=True)]
        assert case.hedged_edge(prices[1], prices[0], side) >= 0
    elif best > Fraction(1, 10_000):
        # It pays, beyond all roundings: then only sizes keep it from being traded.
        assert blocked(case.harness)[-1] == Blocked.NO_SIZE


@settings(max_examples=80)
@given(st.data())
def test_no_held_trade_takes_a_level_that_does_not_pay(data: st.DataObject) -> None:
    case = drawn(data, "hold")
    direction = case.harness.strategy.direction
    if direction == 0:
        assert case.harness.orders == []
        return
    side = BUY if direction > 0 else SELL
    levels = case.books[1][1 if side == BUY else 0]
    if case.harness.orders:
        (order,) = case.harness.orders
        assert (order.name, order.side) == ("f", side)
        assert case.held_edge(price_of(case.both[1], order), side) >= 0
        limit = price_of(case.both[1], order)
        offered = [size for price, size in levels if (price <= limit if side == BUY else price >= limit)]
        assert order.qty_lots <= sum(offered) * E9 / case.both[1].lot_e9
    elif case.held_edge(levels[0][0], side) > Fraction(1, 10_000):
        assert blocked(case.harness)[-1] == Blocked.NO_SIZE
