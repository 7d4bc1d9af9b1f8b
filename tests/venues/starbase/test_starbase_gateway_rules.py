"""Rules of the simulated Starbase's gateways that show only in company: of buckets, windows, places and numbers."""

import ctypes
import struct

import pytest

from crosswire.nic.packet import FLAG_ACK, FLAG_PSH, TCP_FRAME_HEADER_BYTES, seal_tcp_frame, write_tcp_frame_header
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.rings.ring import commit, reserve
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.setup import make_starbase_exchange
from crosswire.venues.starbase.exchange.state import Mistake
from crosswire.venues.starbase.wire.order_codes import OrderRejectReason, OrderStatus, Template
from tests.support.order_setup import VENUE, make_market
from tests.support.starbase_exchange_client import (
    CHANNEL,
    FAST,
    KEYS,
    MS,
    START_NS,
    TICK_E9,
    Protection,
    S,
    Wire,
    ask,
    book,
    fast,
    kinds,
    last,
    lots_of,
    mistakes,
    new_body,
    order_flow,
    quote,
    said,
)

pytestmark = pytest.mark.starbase
IOC = -2
MARKET, MMP = 8, 16


@pytest.mark.parametrize(
    ("smp", "mode", "books", "status"),
    [
        (0, 0, [[], []], OrderStatus.FILLED), (0, 1, [[], []], OrderStatus.FILLED),
        (-5, 0, [[], []], OrderStatus.FILLED), (-5, 1, [[], []], OrderStatus.FILLED),
        (1, 0, [[], [(1000, 2)]], OrderStatus.CANCELED), (7, 0, [[], [(1000, 2)]], OrderStatus.CANCELED),
        (1, 1, [[(1000, 2)], []], OrderStatus.ACTIVE), (7, 1, [[(1000, 2)], []], OrderStatus.ACTIVE),
    ],
)  # fmt: skip
def test_own_orders_are_kept_apart_as_they_ask(
    smp: int, mode: int, books: list[list[tuple[int, int]]], status: int
) -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, -1, 1000, 2, smp=smp)
    wire.run(0)
    client.inbox.clear()
    client.new(2, 1, 1000, 2, smp=smp, mode=mode)
    assert said(wire, client)[0].status == status
    assert book(wire) == books


def test_a_market_order_has_no_price_while_it_is_held() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, 1000, 2)
    client.new(1, 1, 990, 1)
    client.new(2, 1, None, 3, flags=MARKET)
    held = last(wire, client)
    assert (held.status, held.price_e9) == (OrderStatus.QUEUED, 0)
    wire.run(10 * MS)
    assert book(wire) == [[(1000, 1), (990, 1)], []]


def test_nobody_spends_anothers_messages() -> None:
    """Three members on two gateways: six limits."""
    wire = fast(tokens_per_ms=1, tokens_full=2000)
    wire.exchange.gateways.clients[2].member = 3
    for number in (4, 5):
        wire.exchange.gateways.sessions[number].member = 3
    places = ((0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1), (0, 2, 2), (1, 2, 2))
    # As there are four connections at most, those of three places by turns.
    for chosen in ((0, 1, 2, 3), (2, 3, 4, 5), (0, 3, 4, 1)):
        wire.run(3 * S)
        clients = [wire.ready(gateway, place, key=key) for gateway, place, key in (places[each] for each in chosen)]
        for number, client in enumerate(clients):
            for count in range(2):
                client.new(10 * number + count, 1, 900, 1)
            found = said(wire, client)
            assert [message.template for message in found] == [
                Template.NEW_ORDER_RESPONSE, Template.NEW_ORDER_REJECT,
            ]  # fmt: skip
            assert found[1].reason == OrderRejectReason.RATE_LIMIT
            for count in range(2):
                client.cancel(10 * number + count)
        wire.run(0)
        for client in clients:
            client.hang_up()
        wire.run(10 * S)
        wire.connections.clear()


