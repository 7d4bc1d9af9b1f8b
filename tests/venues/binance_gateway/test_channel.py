"""One instrument against a model of the exchange: whatever two connections and snapshots tell, no book is wrong."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import ABOUT, Remark
from crosswire.venues.bridge.wire.layout import Template
from crosswire.venues.side import ASK, BID
from tests.support.bridge_channel import Lone, definition_of

pytestmark = pytest.mark.binance

MIDDLE = 600_000
DEPTH = 8

changes = st.lists(st.tuples(st.sampled_from((BID, ASK)), st.integers(1, DEPTH), st.integers(0, 5)), max_size=4)


class Exchange(RuleBasedStateMachine):
    """A book that changes; two connections that tell it in order, and may lose something; snapshots of any age."""

    market = Market.SPOT

    def __init__(self) -> None:
        super().__init__()
        self.lone = Lone(self.market)
        self.sides: list[dict[int, int]] = [{}, {}]
        self.sides[BID][MIDDLE - 1] = self.sides[ASK][MIDDLE + 1] = 7
        self.last = 1_000
        self.history = {self.last: self.copy()}
        self.told: list[dict[str, Any]] = []
        self.places = [0, 0]
        self.trades, self.trades_told = 1, 0

    def copy(self) -> tuple[dict[int, int], dict[int, int]]:
        return dict(self.sides[BID]), dict(self.sides[ASK])

    @rule(made=changes, ids=st.integers(1, 4))
    def change(self, made: list[tuple[int, int, int]], ids: int) -> None:
        parts: list[dict[int, int]] = [{}, {}]
        for side, distance, lots in made:
            price = MIDDLE + (-distance if side == BID else distance)
            parts[side][price] = lots
            if lots:
                self.sides[side][price] = lots
            else:
                self.sides[side].pop(price, None)
        first, previous, self.last = self.last + 1, self.last, self.last + ids
        self.told.append(self.lone.delta(first, self.last, previous, parts[BID], parts[ASK]))
        self.history[self.last] = self.copy()

    @rule(connection=st.integers(0, 1), count=st.integers(1, 5))
    def deliver(self, connection: int, count: int) -> None:
        for message in self.told[self.places[connection] : self.places[connection] + count]:
            self.lone.take(message)
            self.places[connection] += 1

    @rule(connection=st.integers(0, 1))
    def skip(self, connection: int) -> None:
        self.places[connection] = min(self.places[connection] + 1, len(self.told))

    @rule(age=st.integers(0, 5))
    def snapshot(self, age: int) -> None:
        ids = sorted(self.history)
        last = ids[max(len(ids) - 1 - age, 0)]
        self.lone.channel.take_snapshot(self.lone.snapshot(last, *self.history[last]))

    @rule()
    def lose(self) -> None:
        self.lone.channel.lose("a test")
        self.trades_told = 0
        assert not self.lone.reader.is_valid(0) or self.lone.sender.fails

    @rule()
    def publish_again(self) -> None:
        self.lone.channel.publish_definition()
        self.lone.channel.publish_book()

    @rule()
    def begin_to_listen(self) -> None:
        self.lone.reader.forget()

    @rule(fails=st.booleans())
    def lose_packets(self, fails: bool) -> None:
        """When packets come through again, what was lost is made up for at once, as the market side does."""
        self.lone.sender.fails = fails
        if self.lone.channel.wants_book:
            self.lone.channel.make_up()

    @rule(more=st.booleans())
    def trade(self, more: bool) -> None:
        """A trade is published once, whichever connection tells it first; a lost one may bring other numbers."""
        before = self.lone.channel.stream.trades
        self.trades += more
        self.lone.take(self.lone.trade(self.trades, MIDDLE, 1))
        assert self.lone.channel.stream.trades - before == (self.trades > self.trades_told)
        self.trades_told = self.trades

    @precondition(lambda self: self.sides[BID] and self.sides[ASK])
    @rule()
    def quote(self) -> None:
        """A quote never makes a book valid."""
        was_valid = self.lone.reader.is_valid(0)
        bid, ask = max(self.sides[BID].items()), min(self.sides[ASK].items())
        self.lone.take(self.lone.quote(self.last, bid, ask))
        assert self.lone.reader.is_valid(0) <= was_valid

    @invariant()
    def no_book_is_wrong(self) -> None:
        if self.lone.reader.is_valid(0) and not self.lone.sender.fails:
            assert self.lone.reader.sides(0) == self.history[self.lone.book.update_id]
            assert self.lone.channel.is_proven

    def teardown(self) -> None:
        """In the end a connection that tells everything, and a fresh snapshot, prove the book."""
        self.lone.sender.fails = False
        self.lone.channel.lose("a test")
        self.lone.channel.publish_definition()
        self.change([], 1)
        self.lone.take(self.told[-1])
        assert self.lone.channel.take_snapshot(self.lone.snapshot(self.last, *self.copy()))
        assert self.lone.reader.sides(0) == self.copy()
        self.lone.close()


class Futures(Exchange):
    market = Market.USDM


EXAMPLES = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestSpot = Exchange.TestCase
TestSpot.settings = EXAMPLES
TestFutures = Futures.TestCase
TestFutures.settings = EXAMPLES


@pytest.fixture
def lone() -> Any:
    one = Lone()
    yield one
    one.close()


def prove(lone: Lone, last: int = 10) -> None:
    assert lone.channel.take_snapshot(lone.snapshot(last, {100: 1}, {102: 2}))
    assert lone.reader.is_valid(0)


def test_a_book_is_published_when_it_has_come_up_to_the_present_not_from_the_snapshot_on(lone: Lone) -> None:
    """What a reader sees first holds what was held for the snapshot already."""
    lone.take(lone.delta(9, 11, 8, {100: 3}, {}))
    lone.take(lone.delta(12, 12, 11, {101: 4}, {}))
    prove(lone)
    assert lone.book.update_id == 12
    assert lone.reader.sides(0) == ({100: 3, 101: 4}, {102: 2})
    assert lone.reader.feed.messages[1] == 0  # not one delta


def test_a_snapshot_older_than_the_stream_proves_nothing_and_is_not_shown(lone: Lone) -> None:
    lone.take(lone.delta(20, 21, 19, {100: 3}, {}))
    assert not lone.channel.take_snapshot(lone.snapshot(10, {100: 1}, {102: 2}))
    assert not lone.reader.is_valid(0)
    assert lone.reader.feed.messages[4] == 0
    assert lone.channel.take_snapshot(lone.snapshot(19, {100: 1}, {102: 2}))
    assert lone.reader.sides(0) == ({100: 3}, {102: 2})


def test_other_terms_cost_the_book_and_are_published(lone: Lone) -> None:
    prove(lone)
    sequence = lone.channel.writer.sequence
    lone.channel.redefine(definition_of(Market.SPOT, tick="0.1"))
    assert not lone.reader.is_valid(0)
    assert lone.reader.feed.sequence_gaps == 0
    assert lone.channel.writer.sequence > sequence
    assert lone.channel.unproven.is_set()
    lone.reader.forget()
    lone.channel.publish_definition()
    assert lone.reader.market.instruments[0].tick_e9 == 100_000_000
    assert lone.channel.take_snapshot(b'{"lastUpdateId":5,"bids":[["1.1","1"]],"asks":[["1.3","1"]]}')
    assert lone.reader.sides(0) == ({11: 100_000}, {13: 100_000})


def test_a_status_other_than_trading_costs_the_book_until_it_trades_again(lone: Lone) -> None:
    prove(lone)
    lone.channel.redefine(definition_of(Market.SPOT, status="BREAK"))
    assert not lone.reader.is_valid(0)
    lone.take(lone.delta(11, 11, 10, {100: 3}, {}))
    assert not lone.channel.take_snapshot(lone.snapshot(11, {100: 1}, {102: 2}))
    lone.channel.redefine(definition_of(Market.SPOT))
    prove(lone, 12)


def test_a_mark_price_is_published_once_and_one_that_can_not_be_is_counted() -> None:
    """Two connections tell it alike while one takes the place of the other; a later one is another."""
    lone = Lone(Market.USDM)
    lone.take(lone.mark_price(1))
    lone.take(lone.mark_price(1))
    lone.take(lone.mark_price(2, p="0.0"))
    lone.take(lone.mark_price(3, T=7))
    lone.take(lone.mark_price(4))
    assert lone.reader.feed.messages[Template.MARK_PRICE - 1] == 2
    lone.channel.count_all()
    assert lone.log.counters["usdm.BTCUSDT mark prices published"] == 2
    assert lone.log.counters["usdm.BTCUSDT quotes, trades and mark prices told twice"] == 1
    assert lone.log.counters[f"usdm.BTCUSDT {ABOUT[Remark.VALUE].kind}"] == 2
    lone.close()


def test_packets_that_can_not_be_sent_are_counted_and_the_book_is_wanted_again(lone: Lone) -> None:
    prove(lone)
    lone.sender.fails = True
    lone.take(lone.delta(11, 11, 10, {100: 3}, {}))
    assert lone.log.counters["packets not sent (Resource temporarily unavailable)"] == 1
    assert lone.channel.wants_book
    lone.sender.fails = False
    lone.channel.make_up()
    assert lone.reader.feed.sequence_gaps == 1
    assert lone.reader.sides(0) == ({100: 3}, {102: 2})


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"\n",
        b'{"e":"depthUpdate"}\n{"e":"x"}',
        b"\x00\xff" * 100,
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["1"]],"a":[]}}',
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":12,"u":11,"b":[],"a":[]}}',
        b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ETHUSDT","U":11,"u":99,"b":[],"a":[]}}',
    ],
)
def test_a_message_that_can_not_be_read_changes_nothing(lone: Lone, message: bytes) -> None:
    prove(lone)
    lone.take(message)
    lone.take(lone.delta(11, 11, 10, {100: 3}, {}))
    assert lone.reader.sides(0) == ({100: 3}, {102: 2})
