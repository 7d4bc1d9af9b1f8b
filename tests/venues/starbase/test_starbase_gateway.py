"""Session rules of the simulated Starbase's gateways, by raw frames."""

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.nic.packet import FLAG_RST
from crosswire.venues.starbase.exchange.build import make_protections
from crosswire.venues.starbase.exchange.exchange import forget_session, restart_gateway
from crosswire.venues.starbase.exchange.state import Mistake
from crosswire.venues.starbase.settings import MarketSettings, StarbaseSettings
from crosswire.venues.starbase.wire.market_layout import Template as MarketTemplate
from crosswire.venues.starbase.wire.order_codes import (
    CancelReason,
    OrderStatus,
    QuoteStatus,
    Template,
    WireRejectReason,
)
from crosswire.venues.starbase.wire.order_layout import NULL_EXPONENT, NULL_I64
from tests.support.order_setup import VENUE, make_market
from tests.support.starbase_exchange_client import (
    FIRST_ID,
    MS,
    Connection,
    Protection,
    S,
    Wire,
    lots_of,
    make_exchange,
    quote,
    rebuilt_books,
)

pytestmark = pytest.mark.starbase


def kinds(client: Connection) -> list[int]:
    return [message.template for message in client.inbox]


def drain(client: Connection) -> None:
    client.inbox.clear()


def test_logon_is_confirmed_with_interval_and_version() -> None:
    wire = Wire(make_exchange(heartbeat_s=7))
    client = wire.client()
    client.connect()
    client.logon(version=15)
    wire.run(MS)
    confirmed = client.take(Template.LOGON_CONF)
    assert (confirmed.heartbeat_interval_s, confirmed.schema_version, confirmed.sequence) == (7, 15, 1)
    client.new(1, 1, 1000, 5)
    client.cancel(1)
    wire.run(MS)
    client.take(Template.NEW_ORDER_RESPONSE)
    # Before version 16 it has no quantities.
    assert "quantity" not in client.take(Template.CANCEL_ORDER_RESPONSE).fields


@pytest.mark.parametrize(("client_id", "secret"), [("alpha", b"wrong"), ("nobody", b"first secret"), ("beta", b"")])
def test_a_wrong_key_is_sent_away(client_id: str, secret: bytes) -> None:
    wire = Wire(make_exchange())
    client = wire.client()
    client.client_id, client.secret = client_id, secret
    client.connect()
    client.logon()
    wire.run(MS)
    client.take(Template.LOGGED_OUT)
    assert client.is_ended
    assert wire.exchange.gateways.mistakes[Mistake.BAD_LOGON] == 1


def test_nothing_is_taken_before_the_logon() -> None:
    wire = Wire(make_exchange())
    client = wire.client()
    client.connect()
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    client.take(Template.LOGGED_OUT)
    assert client.is_ended
    assert wire.exchange.matching.order_count == 0


def test_heartbeats_tests_and_loss() -> None:
    wire = Wire(make_exchange(heartbeat_s=1, grace_ns=400 * MS))
    client = wire.ready(cancel_on_disconnect=True)
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    drain(client)
    wire.run(1050 * MS)
    assert client.take(Template.HEARTBEAT).correlation_id == 0
    wire.run(150 * MS)
    client.take(Template.TEST_REQUEST)
    client.send(Template.TEST_REQUEST, struct.pack("<q", 99))
    wire.run(MS)
    assert client.take(Template.HEARTBEAT).correlation_id == 99
    wire.run(2 * S)
    assert kinds(client)[-1] == Template.LOGGED_OUT
    assert client.is_ended
    assert wire.exchange.gateways.sessions[0].silenced == 1
    assert wire.exchange.matching.order_count == 0  # cancelled on disconnect


def test_a_malformed_message_is_rejected_and_the_session_goes_on() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.send(999, b"")
    client.send(Template.NEW_ORDER_REQUEST, bytes(10))
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", -3, 0))
    client.send(Template.TEST_REQUEST, struct.pack("<q", 5))
    wire.run(MS)
    reasons = []
    for place in range(3):
        reject = client.take(Template.REJECT)
        assert reject.reference_sequence == 2 + place
        reasons.append(reject.reason)
    assert reasons == [
        WireRejectReason.INVALID_TEMPLATE_ID,
        WireRejectReason.INVALID_BLOCK_LENGTH,
        WireRejectReason.INVALID_FIELD_VALUE,
    ]
    assert client.take(Template.HEARTBEAT).correlation_id == 5