@pytest.mark.parametrize("taking", ["new", "amend", "quote"])
def test_whoever_takes_opens_the_window_of_who_is_taken_from(taking: str) -> None:
    wire = fast(protections=[Protection(5, limit_lots=6), Protection(5, 2)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quote(maker, (0, 0, 1001, 50))
    if taking == "amend":
        for number in (1, 2, 3):
            taker.new(number, 1, 900, 5)
    wire.run(0)

    def take(number: int) -> int:
        """Take 5 lots; how often the protection froze since."""
        if taking == "new":
            taker.new(number, 1, 1001, 5, tif=IOC)
        elif taking == "amend":
            taker.amend(number, 1001, 5)
        else:
            quote(taker, (1001, 5, 0, 0))
        return kinds(wire, maker).count(Template.MASS_QUOTE_MMP_TRIGGERED)

    assert take(1) == 0
    wire.run(S)
    assert take(2) == 0
    wire.run(S - 1)
    assert take(3) == 1
    assert wire.exchange.matching.members[2].position_lots[0] == 15


def test_a_window_opens_as_a_held_order_is_released() -> None:
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5, limit_lots=6)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quote(maker, (0, 0, 1001, 50))
    wire.run(0)
    for number, after_ns in enumerate((0, S, S)):
        wire.run(after_ns)
        taker.new(number, 1, 1001, 5, tif=IOC)
        wire.run(10 * MS)
    assert Template.MASS_QUOTE_MMP_TRIGGERED not in kinds(wire, maker)
    assert [lots_of(message.total_filled) for message in taker.inbox if message.template == Template.ORDER_PLACED] == [
        5, 5, 5,
    ]  # fmt: skip


def test_a_frame_with_a_tag_is_of_another_wire() -> None:
    """Where a tag moves the headers, what lies in their place proves nothing: it is not read."""
    wire = fast()
    client = wire.ready()
    data = client.frame(Template.TEST_REQUEST, struct.pack("<q", 5), sequence=2)
    address = reserve(wire.exchange, TCP_FRAME_HEADER_BYTES + len(data) + 4)
    ctypes.memmove(write_tcp_frame_header(address, client.flow, 0xFFFF), data, len(data))
    length = seal_tcp_frame(address, len(data), client.sent, client.got, FLAG_ACK | FLAG_PSH)
    whole = ctypes.string_at(address, length)
    tagged = whole[:12] + b"\x81\x00\x00\x05" + whole[12:]
    ctypes.memmove(address, tagged, len(tagged))
    commit(wire.exchange, len(tagged), wire.now_ns)
    assert mistakes(wire) == {Mistake.BAD_CHECKSUM: 1}
    assert kinds(wire, client) == []
    ask(client)
    assert kinds(wire, client) == [Template.HEARTBEAT]


def test_a_gap_fill_that_was_not_asked_for_is_a_message_like_others() -> None:
    wire = fast()
    client = wire.ready()
    client.send(Template.GAP_FILL, struct.pack("<q", 9))
    ask(client)
    assert [(message.template, message.last_processed) for message in said(wire, client)] == [(Template.HEARTBEAT, 3)]
    assert (mistakes(wire), wire.exchange.gateways.gaps_filled) == ({}, 0)
    client.send(Template.GAP_FILL, struct.pack("<q", 9), sequence=1)
    assert (mistakes(wire), wire.exchange.gateways.gaps_filled) == ({Mistake.COPY: 1}, 0)


def test_a_gap_that_was_asked_for_is_filled_once_and_by_a_gap_fill_alone() -> None:
    wire = fast()
    client = wire.ready()
    client.hang_up()
    client.sequence = 4  # three were lost
    client.connect()
    client.inbox.clear()
    client.logon(reset=False)
    confirmed, asked = said(wire, client)
    assert (confirmed.template, asked.template, asked.from_sequence, asked.to_sequence) == (
        Template.LOGON_CONF, Template.RESEND_REQUEST, 2, 4,
    )  # fmt: skip
    gateways = wire.exchange.gateways
    ask(client, sequence=2)
    assert (kinds(wire, client), mistakes(wire), gateways.gaps_filled) == ([], {Mistake.COPY: 1}, 0)
    client.send(Template.GAP_FILL, struct.pack("<q", 5), sequence=2)
    assert (kinds(wire, client), mistakes(wire), gateways.gaps_filled) == ([], {Mistake.COPY: 1}, 1)
    for copies, number in enumerate((2, 1), 2):
        client.send(Template.GAP_FILL, struct.pack("<q", 5), sequence=number)
        assert (kinds(wire, client), mistakes(wire), gateways.gaps_filled) == ([], {Mistake.COPY: copies}, 1)
    ask(client)
    assert kinds(wire, client) == [Template.HEARTBEAT]
    assert gateways.gaps_asked == 1


def test_the_place_of_a_connection_that_waits_to_be_reset_is_not_given_away() -> None:
    """Its RST finds no room, so that it is still to go out, and would end whoever came in its place."""
    wire = fast(response_latency_ns=S)
    client = wire.client()
    client.connect()
    client.logon()
    for number in range(DELAY_FRAMES_MAX - 1):
        client.cancel(number)
        if number % 100 == 99:
            wire.run(0)
    wire.run(0)
    restart_gateway(wire.exchange, 0, wire.now_ns)
    served = wire.exchange.gateways.served[0]
    assert (served.is_broken, served.is_open) == (1, 0)
    late = wire.client(1, 1, key=1)
    late.connect()
    wire.run(S)
    late.logon()
    wire.run(S)
    assert (client.is_ended, late.is_ended) == (True, False)
    assert kinds(wire, late) == [Template.LOGON_CONF]
    assert [place.is_broken for place in wire.exchange.gateways.served] == [0, 0, 0, 0]


def test_what_displaces_and_what_silence_ends_is_counted_by_session() -> None:
    wire = fast(heartbeat_s=1)
    first, other = wire.ready(), wire.ready(1, key=1)
    second = wire.ready(0, 2)
    assert first.is_ended
    sessions = wire.exchange.gateways.sessions
    assert [(each.logons, each.displaced, each.silenced) for each in sessions] == [
        (2, 1, 0), (0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0),
    ]  # fmt: skip
    wire.run(1300 * MS)
    ask(other)
    wire.run(400 * MS)
    assert (second.is_ended, other.is_ended) == (True, False)
    assert [each.silenced for each in sessions] == [1, 0, 0, 0, 0, 0]


def test_a_test_is_of_its_time_and_a_beat_of_none() -> None:
    wire = fast(heartbeat_s=1, grace_ns=400 * MS)
    client = wire.ready()
    begun_ns = wire.now_ns - MS
    wire.run(begun_ns + 1200 * MS - wire.now_ns)
    beat, test = said(wire, client)
    assert (beat.template, beat.correlation_id) == (Template.HEARTBEAT, 0)
    assert (test.template, test.correlation_id) == (Template.TEST_REQUEST, begun_ns + 1200 * MS)
    # Neither is kept: they are passed over when what was said is asked for again.
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 1, 0))
    assert [(message.template, message.sequence, message.new_sequence) for message in said(wire, client)] == [
        (Template.GAP_FILL, 1, 4)
    ]


