"""The stand-in's arithmetic and layouts: texts, positions, digests, rate limits, binary messages."""

import struct
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.unit.compile import NO_JIT
from crosswire.venues.bridge.binance.exchange import matcher, sbe
from crosswire.venues.bridge.binance.exchange.account import Position
from crosswire.venues.bridge.binance.exchange.errors import ApiError
from crosswire.venues.bridge.binance.exchange.limits import BAN_MAX_S, REFUSED_MAX, Limits
from crosswire.venues.bridge.binance.exchange.listed import Listed, book_digest, decimal_e9, text_e9
from crosswire.venues.bridge.binance.exchange.messages import Message
from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig, LimitConfig, terms_of
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.exchange.venue import Times, VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.side import ASK, BID
from tests.support.stand_in import Client, receive, talk

pytestmark = pytest.mark.binance

EVENTS = Times(1_723_161_255_208, 1_723_161_255_207)
QUOTE = Message(u=77, s="BTCUSDT", b="60001.00", B="0.500", a="60009.00", A="1.250")


def listed(market: str = "spot") -> Listed:
    config = InstrumentConfig(market=market, symbol="BTCUSDT")
    return Listed(Market[market.upper()], "BTCUSDT", 0, config, terms_of(config, "BTCUSDT"))


@given(value=st.decimals(0, 10**9, places=9, allow_nan=False), decimals=st.integers(0, 9))
def test_texts_are_cut_and_never_rounded(value: Decimal, decimals: int) -> None:
    text = format(value, "f")
    assert decimal_e9(text) == value * 10**9
    cut = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)
    assert text_e9(decimal_e9(text), decimals) == format(cut, "f")
    assert Decimal(text_e9(-decimal_e9(text), decimals)) == -cut


@given(st.lists(st.tuples(st.integers(-1_000, 1_000).filter(bool), st.integers(1, 10**15)), max_size=30))
def test_a_position_realises_what_it_does_not_cost(trades: list[tuple[int, int]]) -> None:
    position = Position()
    lots = paid = realized = 0
    for signed_lots, value_e9 in trades:
        realized += position.trade(signed_lots, value_e9)
        lots += signed_lots
        paid += value_e9 if signed_lots > 0 else -value_e9
        assert position.lots == lots
        assert position.cost_e9 == paid + realized  # to the last unit, whatever is rounded
        assert lots or not position.cost_e9


def test_a_position_that_turns_around_is_closed_at_its_cost() -> None:
    position = Position()
    assert position.trade(10, 1_000) == 0
    assert position.trade(-4, 480) == 80
    assert position.trade(-16, 1_760) == 60  # six of them close what cost 600, for 660
    assert (position.lots, position.cost_e9) == (-10, -1_100)
    assert position.trade(10, 900) == 200


@given(
    st.lists(st.tuples(st.sampled_from([BID, ASK]), st.integers(1, 60), st.integers(0, 5)), min_size=1, max_size=100)
)
def test_the_digest_is_that_of_the_book_however_it_came_about(changes: list[tuple[int, int, int]]) -> None:
    book = listed()
    sides: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
    for number, change in enumerate(changes):
        book.apply([change], number)
        side, ticks, lots = change
        sides[side].pop(ticks, None)
        if lots:
            sides[side][ticks] = lots
        assert book.digest == book_digest(sides[BID], sides[ASK]) == book.history[-1][1]
    assert (book.bids, book.asks) == (sides[BID], sides[ASK])
    book.clear()
    assert book.digest == book_digest({}, {}) == 0


class Hand(VenueClock):
    """A clock that a test sets."""

    now = 1_723_161_240_000_000_000  # a whole minute

    def now_ns(self) -> int:
        return self.now


def status_of(limits: Limits, weight: int = 1) -> tuple[int, int]:
    """The status of a request, and how long to wait."""
    try:
        limits.charge(weight)
    except ApiError as error:
        return error.status, error.retry_after_s
    return 200, 0


def test_a_ban_comes_after_refusals_and_doubles() -> None:
    clock = Hand()
    config = LimitConfig(weight=10, orders_10s=5, orders_long=8, long_s=60, ban_s=120)
    limits = Limits(Market.SPOT, config, clock)
    for ban_s in (120, 240):
        assert status_of(limits, 10) == (200, 0)
        assert {status_of(limits) for _ in range(REFUSED_MAX)} == {(429, 60)}
        assert status_of(limits) == (418, ban_s)
        clock.now += (ban_s - 1) * 10**9
        assert status_of(limits) == (418, 1)
        clock.now += 61 * 10**9
        clock.now -= clock.now % (60 * 10**9)
    limits.ban_s = BAN_MAX_S
    status_of(limits, 11)
    for _ in range(REFUSED_MAX):
        status_of(limits)
    assert limits.ban_s == BAN_MAX_S