def test_a_number_left_out_ends_the_session_and_a_copy_is_ignored() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.send(Template.TEST_REQUEST, struct.pack("<q", 5), sequence=1)
    wire.run(MS)
    assert client.inbox == []
    client.send(Template.TEST_REQUEST, struct.pack("<q", 6), sequence=3)
    wire.run(MS)
    client.take(Template.LOGGED_OUT)
    assert client.is_ended


def test_frames_in_pieces_and_without_padding() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    frames = b""
    for number in range(1, 4):
        body = struct.pack("<qqqqqbqbqbbHb", number, 0, 700, 1000 * 100_000_000, 5, -3, NULL_I64, NULL_EXPONENT, 0,
                           1, 0, 0, 0)  # fmt: skip
        frames += client.frame(Template.NEW_ORDER_REQUEST, body)
    for start in range(0, len(frames), 31):
        client.send_bytes(frames[start : start + 31])
        wire.run(MS)
    assert kinds(client) == [Template.NEW_ORDER_RESPONSE] * 3


def test_a_second_logon_of_the_same_key_displaces_the_first() -> None:
    wire = Wire(make_exchange())
    first = wire.ready()
    first.new(1, 1, 1000, 5, flags=1)
    first.new(2, 1, 999, 5)
    other = wire.ready(1)  # the other gateway is another session
    wire.run(MS)
    drain(first)
    second = wire.client(0, 1)
    second.connect()
    second.logon(reset=False)
    second.sequence = first.sequence
    wire.run(MS)
    assert first.is_ended is False  # its number was used before: it is sent away itself
    assert second.is_ended
    second.connect()
    second.logon(reset=False)
    wire.run(MS)
    first.take(Template.LOGGED_OUT)
    assert first.is_ended
    assert not other.is_ended
    assert [session.displaced for session in list(wire.exchange.gateways.sessions)[:2]] == [1, 0]
    # What asked for it was cancelled; the news waits for the one that came.
    assert wire.exchange.matching.members[1].open_orders == 1
    confirmed = second.inbox[-1]
    assert confirmed.template == Template.LOGON_CONF
    second.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 0))
    wire.run(MS)
    cancels = [each for each in second.inbox if each.template == Template.ORDERS_CANCELED]
    assert [each.groups["orders"][0]["cancel_reason"] for each in cancels] == [CancelReason.CLIENT_DISCONNECT]
    assert all(each.is_resent for each in cancels)


def test_events_are_kept_while_a_client_is_away_and_resent() -> None:
    wire = Wire(make_exchange())
    client, taker = wire.ready(), wire.ready(1, key=1)
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    client.hang_up(FLAG_RST)
    wire.run(MS)
    taker.new(1, -1, 1000, 3, tif=-2)
    wire.run(MS)
    heard = client.heard
    drain(client)
    client.connect()
    client.logon(reset=False)
    wire.run(MS)
    confirmed = client.take(Template.LOGON_CONF)
    assert confirmed.sequence == heard + 2  # one was missed
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", heard + 1, confirmed.sequence - 1))
    wire.run(MS)
    filled = client.take(Template.ORDER_FILLED)
    assert filled.is_resent
    assert filled.sequence == heard + 1
    assert lots_of(filled.groups["fills"][0]["fill_quantity"]) == 3
    # All from the beginning: gap fills stand for logon confirmations.
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 1, 0))
    wire.run(MS)
    assert kinds(client) == [
        Template.GAP_FILL, Template.NEW_ORDER_RESPONSE, Template.ORDER_FILLED, Template.GAP_FILL,
    ]  # fmt: skip
    assert [client.inbox[0].new_sequence, client.inbox[3].new_sequence] == [2, confirmed.sequence + 1]
    drain(client)
    forget_session(wire.exchange, 0)
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 1, 0))
    wire.run(MS)
    assert client.take(Template.GAP_FILL).new_sequence == confirmed.sequence + 1
    assert client.inbox == []