def test_what_is_numbered_before_a_logon_that_resets_is_not_waited_for() -> None:
    wire = fast()
    client = wire.client()
    client.connect()
    client.sequence = 4
    body = b"alpha".ljust(16, b"\0") + b"first secret".ljust(48, b"\0") + struct.pack("<bHb", 1, 17, 0)
    client.send(Template.LOGON, body)
    [confirmed] = said(wire, client)
    assert (confirmed.template, confirmed.last_processed) == (Template.LOGON_CONF, 0)
    ask(client)
    assert [(message.template, message.last_processed) for message in said(wire, client)] == [(Template.HEARTBEAT, 6)]
    assert mistakes(wire) == {}
    # Nor is what came before one that begins with the first number again.
    client.hang_up()
    client.connect()
    client.logon()
    assert [(message.template, message.last_processed) for message in said(wire, client)] == [(Template.LOGON_CONF, 1)]


def test_a_logon_that_can_not_ask_for_cancels_asks_for_none() -> None:
    """Whatever the one before it asked for: the field came with version 13."""
    wire = fast()
    client = wire.ready(cancel_on_disconnect=True)
    client.hang_up()
    client.connect()
    client.sequence = 0
    body = b"alpha".ljust(16, b"\0") + b"first secret".ljust(48, b"\0") + struct.pack("<bH", 1, 17)
    client.send(Template.LOGON, body, version=12)
    assert last(wire, client).template == Template.LOGON_CONF
    client.new(1, 1, 1000, 5)
    wire.run(0)
    client.hang_up()
    wire.run(0)
    assert book(wire) == [[(1000, 5)], []]


