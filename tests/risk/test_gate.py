"""The risk gate: each limit vetoes at its boundary and not before, and no order passes that a plain model refuses."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Struct
from crosswire.risk.gate import Gate, Veto
from crosswire.risk.limits import LimitError
from crosswire.venues.instrument import E9
from crosswire.venues.order import (
    APPROVALS_MAX,
    AmendState,
    OrderState,
    TimeInForce,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.side import BUY, SELL
from tests.support.gate_setup import NOW_NS, Setup


def test_a_good_order_passes_and_arms_exactly_what_was_asked() -> None:
    setup = Setup()
    assert setup.ask(1, SELL, 1000, 3) == Veto.NONE
    approval = setup.approval
    assert (approval.armed, approval.client_order_id, approval.instrument) == (1, 1, 1)
    assert (approval.side, approval.price_ticks, approval.qty_lots) == (SELL, 1000, 3)
    assert approval.time_in_force == TimeInForce.IOC
    assert setup.gate.passed == 1


@pytest.mark.parametrize(
    ("arguments", "veto"),
    [
        ({"lots": 0}, Veto.BAD_ORDER),
        ({"lots": -1}, Veto.BAD_ORDER),
        ({"price": 0}, Veto.BAD_ORDER),
        ({"price": 100_001}, Veto.BAD_ORDER),
        ({"price": 100_000}, Veto.PRICE_COLLAR),
        ({"instrument": 2}, Veto.BAD_ORDER),
        ({"instrument": -1}, Veto.BAD_ORDER),
        ({"side": 2}, Veto.BAD_ORDER),
        ({"side": -1}, Veto.BAD_ORDER),  # as other systems say a sale
        ({"time_in_force": 4}, Veto.BAD_ORDER),
        ({"time_in_force": -1}, Veto.BAD_ORDER),
        ({"lots": 10_001}, Veto.ORDER_SIZE),
        ({"lots": 9_001}, Veto.ORDER_NOTIONAL),
        ({"price": 1012}, Veto.PRICE_COLLAR),
        ({"side": SELL, "price": 989}, Veto.PRICE_COLLAR),
        ({"now_ns": NOW_NS + E9 + 1}, Veto.STALE_BOOK),
    ],
)
def test_each_order_limit(arguments: dict[str, int], veto: Veto) -> None:
    setup = Setup()
    assert setup.ask(**arguments) == veto
    assert setup.approval.armed == 0
    assert setup.gate.vetoes[veto] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"lots": 9_000},
        {"price": 1011},
        {"side": SELL, "price": 990},
        {"now_ns": NOW_NS + E9},
        {"instrument": 1, "lots": 10},
        {"price": 1},
    ],
)
def test_the_boundary_itself_passes(arguments: dict[str, int]) -> None:
    assert Setup().ask(**arguments) == Veto.NONE


def test_the_collar_is_rounded_down_to_ticks() -> None:
    setup = Setup()
    book = setup.market.books[0]
    book.bid_ticks, book.ask_ticks, book.bid_lots, book.ask_lots = 49, 50, 1, 1
    setup.mark()
    assert setup.ask(0, BUY, 50) == Veto.NONE
    assert setup.ask(0, BUY, 51) == Veto.PRICE_COLLAR  # 1 % is half a tick


def test_position_counts_open_orders_at_their_worst() -> None:
    setup = Setup()
    setup.hold(1, 12, 5, 19)
    assert setup.ask(1, BUY, 1000, 3) == Veto.NONE
    assert setup.ask(1, BUY, 1000, 4) == Veto.POSITION
    assert setup.ask(1, SELL, 1000, 10) == Veto.NONE  # -12 + 19 + 10 = 17 short at worst
    setup.hold(1, 12, 5, 25)
    assert setup.ask(1, SELL, 1000, 8) == Veto.POSITION


def test_exposures_sum_over_the_underlying() -> None:
    setup = Setup(gross_max=Decimal(1000), net_max=Decimal(600))
    setup.hold(0, -5_000)  # 5 coins at 100.0: 500 short
    assert setup.ask(0, SELL, 1000, 1_001) == Veto.NET_EXPOSURE
    assert setup.ask(0, SELL, 1000, 1_000) == Veto.NONE
    setup = Setup(gross_max=Decimal(505), net_max=Decimal(600))
    setup.hold(0, -5_000)
    assert setup.ask(1, BUY, 1000, 5) == Veto.NONE
    assert setup.ask(1, BUY, 1000, 6) == Veto.GROSS_EXPOSURE
    assert setup.ask(0, BUY, 1000, 4_000) == Veto.NONE  # reduces


def test_books_that_are_not_to_be_traded_on() -> None:
    setup = Setup()
    book = setup.market.books[0]
    book.ask_ticks = 999
    setup.mark()
    assert setup.ask() == Veto.CROSSED_BOOK
    book.valid = 0
    setup.mark()
    assert setup.ask() == Veto.INVALID_BOOK
    book.valid, book.ask_lots = 1, 0
    setup.mark()
    assert setup.ask() == Veto.INVALID_BOOK


@pytest.mark.parametrize(
    ("bid_ticks", "ask_ticks"), [(69_000_000_000, 69_000_000_001), (999, 100_001), (-100_001, 1001)]
)
def test_a_book_beyond_what_was_proven_is_neither_traded_on_nor_a_mark(bid_ticks: int, ask_ticks: int) -> None:
    """In its 64-bit values the first passed an order of 3.4e7 times the gross limit, on the other instrument, too."""
    setup = Setup(price_collar_bps=Decimal(9_000))
    setup.mark()
    book, position = setup.market.books[0], setup.gate.positions[0]
    setup.hold(0, 5_000)
    book.bid_ticks, book.ask_ticks = bid_ticks, ask_ticks
    setup.mark()
    assert position.mark_ticks == 1000
    assert setup.gate.profit_e9 == 500 * E9
    assert setup.ask(0, BUY, 1000, 1) == Veto.INVALID_BOOK
    assert setup.ask(1, BUY, 1000, 2_000) in (Veto.POSITION, Veto.ORDER_SIZE)
    assert setup.ask(1, BUY, 1000, 1) == Veto.NONE


@pytest.mark.parametrize(("bid_ticks", "bid_lots", "veto"), [(-1001, 5, Veto.NONE), (999, 0, Veto.INVALID_BOOK)])
def test_a_book_at_the_edge_of_what_was_proven_is_traded_on(bid_ticks: int, bid_lots: int, veto: Veto) -> None:
    setup = Setup(price_max=Decimal("100.1"))
    book = setup.market.books[0]
    book.bid_ticks, book.bid_lots, book.ask_ticks = bid_ticks, bid_lots, 1001
    setup.mark()
    assert setup.ask(0, BUY, 1001, 1) == veto


def test_no_more_leaves_than_the_venue_has_told_that_it_takes() -> None:
    setup = Setup()
    venue = setup.gate.venues[setup.gate.instruments[0].venue]
    venue.tells_left, venue.orders_left = 1, 2
    assert [setup.ask() for _ in range(3)] == [Veto.NONE, Veto.NONE, Veto.VENUE_RATE]
    assert setup.ask(1) == Veto.NONE  # of another venue
    venue.orders_left = 1
    assert setup.quote(999, 5, 1001, 5) == Veto.VENUE_RATE  # two sides
    assert setup.ask(price=1) == Veto.NONE
    venue.orders_left = 100
    # Its own limit holds as well, and what is held back by that is not counted here.
    assert [setup.ask() for _ in range(3)] == [Veto.NONE, Veto.NONE, Veto.ORDER_RATE]
    assert venue.orders_left == 98


def test_rate_is_a_token_bucket_of_its_venue() -> None:
    setup = Setup()
    assert [setup.ask() for _ in range(6)] == [Veto.NONE] * 5 + [Veto.ORDER_RATE]
    assert setup.ask(1) == Veto.NONE
    assert setup.ask(now_ns=NOW_NS + E9 // 10 - 1) == Veto.ORDER_RATE
    assert setup.ask(now_ns=NOW_NS + E9 // 10) == Veto.NONE


def test_a_vetoed_order_costs_no_token() -> None:
    setup = Setup()
    assert [setup.ask(lots=0) for _ in range(20)] == [Veto.BAD_ORDER] * 20
    assert [setup.ask() for _ in range(5)] == [Veto.NONE] * 5


def test_session_open_orders_and_duplicates() -> None:
    setup = Setup()
    setup.gate.venues[0].open_orders = 2
    assert setup.ask() == Veto.NONE
    setup.gate.venues[0].open_orders = 3
    assert setup.ask() == Veto.OPEN_ORDERS
    setup.gate.venues[0].session_state = SessionState.LOST
    assert setup.ask() == Veto.SESSION_NOT_READY
    assert setup.ask(1) == Veto.NONE
    setup.last_id -= 1
    assert setup.ask(1) == Veto.DUPLICATE_ID


def test_an_amend_arms_its_terms_and_takes_a_token() -> None:
    setup = Setup()
    assert setup.amend(1001, 9) == Veto.NONE
    approval = setup.approval
    assert (approval.armed, approval.client_order_id, approval.price_ticks, approval.qty_lots) == (1, 1, 1001, 9)
    assert approval.time_in_force == TimeInForce.GTC
    assert setup.gate.last_client_order_id == 0
    assert [setup.amend() for _ in range(2)] == [Veto.BAD_ORDER] * 2  # what is filled is more
    assert [setup.amend(lots=3) for _ in range(5)] == [Veto.NONE] * 4 + [Veto.ORDER_RATE]


@pytest.mark.parametrize(
    ("changes", "veto"),
    [
        ({"state": OrderState.PENDING_NEW}, Veto.NOT_AMENDABLE),
        ({"state": OrderState.PENDING_CANCEL}, Veto.NOT_AMENDABLE),
        ({"amend_state": AmendState.PENDING}, Veto.NOT_AMENDABLE),
        ({"time_in_force": TimeInForce.IOC}, Veto.NOT_AMENDABLE),
        ({"is_quote": 1}, Veto.NOT_AMENDABLE),
        ({"lots": 2}, Veto.BAD_ORDER),
        ({"price": 0}, Veto.BAD_ORDER),
        ({"price": 100_001}, Veto.BAD_ORDER),
        ({"lots": 10_001}, Veto.ORDER_SIZE),
        ({"lots": 9_001}, Veto.ORDER_NOTIONAL),
        ({"price": 1012}, Veto.PRICE_COLLAR),
    ],
)
def test_each_limit_of_an_amend(changes: dict[str, int], veto: Veto) -> None:
    setup = Setup()
    setup.approval.armed = 1  # left by what no session has sent
    assert setup.amend(**{"lots": 9, **changes}) == veto
    assert setup.approval.armed == 0
    assert setup.gate.vetoes[veto] == 1


def test_an_amend_is_judged_by_what_it_adds() -> None:
    setup = Setup(gross_max=Decimal(5000), net_max=Decimal(5000))
    setup.hold(0, 19_000, 3)  # 997 lots more are allowed
    assert setup.amend(lots=5 + 998) == Veto.POSITION
    assert setup.amend(lots=5 + 997) == Veto.NONE
    # Over the limit, as a fill may have brought it: what makes the order smaller still passes.
    setup.hold(0, 20_001, 3)
    assert setup.amend(lots=6) == Veto.POSITION
    assert setup.amend(lots=4) == Veto.NONE
    # Open orders are full: an amend is none more.
    setup.gate.venues[0].open_orders = 3
    assert setup.amend(lots=4) == Veto.NONE


def test_a_quote_passes_whole_or_not_at_all() -> None:
    setup = Setup(burst=20)
    assert setup.quote(999, 5, 1001, 5) == Veto.NONE
    assert [(one.armed, one.side, one.price_ticks) for one in list(setup.approvals.items)[:2]] == [
        (1, BUY, 999),
        (1, SELL, 1001),
    ]
    assert setup.gate.last_client_order_id == 2
    for bid, bid_lots, ask, ask_lots, veto in (
        (1000, 5, 1000, 5, Veto.BAD_ORDER),  # would trade with itself
        (1001, 5, 1000, 5, Veto.BAD_ORDER),
        (999, 0, 1001, 5, Veto.BAD_ORDER),
        (999, 5, 1001, 0, Veto.BAD_ORDER),
        (999, 5, 1001, 10_001, Veto.ORDER_SIZE),
        (980, 5, 985, 5, Veto.PRICE_COLLAR),
    ):
        assert setup.quote(bid, bid_lots, ask, ask_lots) == veto
    for time_in_force in (-1, 4):
        assert setup.quote(999, 5, 1001, 5, time_in_force=time_in_force) == Veto.BAD_ORDER
    assert setup.approvals.count == 2
    assert not any(one.armed for one in list(setup.approvals.items)[2:])
    setup.gate.positions[0].quotes_pending = 2
    assert setup.quote(999, 5, 1001, 5) == Veto.QUOTE_PENDING
    assert setup.quote(999, 5, 1001, 5, instrument=1) == Veto.NONE
    assert setup.approvals.count == 4


def test_one_mass_quote_has_room_for_so_many() -> None:
    setup = Setup(burst=100)
    assert [setup.quote(999, 5, 1001, 5) for _ in range(APPROVALS_MAX // 2)] == [Veto.NONE] * (APPROVALS_MAX // 2)
    with pytest.raises(AssertionError):
        setup.quote(999, 5, 1001, 5)


def test_a_quote_needs_room_and_tokens_for_both_sides() -> None:
    setup = Setup()
    setup.gate.venues[0].open_orders = 2
    assert setup.quote(999, 5, 1001, 5) == Veto.OPEN_ORDERS
    setup.gate.venues[0].open_orders = 1
    assert [setup.quote(999, 5, 1001, 5) for _ in range(3)] == [Veto.NONE, Veto.NONE, Veto.ORDER_RATE]
    assert setup.ask() == Veto.NONE  # the fifth token is still there
    assert setup.ask() == Veto.ORDER_RATE


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 12)), max_size=40))
def test_no_sequence_of_fills_gets_past_position_and_net_limits(orders: list[tuple[int, int, int]]) -> None:
    """Every order that passes is filled at once in full; limits hold after each."""
    setup = Setup(burst=1000, net_max=Decimal(300), order_max=Decimal(12))
    for instrument, side, size in orders:
        lots = size * (1000 if instrument == 0 else 10)
        if setup.ask(instrument, side, 1000, lots) == Veto.NONE:
            setup.hold(instrument, setup.gate.positions[instrument].position_lots + (lots if side == BUY else -lots))
        linear, inverse = (setup.gate.positions[i].position_lots for i in (0, 1))
        assert abs(linear) <= 20_000
        assert abs(inverse) <= 20
        assert abs(linear * 100 // 1000 + inverse) <= 300


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position_max": Decimal("1e15")}, "64 bits"),
        ({"price_max": Decimal("1e13")}, "64 bits"),
        ({"order_max": Decimal(21)}, "above its position_max"),
        ({"order_max": Decimal("0.0005")}, "multiple of"),
        ({"order_notional_max": Decimal(0)}, "must be positive"),
        ({"price_collar_bps": Decimal("0.0000001")}, "nine decimals"),
        ({"book_age_max_ms": 0}, "book_age_max_ms"),
        ({"burst": 0}, "burst"),
        ({"open_orders_max": 0}, "open_orders_max"),
    ],
)
def test_limits_that_cannot_be_are_refused_in_words(changes: dict[str, Decimal], words: str) -> None:
    with pytest.raises(LimitError, match=words):
        Setup(**changes)


def test_the_gate_is_plain_memory() -> None:
    assert issubclass(Gate, Struct)
    assert len(Gate().vetoes) == len(Veto)