def test_a_gateway_killed_and_restarted_loses_nothing_that_it_said() -> None:
    wire = Wire(make_exchange())
    client, other = wire.ready(), wire.ready(1)
    for number in range(1, 40):
        client.new(number, 1, 900 + number, 5)
    wire.run(60_000)  # they have arrived; no answer has
    restart_gateway(wire.exchange, 0, wire.now_ns)
    wire.run(MS)
    assert client.is_ended
    assert not other.is_ended
    drain(client)
    client.heard = 1
    client.connect()
    client.logon(reset=False)
    wire.run(MS)
    confirmed = client.take(Template.LOGON_CONF)
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, confirmed.sequence - 1))
    wire.run(MS)
    assert [each.client_order_id for each in client.inbox] == list(range(1, 40))
    assert wire.exchange.matching.members[1].open_orders == 39
    assert wire.exchange.matching.members[1].duplicate_orders == 0


def test_a_logon_says_which_messages_were_lost_on_their_way() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    client.hang_up(FLAG_RST)
    client.sequence += 3  # sent into the void
    drain(client)
    client.connect()
    client.logon(reset=False)
    wire.run(MS)
    confirmed = client.take(Template.LOGON_CONF)
    assert (confirmed.last_processed, client.sequence) == (2, 6)
    asked = client.take(Template.RESEND_REQUEST)
    assert (asked.from_sequence, asked.to_sequence) == (3, 5)
    for _ in range(2):
        client.send(Template.GAP_FILL, struct.pack("<q", 7), sequence=3)
    wire.run(MS)
    assert (wire.exchange.gateways.gaps_asked, wire.exchange.gateways.gaps_filled) == (1, 1)
    assert wire.exchange.gateways.mistakes[Mistake.COPY] == 1  # the second
    client.cancel(1)
    wire.run(MS)
    assert client.take(Template.CANCEL_ORDER_RESPONSE).last_processed == 7


def test_reset_begins_the_numbers_anew() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    drain(client)
    client.hang_up()
    client.connect()
    client.logon(reset=True)
    wire.run(MS)
    assert client.take(Template.LOGON_CONF).sequence == 1
    client.cancel(1)
    wire.run(MS)
    assert client.take(Template.CANCEL_ORDER_RESPONSE).sequence == 2


def test_logout_is_answered_and_cancels_what_asked_for_it() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.new(1, 1, 1000, 5, flags=1)
    client.new(2, 1, 999, 5)
    client.send(Template.LOGOUT, b"\0")
    wire.run(MS)
    assert kinds(client) == [Template.NEW_ORDER_RESPONSE] * 2 + [Template.LOGGED_OUT]
    assert client.is_ended
    assert wire.exchange.matching.members[1].open_orders == 1


def test_rate_limit_refuses_orders_but_no_cancels() -> None:
    wire = Wire(make_exchange())
    client, other = wire.ready(), wire.ready(1)
    for number in range(1, 56):
        client.new(number, 1, 900, 1)
    wire.run(200_000)
    statuses = kinds(client)
    assert statuses == [Template.NEW_ORDER_RESPONSE] * 50 + [Template.NEW_ORDER_REJECT] * 5
    assert client.inbox[-1].reason == 25
    drain(client)
    for number in range(1, 11):
        client.cancel(number)
    other.new(100, 1, 900, 1)  # the other gateway has tokens of its own
    wire.run(200_000)
    assert kinds(client) == [Template.CANCEL_ORDER_RESPONSE] * 10
    assert kinds(other) == [Template.NEW_ORDER_RESPONSE]
    drain(client)
    wire.run(20 * MS)  # 2,000 tokens at 100 a millisecond
    client.new(200, 1, 900, 1)
    client.new(201, 1, 900, 1)
    wire.run(200_000)
    assert kinds(client) == [Template.NEW_ORDER_RESPONSE, Template.NEW_ORDER_REJECT]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"price_ticks": 0}, 6),
        ({"lots": 0}, 5),
        ({"tif": -3}, 2),
        ({"side": 0}, 2),
        ({"instrument": 5}, 1),
        ({"price_ticks": 1200}, 22),
        ({"side": -1, "price_ticks": 800}, 23),
        ({"lots": 2000}, 28),
        ({"flags": 16}, 13),
        ({"price_ticks": None, "flags": 8}, 24),
    ],
)
def test_what_is_wrong_with_an_order_is_said(order: dict[str, int], reason: int) -> None:
    wire = Wire(make_exchange(price_band_ppm=100_000, qty_max_lots=1000))
    client = wire.ready()
    client.new(1, **({"side": 1, "price_ticks": 1000, "lots": 5} | order))
    wire.run(MS)
    assert client.take(Template.NEW_ORDER_REJECT).reason == reason
    assert wire.exchange.matching.order_count == 0