def test_each_session_has_beats_of_its_own() -> None:
    """What is due for one is nothing for the other."""
    wire = fast(heartbeat_s=1, grace_ns=400 * MS)
    first = wire.ready()
    wire.run(300 * MS)
    second = wire.ready(1, key=1)
    heard = []
    for _ in range(3):
        for after_ns in (699 * MS, 301 * MS):
            wire.run(after_ns)
            heard.append((kinds(wire, first), kinds(wire, second)))
            ask(first if len(heard) % 2 else second)
            wire.run(0)
            first.inbox.clear()
            second.inbox.clear()
    beat = [Template.HEARTBEAT]
    assert heard == [(beat, []), ([], beat), (beat, []), ([], beat), (beat, []), ([], beat)]


def test_what_has_a_number_too_high_is_not_done() -> None:
    wire = fast()
    client = wire.ready()
    body = new_body(1, 1, 1000 * TICK_E9, 5)
    client.send(Template.NEW_ORDER_REQUEST, body, sequence=3)
    assert kinds(wire, client) == [Template.LOGGED_OUT]
    assert (client.is_ended, mistakes(wire), wire.exchange.matching.order_count) == (True, {Mistake.BAD_SEQUENCE: 1}, 0)
    client.connect()
    client.logon(reset=False)
    assert said(wire, client)[0].last_processed == 2
    client.new(1, 1, 1000, 5)
    assert last(wire, client).template == Template.NEW_ORDER_RESPONSE


def test_a_gap_fill_is_of_the_version_that_was_agreed() -> None:
    wire = fast()
    client = wire.client()
    client.connect()
    client.logon(version=16)
    ask(client)
    client.cancel(9)
    assert [message.version for message in said(wire, client)] == [16, 16, 16]
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 1, 0))
    assert [(message.template, message.version, message.sequence) for message in said(wire, client)] == [
        (Template.GAP_FILL, 16, 1), (Template.CANCEL_ORDER_REJECT, 16, 3),
    ]  # fmt: skip


def test_who_is_sent_away_is_told_of_no_number_of_his() -> None:
    """Nor of anybody else's."""
    wire = fast()
    client, stranger = wire.ready(), wire.client(0, 1)
    for number in range(5):
        ask(client, number)
    assert last(wire, client).last_processed == 6
    stranger.secret = b"no secret"
    stranger.connect()
    stranger.logon()
    [goodbye] = said(wire, stranger)
    assert (goodbye.template, goodbye.sequence, goodbye.last_processed, goodbye.version) == (
        Template.LOGGED_OUT, 1, 0, 17,
    )  # fmt: skip
    assert (stranger.is_ended, client.is_ended) == (True, False)


def test_more_than_a_batch_is_said_again_whole() -> None:
    """Each frame with the time at which it is sent, and the number received by then."""
    wire = fast()
    client = wire.ready()
    for number in range(900):
        client.cancel(number)
        if number % 100 == 99:
            wire.run(0)
    told = said(wire, client)
    assert {message.send_time_ns for message in told} == {wire.now_ns}
    wire.run(7)
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 0))
    again = said(wire, client)
    assert [(m.sequence, m.template, m.fields) for m in again] == [(m.sequence, m.template, m.fields) for m in told]
    assert {(m.send_time_ns, m.last_processed, m.is_resent) for m in again} == {(wire.now_ns, 902, True)}


def test_a_quantity_is_written_in_the_lots_of_its_instrument() -> None:
    """Lots of 0.005: five thousandths each."""
    market = make_market(1)
    market.instruments[0].lot_e9 = 5_000_000
    flows = [order_flow(0), order_flow(1)]
    options = {"start_ns": START_NS, "is_connected": False} | FAST
    wire = Wire(make_starbase_exchange(VENUE, market, flows, CHANNEL, KEYS, {0: 1000}, **options))
    client, other = wire.ready(), wire.ready(1, key=1)
    client.new(1, -1, 1000, 15)
    wire.run(0)
    placed = said(wire, client)[0]
    assert (placed.quantity, placed.visible_quantity, placed.total_filled) == ((15, -3), (15, -3), (0, -3))
    other.new(1, 1, 1000, 10)
    assert last(wire, other).groups["fills"][0]["fill_quantity"] == (10, -3)
    filled = last(wire, client).groups["fills"][0]
    assert (filled["fill_quantity"], filled["total_filled"]) == ((10, -3), (10, -3))
    other.new(2, 1, 1000, 7)
    assert last(wire, other).reason == OrderRejectReason.INVALID_QUANTITY