def test_orders_are_counted_by_interval_and_given_back() -> None:
    clock = Hand()
    limits = Limits(Market.SPOT, LimitConfig(weight=10, orders_10s=2, orders_long=3, long_s=60), clock)
    limits.charge_orders()
    limits.charge_orders()
    with pytest.raises(ApiError, match="2 orders per 10 SECOND"):
        limits.charge_orders()
    clock.now += 10 * 10**9
    limits.charge_orders()
    with pytest.raises(ApiError, match="3 orders per 1 MINUTE") as refused:
        limits.charge_orders()
    assert refused.value.retry_after_s == 50
    limits.give_back_order()  # one of them has filled
    limits.charge_orders()
    assert limits.headers(with_orders=True)["X-MBX-ORDER-COUNT-1M"] == "3"


def test_best_bid_ask_has_its_fields_where_the_schema_has_them() -> None:
    data = sbe.best_bid_ask(listed(), QUOTE, 1_723_161_255_300)
    assert struct.unpack_from("<HHHH", data) == (50, 10_001, 1, 0)
    body = data[8:]
    assert struct.unpack_from("<q", body, 0)[0] == 1_723_161_255_300_000
    assert struct.unpack_from("<q", body, 8)[0] == 77
    assert struct.unpack_from("<bb", body, 16) == (-8, -8)
    prices = struct.unpack_from("<qqqq", body, 18)
    assert prices == (6_000_100_000_000, 50_000_000, 6_000_900_000_000, 125_000_000)
    assert body[50:] == b"\x07BTCUSDT"


def test_a_trade_and_a_snapshot_have_their_fields_where_the_schema_has_them() -> None:
    book = listed()
    trade = Message(e="trade", t=9, p="60000.01", q="0.00002", m=True)
    body = sbe.trades(book, trade, EVENTS)[8:]
    assert struct.unpack_from("<qq", body, 0) == (1_723_161_255_208_000, 1_723_161_255_207_000)
    assert struct.unpack_from("<HI", body, 18) == (25, 1)
    assert struct.unpack_from("<qqqB", body, 24) == (9, 6_000_001_000_000, 2_000, 1)
    book.apply([(BID, 6_000_000 - place, place + 1) for place in range(30)], 5)
    book.apply([(ASK, 6_000_001, 7)], 6)
    body = sbe.depth_snapshot(book, 1_723_161_255_300)[8:]
    assert struct.unpack_from("<qq", body, 0) == (1_723_161_255_300_000, 6)
    assert struct.unpack_from("<HH", body, 18) == (16, 20)
    assert struct.unpack_from("<qq", body, 22) == (6_000_000_000_000, 1_000)
    assert struct.unpack_from("<HHqq", body, 22 + 20 * 16) == (16, 1, 6_000_001_000_000, 7_000)


@pytest.mark.parametrize(("market", "names"), [("spot", "u s b B a A"), ("usdm", "e u s b B a A T E")])
def test_a_book_ticker_has_its_keys_and_is_the_top(still: RunningStandIn, market: str, names: str) -> None:
    venue = still.stand_in.venues[Market[market.upper()]]
    own = venue.by_symbol["BTCUSDT"]

    async def run(client: Client) -> None:
        async with client.socket(f"{market}_stream", "/ws/btcusdt@bookTicker") as socket:
            message = Message(u=own.update_id + 5, s="BTCUSDT", b="60001.00", B="0.500", a="60009.00", A="1.250")
            if market == "usdm":
                message.e = "bookTicker"
            still.call(venue.take, own, message, EVENTS)
            told: dict[str, Any] = await receive(socket)
        assert list(told) == names.split()
        assert (told["b"], told["A"]) == ("60001.00", "1.250")
        prefix = {"spot": "/api/v3", "usdm": "/fapi/v1"}[market]
        best = (await client.get(f"{market}_rest", f"{prefix}/ticker/bookTicker", symbol="BTCUSDT"))[1]
        assert (Decimal(best["bidPrice"]), Decimal(best["askQty"])) == (60_001, Decimal("1.25"))

    talk(still, run)


def test_all_that_orders_need_is_compiled_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    if NO_JIT:
        pytest.skip("nothing is compiled")
    prepared: list[str] = []
    monkeypatch.setattr(matcher, "load_units", lambda units: prepared.extend(unit.name for unit in units))
    matcher.prepare(matcher.make_matcher(1))
    called = [f"call-matcher__{name}" for name in ("show", "quote", "trade", "place", "rest", "cancel", "reduce")]
    assert sorted(prepared) == sorted(called)