def test_open_orders_of_a_member_are_limited_over_both_gateways() -> None:
    wire = Wire(make_exchange(tokens_per_ms=1_000_000, tokens_full=1_000_000_000))
    a, b = wire.ready(), wire.ready(1)
    for number in range(2001):
        (a, b)[number % 2].new(number, 1, 1 + number % 900, 1)
        if number % 100 == 99:
            wire.run(MS)
    wire.run(MS)
    assert wire.exchange.matching.members[1].open_orders == 2000
    assert (a.inbox + b.inbox)[len(a.inbox) - 1].reason == 9


def test_cancel_by_id_from_another_session_tells_both() -> None:
    wire = Wire(make_exchange())
    a, b, stranger = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    a.new(1, 1, 1000, 5)
    wire.run(MS)
    order_id = a.take(Template.NEW_ORDER_RESPONSE).order_id
    stranger.cancel_by_id(order_id)
    wire.run(MS)
    assert stranger.take(Template.CANCEL_ORDER_REJECT).reason == 1
    b.cancel_by_id(order_id)
    wire.run(MS)
    assert b.take(Template.CANCEL_ORDER_RESPONSE).client_order_id == 1
    assert a.take(Template.ORDERS_CANCELED).groups["orders"][0]["cancel_reason"] == CancelReason.BY_REQUEST


def test_mass_cancel_by_instrument_pair_side_and_product() -> None:
    wire = Wire(make_exchange(2))
    client = wire.ready()

    def fill_up() -> None:
        for number in range(1, 25):
            side = 1 if number <= 12 else -1
            client.new(number, side, 1000 - 10 * side, 1, instrument=number % 2)
        wire.run(S)
        drain(client)

    def cancelled() -> list[int]:
        wire.run(S)
        count = client.take(Template.MASS_CANCEL_RESPONSE).total_order_count
        messages = [client.take(Template.ORDERS_CANCELED) for _ in range(len(client.inbox))]
        assert [each.flags for each in messages] == [0] * (len(messages) - 1) + [1] * bool(messages)
        ids = [order["client_order_id"] for each in messages for order in each.groups["orders"]]
        assert count == len(ids)
        return sorted(ids)

    fill_up()
    client.mass_cancel(instrument=701, side=1)
    assert cancelled() == [1, 3, 5, 7, 9, 11]
    client.mass_cancel(pair=0, product=1)
    assert cancelled() == []  # no options
    client.mass_cancel(pair=0, product=2)
    assert len(cancelled()) == 18
    client.mass_cancel()
    wire.run(S)
    client.take(Template.MASS_CANCEL_REJECT)
    assert wire.exchange.matching.order_count == 0


def test_mass_quotes_replace_and_protection_freezes_and_thaws() -> None:
    protection = Protection(5, limit_lots=6, window_ns=S, freeze_ns=S)
    wire = Wire(make_exchange(2, protections=[protection]))
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quote(maker, (999, 5, 1001, 5), (990, 4, 0, 0))
    wire.run(MS)
    results = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"]
    assert [(r["bid_status"], r["ask_status"]) for r in results] == [
        (QuoteStatus.UPDATED, QuoteStatus.UPDATED),
        (QuoteStatus.UPDATED, QuoteStatus.INACTIVE),
    ]
    quote(maker, (999, 3, 1002, 5))
    wire.run(MS)
    result = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]
    assert (result["bid_status"], result["ask_status"]) == (QuoteStatus.QUANTITY_REDUCED, QuoteStatus.UPDATED)
    assert wire.exchange.matching.members[1].open_orders == 3
    taker.new(1, -1, 999, 3, tif=-2)
    wire.run(MS)
    fill = maker.take(Template.ORDER_FILLED).groups["fills"][0]
    assert (fill["client_order_id"], fill["flags"]) == (1234, 3)
    taker.new(2, 1, 1002, 4, tif=-2)
    wire.run(MS)
    assert kinds(maker) == [Template.ORDER_FILLED, Template.MASS_QUOTE_MMP_TRIGGERED, Template.ORDERS_CANCELED]
    assert {o["cancel_reason"] for o in maker.inbox[2].groups["orders"]} == {CancelReason.MM_PROTECTION}
    assert wire.exchange.matching.members[1].open_orders == 0
    drain(maker)
    quote(maker, (999, 5, 1001, 5))
    wire.run(MS)
    assert maker.take(Template.MASS_QUOTE_REJECT).reason == 3
    maker.send(Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, struct.pack("<qq", 1, 5))
    wire.run(MS)
    frozen_until = maker.take(Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE).frozen_until_ns
    assert 0 < frozen_until - wire.now_ns < S
    quote(maker, (999, 5, 1001, 5), flags=1)
    wire.run(MS)
    assert maker.take(Template.MASS_QUOTE_MMP_UNFROZEN).correlation_id == 55
    maker.take(Template.MASS_QUOTE_RESPONSE)
    taker.new(3, -1, 999, 5, tif=-2)
    taker.new(4, 1, 1001, 5, tif=-2)
    wire.run(2 * S)
    assert kinds(maker)[-1] == Template.MASS_QUOTE_MMP_UNFROZEN
    maker.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 1, 5, 0))
    quote(maker, (999, 5, 1001, 5), group=6)
    wire.run(MS)
    assert kinds(maker)[-2:] == [Template.MASS_CANCEL_RESPONSE, Template.MASS_QUOTE_REJECT]


