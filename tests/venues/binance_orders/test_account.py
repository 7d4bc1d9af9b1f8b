"""The gateway's account against a venue with books of its own: told late, twice, out of order and across kills."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crosswire.venues.bridge.binance.gateway.orders.account import (
    Account,
    ContradictionError,
    Trade,
    TradesMissingError,
)
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import (
    Acknowledged,
    AnyRecord,
    Asked,
    Ended,
    Filled,
    Refused,
)
from crosswire.venues.errors import VenueError
from crosswire.venues.order import IOC, RejectReason
from crosswire.venues.side import sign_of

pytestmark = pytest.mark.binance

INSTRUMENT = 7


def asked(client_order_id: int, qty_lots: int = 10, side: int = 0) -> Asked:
    return Asked(
        client_order_id=client_order_id,
        instrument_id=INSTRUMENT,
        side=side,
        time_ns=1,
        time_in_force=IOC,
        price_ticks=100,
        qty_lots=qty_lots,
    )


def trade(order: Asked, trade_id: int, qty_lots: int, executed_lots: int = 0, price_ticks: int = 100) -> Trade:
    return Trade(
        client_order_id=order.client_order_id,
        venue_order_id=1_000 + order.client_order_id,
        trade_id=trade_id,
        instrument_id=INSTRUMENT,
        side=order.side,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
        fee_e9=5,
        is_maker=False,
        time_ns=2,
        executed_lots=executed_lots,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.journal"


@pytest.fixture
def account(path: Path) -> Iterator[Account]:
    with Journal(path) as journal:
        yield Account(journal)


def test_an_order_is_acknowledged_before_its_first_fill_and_ends_with_its_last(account: Account) -> None:
    order = asked(1)
    assert account.ask(order) == RejectReason.NONE
    first = account.trade(trade(order, 50, 4, 4))
    assert [type(record) for record in first] == [Acknowledged, Filled]
    assert (first[1].execution_id, first[1].leaves_lots) == (1, 6)
    (last,) = account.trade(trade(order, 51, 6, 10))
    assert (last.execution_id, last.leaves_lots) == (2, 0)
    assert account.end(1, 1_001, 10, RejectReason.NONE, 3) == []
    assert account.orders == {}
    assert account.positions == {INSTRUMENT: 10}


def test_an_order_does_not_end_before_all_its_trades_are_told(account: Account) -> None:
    order = asked(1)
    account.ask(order)
    with pytest.raises(TradesMissingError):
        account.end(1, 1_001, 4, RejectReason.NONE, 3)
    account.trade(trade(order, 50, 4))
    ended = account.end(1, 1_001, 4, RejectReason.NONE, 3)
    assert [(type(record), record.leaves_lots) for record in ended] == [(Ended, 6)]


def test_a_trade_behind_one_that_was_not_told_waits_for_it(account: Account) -> None:
    order = asked(1)
    account.ask(order)
    with pytest.raises(TradesMissingError):
        account.trade(trade(order, 51, 3, executed_lots=7))
    account.trade(trade(order, 50, 4, executed_lots=4))
    account.trade(trade(order, 51, 3, executed_lots=7))
    assert [fill.trade_id for fill in account.fills] == [50, 51]


@pytest.mark.parametrize(
    "lie",
    [
        trade(asked(1), 50, 3),  # used before, of another size
        trade(asked(1), 50, 4, price_ticks=101),
        trade(asked(1), 52, 7),  # more than is left
        trade(asked(1, side=1), 52, 1),
        trade(asked(2), 52, 1),  # of no order that is open
        trade(asked(1), 52, 0),
        trade(asked(1), 52, 1, price_ticks=0),
    ],
)
def test_what_can_not_be_is_a_contradiction_and_changes_nothing(account: Account, lie: Trade, path: Path) -> None:
    order = asked(1)
    account.ask(order)
    account.trade(trade(order, 50, 4))
    before = path.read_bytes()
    with pytest.raises(ContradictionError):
        account.trade(lie)
    assert path.read_bytes() == before
    assert account.positions == {INSTRUMENT: 4}


def test_contradictions_of_an_orders_life(account: Account) -> None:
    order = asked(1)
    account.ask(order)
    account.acknowledge(1, 1_001, 2)
    with pytest.raises(ContradictionError):
        account.acknowledge(1, 1_002, 2)
    with pytest.raises(ContradictionError):
        account.refuse(1, RejectReason.OTHER, 2)
    account.trade(trade(order, 50, 4))
    with pytest.raises(ContradictionError):
        account.end(1, 1_001, 3, RejectReason.NONE, 3)


def test_ids_count_up_and_a_refused_order_can_not_be_sent_again(account: Account) -> None:
    assert account.ask(asked(5)) == RejectReason.NONE
    assert [type(record) for record in account.refuse(5, RejectReason.BAD_PRICE, 2)] == [Refused]
    assert account.ask(asked(5)) == RejectReason.DUPLICATE_ID
    assert account.ask(asked(4)) == RejectReason.DUPLICATE_ID
    assert account.ask(asked(6, qty_lots=0)) == RejectReason.BAD_QUANTITY


def test_a_foreign_trade_moves_the_position(account: Account) -> None:
    (fill,) = account.trade(trade(asked(0), 50, 4))
    assert (fill.client_order_id, fill.leaves_lots, account.positions) == (0, 0, {INSTRUMENT: 4})


def test_fills_are_told_again_behind_a_known_one(account: Account) -> None:
    order = asked(1, qty_lots=100)
    account.ask(order)
    for trade_id in range(1, 9):
        account.trade(trade(order, trade_id, 1))
    assert [fill.execution_id for fill in account.fills_after(5, 2)] == [6, 7]
    assert [fill.execution_id for fill in account.fills_after(0, 64)] == list(range(1, 9))
    assert account.fills_after(8, 64) == []


@pytest.mark.parametrize("cut", range(1, 36))
def test_a_line_that_a_kill_cut_short_is_left_out_and_said(path: Path, cut: int) -> None:
    with Journal(path) as journal:
        account = Account(journal)
        account.ask(asked(1))
        account.ask(asked(2))
    whole = path.read_bytes()
    first = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: first + cut])
    with Journal(path) as journal:
        account = Account(journal)
        assert (set(account.orders), journal.cut_bytes) == ({1}, cut)
        account.ask(asked(2))
    assert path.read_bytes() == whole


def test_damage_in_the_middle_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        account = Account(journal)
        account.ask(asked(1))
        account.ask(asked(2))
    whole = bytearray(path.read_bytes())
    whole[20] ^= 1
    path.write_bytes(whole)
    with Journal(path) as journal, pytest.raises(VenueError, match="line 1 is damaged"):
        Account(journal)


def test_one_process_at_a_time(path: Path) -> None:
    with Journal(path), pytest.raises(VenueError, match="another process"):
        Journal(path)


class AccountMachine(RuleBasedStateMachine):
    """A venue with books of its own fills orders; what it says arrives in any order, some of it twice or never."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "orders.journal"
        self.journal = Journal(self.path)
        self.account = Account(self.journal)
        self.venue: dict[int, tuple[Asked, list[Trade], bool]] = {}  # order, its trades, whether it has ended
        self.told: list[AnyRecord] = []
        self.next_trade_id = 1

    def teardown(self) -> None:
        self.journal.__exit__(None, None, None)
        self.folder.cleanup()

    @rule(qty_lots=st.integers(1, 30), side=st.integers(0, 1), arrives=st.booleans())
    def new(self, qty_lots: int, side: int, arrives: bool) -> None:
        order = asked(self.account.last_client_order_id + 1, qty_lots, side)
        assert self.account.ask(order) == RejectReason.NONE
        if arrives:
            self.venue[order.client_order_id] = (order, [], False)
        else:
            self.told += self.account.refuse(order.client_order_id, RejectReason.OTHER, 2)

    @precondition(lambda self: any(not ended for _order, _trades, ended in self.venue.values()))
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        """Fill at the venue; that is told later."""
        alive = [number for number, (_order, _trades, ended) in self.venue.items() if not ended]
        order, trades, _ended = self.venue[data.draw(st.sampled_from(alive))]
        left = order.qty_lots - sum(each.qty_lots for each in trades)
        qty_lots = data.draw(st.integers(1, left))
        trades.append(trade(order, self.next_trade_id, qty_lots, order.qty_lots - left + qty_lots))
        self.next_trade_id += 1
        self.venue[order.client_order_id] = (order, trades, qty_lots == left)

    @precondition(lambda self: any(not ended for _order, _trades, ended in self.venue.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        alive = [number for number, (_order, _trades, ended) in self.venue.items() if not ended]
        number = data.draw(st.sampled_from(alive))
        order, trades, _ended = self.venue[number]
        self.venue[number] = (order, trades, True)

    @precondition(lambda self: any(trades for _order, trades, _ended in self.venue.values()))
    @rule(data=st.data())
    def hear_of_a_trade(self, data: st.DataObject) -> None:
        trades = [each for _order, told, _ended in self.venue.values() for each in told]
        event = data.draw(st.sampled_from(trades))
        try:
            self.told += self.account.trade(event)
        except TradesMissingError as missing:
            self.ask_for_trades(missing.client_order_id)

    @precondition(lambda self: self.venue)
    @rule(data=st.data())
    def hear_of_the_order(self, data: st.DataObject) -> None:
        """The answer to a question for an order's state."""
        number = data.draw(st.sampled_from(sorted(self.venue)))
        _order, trades, ended = self.venue[number]
        executed_lots = sum(each.qty_lots for each in trades)
        if not ended:
            self.told += self.account.acknowledge(number, 1_000 + number, 2)
            return
        try:
            self.told += self.account.end(number, 1_000 + number, executed_lots, RejectReason.NONE, 2)
        except TradesMissingError as missing:
            self.ask_for_trades(missing.client_order_id)
            self.told += self.account.end(number, 1_000 + number, executed_lots, RejectReason.NONE, 2)

    def ask_for_trades(self, number: int) -> None:
        for each in self.venue[number][1]:
            self.told += self.account.trade(each)

    @rule(cut=st.integers(0, 30))
    def kill(self, cut: int) -> None:
        """Begin anew from the journal; half a line may have been on its way."""
        before = (self.account.orders, self.account.positions, list(self.account.fills))
        self.journal.__exit__(None, None, None)
        with self.path.open("ab") as file:
            file.write(b"0" * cut)
        self.journal = Journal(self.path)
        self.account = Account(self.journal)
        assert (self.account.orders, self.account.positions, list(self.account.fills)) == before
        assert os.path.getsize(self.path) == 0 or self.path.read_bytes().endswith(b"\n")

    @invariant()
    def each_trade_once(self) -> None:
        if not hasattr(self, "told"):
            return
        fills = [record for record in self.told if isinstance(record, Filled)]
        assert [fill.execution_id for fill in fills] == list(range(1, len(fills) + 1))
        assert len({fill.trade_id for fill in fills}) == len(fills)
        held_lots = sum(sign_of(fill.side) * fill.qty_lots for fill in fills)
        assert self.account.positions.get(INSTRUMENT, 0) == held_lots

    @invariant()
    def the_engine_hears_an_orders_life_in_order(self) -> None:
        if not hasattr(self, "told"):
            return
        lives: dict[int, list[str]] = {}
        for record in self.told:
            lives.setdefault(record.client_order_id, []).append(type(record).__name__)
        for life in lives.values():
            assert life == ["Refused"] or life[0] == "Acknowledged"
            assert life.count("Acknowledged") <= 1
            assert "Ended" not in life[:-1]


TestAccountMachine = AccountMachine.TestCase
TestAccountMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