@pytest.mark.parametrize("lots", [50, -1, NULL_I64 + 1])
def test_a_refused_side_of_a_mass_quote_is_left_without_a_quote(lots: int) -> None:
    wire = Wire(make_exchange(protections=[Protection(5)], qty_max_lots=20))
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quote(maker, (999, 5, 1001, 5))
    quote(maker, (999, lots, 1001, 5))
    wire.run(MS)
    maker.take(Template.MASS_QUOTE_RESPONSE)
    result = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]
    assert (result["bid_status"], result["ask_status"]) == (QuoteStatus.INACTIVE, QuoteStatus.UNMODIFIED)
    assert wire.exchange.matching.members[1].open_orders == 1
    taker.new(1, -1, 999, 3, tif=-2)
    wire.run(MS)
    assert kinds(maker) == []
    quote(maker, (998, 5, 1001, 5))
    wire.run(MS)
    result = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]
    assert (result["bid_status"], result["ask_status"]) == (QuoteStatus.UPDATED, QuoteStatus.UNMODIFIED)


def test_speed_bump_takes_its_time_and_says_so() -> None:
    wire = Wire(make_exchange(speed_bump_ns=10 * MS, order_latency_ns=0, response_latency_ns=0))
    maker, taker = wire.ready(), wire.ready(1, key=1, cancel_on_disconnect=True)
    maker.new(1, 1, 1000, 5)
    wire.run(0)
    assert maker.take(Template.NEW_ORDER_RESPONSE).status == OrderStatus.ACTIVE
    taker.new(1, -1, 1000, 3, correlation=4242)
    wire.run(0)
    assert taker.take(Template.NEW_ORDER_RESPONSE).status == OrderStatus.QUEUED
    taker.new(2, -1, 1000, 1, tif=-2)
    taker.cancel(2)
    taker.cancel(1)
    wire.run(0)
    taker.take(Template.NEW_ORDER_RESPONSE)
    assert taker.take(Template.CANCEL_ORDER_REJECT).reason == 7
    assert taker.take(Template.CANCEL_ORDER_REJECT).reason == 8
    wire.run(10 * MS - 1)
    assert taker.inbox == []
    wire.run(1)
    placed = taker.take(Template.ORDER_PLACED)
    assert (placed.status, placed.correlation_id, lots_of(placed.total_filled)) == (OrderStatus.FILLED, 4242, 3)
    assert taker.take(Template.ORDER_PLACED).client_order_id == 2
    # What is held when its session ends becomes an IOC.
    taker.new(3, -1, 1000, 9)
    wire.run(0)
    taker.hang_up()
    wire.run(11 * MS)
    assert wire.exchange.matching.order_count == 0
    assert wire.exchange.matching.members[2].position_lots[0] == -5


@pytest.mark.parametrize(("price", "lots"), [(1000, 2), (1000, 5), (999, 3), (1005, 3), (990, 1)])
def test_a_held_order_can_not_be_amended_until_it_is_released(price: int, lots: int) -> None:
    """Since 2026-11-26: AmendOrderReject 34, whatever would change; place in the queue and release time stay."""
    wire = Wire(make_exchange(speed_bump_ns=10 * MS, order_latency_ns=0, response_latency_ns=0))
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 4)
    taker.new(1, -1, 1000, 3)
    taker.new(2, -1, 1000, 3)
    wire.run(5 * MS)
    drain(taker)
    taker.amend(1, price, lots)
    wire.run(0)
    refused = taker.take(Template.AMEND_ORDER_REJECT)
    assert (refused.reason, refused.client_order_id) == (34, 1)
    wire.run(5 * MS - 1)
    assert taker.inbox == []
    wire.run(1)
    first, second = taker.take(Template.ORDER_PLACED), taker.take(Template.ORDER_PLACED)
    assert (first.client_order_id, first.status, lots_of(first.total_filled)) == (1, OrderStatus.FILLED, 3)
    assert (second.client_order_id, second.status, lots_of(second.total_filled)) == (2, OrderStatus.ACTIVE, 1)
    taker.amend(2, 1005, 2)
    wire.run(0)
    amended = taker.take(Template.AMEND_ORDER_RESPONSE)
    assert (amended.status, lots_of(amended.quantity)) == (OrderStatus.ACTIVE, 2)


def test_an_amend_is_judged_by_where_its_order_is_when_it_is_handled() -> None:
    """One sent before anybody knew that the order is held is refused as well; a cancel still makes it an IOC."""
    wire = Wire(make_exchange(speed_bump_ns=10 * MS))
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 2)
    wire.run(MS)
    taker.new(1, -1, 1000, 3)
    taker.amend(1, 1010, 3)
    taker.cancel(1)
    taker.amend(1, 1010, 3)
    wire.run(MS)
    assert taker.take(Template.NEW_ORDER_RESPONSE).status == OrderStatus.QUEUED
    assert taker.take(Template.AMEND_ORDER_REJECT).reason == 34
    assert taker.take(Template.CANCEL_ORDER_REJECT).reason == 8
    assert taker.take(Template.AMEND_ORDER_REJECT).reason == 34
    wire.run(11 * MS)
    placed = taker.take(Template.ORDER_PLACED)
    assert (placed.status, lots_of(placed.total_filled)) == (OrderStatus.CANCELED, 2)


def test_a_held_side_of_a_mass_quote_is_unmodified() -> None:
    wire = Wire(make_exchange(speed_bump_ns=10 * MS, protections=[Protection(5)]))
    other, maker = wire.ready(1, key=1), wire.ready()
    other.new(1, 1, 1000, 2)
    wire.run(MS)
    quote(maker, (990, 5, 1000, 3))
    wire.run(MS)
    result = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]
    assert (result["bid_status"], result["ask_status"]) == (QuoteStatus.UPDATED, QuoteStatus.SPEED_BUMPED)
    held = result["ask_order_id"]
    for terms in ((991, 5, 1003, 3), (991, 5, 1000, 1), (991, 5, 1000, 3)):
        quote(maker, terms)
        wire.run(MS)
        result = maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]
        assert result["bid_status"] in (QuoteStatus.UPDATED, QuoteStatus.UNMODIFIED)
        assert (result["ask_status"], result["ask_reject_reason"]) == (QuoteStatus.UNMODIFIED, 34)
        assert (result["ask_order_id"], result["ask_price_e9"]) == (held, 1000 * 100_000_000)
        assert lots_of(result["ask_quantity"]) == 3
    wire.run(10 * MS)
    placed = maker.take(Template.MASS_QUOTE_ORDERS_PLACED).groups["orders"][0]
    assert (placed["order_id"], placed["status"], lots_of(placed["total_filled"])) == (held, OrderStatus.ACTIVE, 2)
    quote(maker, (991, 5, 1003, 3))
    wire.run(MS)
    assert maker.take(Template.MASS_QUOTE_RESPONSE).groups["quotes"][0]["ask_status"] == QuoteStatus.UPDATED


def test_an_order_with_the_mmp_flag_needs_its_currency_pairs_protection() -> None:
    """Flag bit 4, the risk bypass: what the session sets with `mmp_risk_bypass`."""
    for protections in ([], [Protection(0, is_quotes=False, limit_lots=3)]):
        wire = Wire(make_exchange(protections=protections))
        maker, taker = wire.ready(), wire.ready(1, key=1)
        maker.new(1, 1, 1000, 5, flags=1 << 4)
        taker.new(1, -1, 1000, 3, tif=-2)
        wire.run(MS)
        if not protections:
            assert maker.take(Template.NEW_ORDER_REJECT).reason == 13
            continue
        maker.take(Template.NEW_ORDER_RESPONSE)
        assert kinds(maker) == [Template.ORDER_FILLED, Template.ORDERS_MMP_TRIGGERED, Template.ORDERS_CANCELED]


@pytest.mark.parametrize("is_on", [False, True])
def test_the_configured_exchange_has_a_protection_for_each_pair_where_orders_need_one(is_on: bool) -> None:
    market = MarketSettings(
        seed=1, seconds=1, events_per_second=1, volatility_ticks=1, half_spread_ticks=1, depth_ticks=1, lots=1
    )
    setup: Any = SimpleNamespace(
        settings=StarbaseSettings(mmp_group_id=5, mmp_risk_bypass=is_on), market=make_market(3), number=VENUE
    )
    setup.market.instruments[2].underlying = 4
    groups = [(each.group_id, each.is_quotes) for each in make_protections(setup, market)]
    assert groups == [(5, True)] + ([(0, False), (4, False)] if is_on else [])


@pytest.mark.parametrize("sorts_on_accept", [False, True])
def test_the_place_in_the_queue_is_the_sort_order_id_alone(sorts_on_accept: bool) -> None:
    """Of two orders at a price, one came first, was held and rests last. Which is filled first, the numbers say.

    Neither their messages' order nor their times do: the held one's put is later either way.
    """
    wire = Wire(make_exchange(speed_bump_ns=10 * MS, sorts_on_accept=sorts_on_accept))
    a, b, taker = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    taker.new(1, -1, 1000, 1)
    wire.run(MS)
    a.new(1, 1, 1000, 3)
    wire.run(MS)
    taker.cancel(1)
    wire.run(MS)
    b.new(2, 1, 1000, 3)
    wire.run(12 * MS)
    puts = [m for m in wire.incremental() if m.template == MarketTemplate.BID_PUT]
    assert [put.fields["order_id"] for put in puts] == [
        b.take(Template.NEW_ORDER_RESPONSE).order_id, a.take(Template.NEW_ORDER_RESPONSE).order_id
    ]  # fmt: skip
    numbers = [put.fields["sort_order_id"] for put in puts]
    assert puts[0].time_ns < puts[1].time_ns
    assert (numbers[0] < numbers[1]) != sorts_on_accept
    levels = rebuilt_books(wire.incremental())[FIRST_ID][0]
    assert [order_id for _, _, order_id in levels] == [
        puts[place].fields["order_id"] for place in ((1, 0) if sorts_on_accept else (0, 1))
    ]
    drain(a), drain(b)
    taker.new(9, -1, 1000, 3)
    wire.run(12 * MS)
    assert kinds(a if sorts_on_accept else b) == [Template.ORDER_FILLED]
    assert kinds(b if sorts_on_accept else a) == []


def test_an_amend_from_the_other_gateway_is_answered_to_both_sessions() -> None:
    wire = Wire(make_exchange())
    a, b, taker = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    taker.new(1, -1, 1002, 2)
    a.new(1, 1, 1000, 5)
    wire.run(MS)
    drain(a)
    b.amend(1, 1002, 5)
    wire.run(MS)
    ours, theirs = a.take(Template.AMEND_ORDER_RESPONSE), b.take(Template.AMEND_ORDER_RESPONSE)
    assert ours.fields | {"exec_id": 0} == theirs.fields | {"exec_id": 0}
    assert [lots_of(fill["fill_quantity"]) for fill in ours.groups["fills"]] == [2]
    assert theirs.groups["fills"] == []
    b.amend(1, 1002, 1)
    wire.run(MS)
    assert b.take(Template.AMEND_ORDER_REJECT).reason == 5
    assert a.inbox == []


def test_a_copy_of_a_client_order_id_is_counted() -> None:
    wire = Wire(make_exchange())
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    client.new(1, 1, 1000, 5)
    client.cancel(1)
    client.new(1, 1, 1000, 5)
    wire.run(MS)
    member = wire.exchange.matching.members[1]
    assert (member.new_orders, member.duplicate_orders, member.open_orders) == (3, 2, 1)
    assert client.inbox[1].reason == 4
