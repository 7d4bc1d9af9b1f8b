"""The simulated Starbase's connections and sessions: who may speak, numbers, what is kept, duties by the clock."""

import struct
from typing import Any

import pytest

from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_PSH, FLAG_RST, FLAG_SYN, Flow
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.state import MESSAGES_STORED, SERVED_MAX, STORE_BYTES, Mistake
from crosswire.venues.starbase.wire.order_codes import (
    OrderStatus,
    Template,
    WireRejectReason,
)
from tests.support.starbase_exchange_client import (
    MS,
    TICK_E9,
    S,
    ask,
    book,
    fast,
    kinds,
    last,
    lots_of,
    mistakes,
    new_body,
    order_flow,
    said,
)

pytestmark = pytest.mark.starbase


def test_segments_of_nobody_are_counted_and_change_nothing() -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    flow = order_flow(0)
    elsewhere = Flow(source_ip=flow.source_ip, destination_ip=flow.destination_ip, source_port=flow.source_port,
                     destination_port=9_005)  # fmt: skip
    wire.send_segment(elsewhere, b"", 0, 0, FLAG_SYN)
    assert mistakes(wire) == {Mistake.NOT_TCP: 1}
    assert [served.is_open for served in wire.exchange.gateways.served] == [1, 0, 0, 0]
    data = client.frame(Template.TEST_REQUEST, struct.pack("<q", 5), sequence=3)
    for place, changed in enumerate(({"source_port": 41_111}, {"source_ip": 7}, {"destination_port": 9_001}), 1):
        stranger = order_flow(0)
        for name, value in changed.items():
            setattr(stranger, name, value)
        wire.send_segment(stranger, data, client.sent, client.got, FLAG_ACK | FLAG_PSH)
        assert mistakes(wire)[Mistake.NO_CONNECTION] == place
    assert kinds(wire, client) == [Template.NEW_ORDER_RESPONSE]


@pytest.mark.parametrize("place", [12, 14 + 8, 14 + 20 + 16, 14 + 20 + 20 + 39])
def test_a_frame_that_was_spoilt_on_its_way_is_not_read(place: int) -> None:
    wire = fast()
    client = wire.ready()
    data = client.frame(Template.TEST_REQUEST, struct.pack("<q", 5), sequence=2)
    client.send_bytes(data)
    orders = wire.exchange.orders
    slot = orders.frames[(orders.sent - 1) % DELAY_FRAMES_MAX].data
    slot[place] ^= 1
    found = mistakes(wire)
    assert found in ({Mistake.BAD_CHECKSUM: 1}, {Mistake.NOT_TCP: 1})
    assert kinds(wire, client) == []


def test_so_many_connections_at_once() -> None:
    wire = fast()
    clients = [wire.ready(0, place, key=place % 2) for place in range(1)]
    for place in range(1, SERVED_MAX):
        clients.append(wire.client(0, place))
        clients[-1].connect()
    late = wire.client(0, SERVED_MAX)
    late.connect()
    assert mistakes(wire) == {Mistake.TOO_MANY_CONNECTIONS: 1}
    late.logon()
    assert mistakes(wire)[Mistake.NO_CONNECTION] == 1
    clients[2].hang_up()
    late.connect()
    late.client_id, late.secret = "beta", b"second secret"
    late.logon()
    assert kinds(wire, late) == [Template.LOGON_CONF]
    ask(clients[0])
    assert kinds(wire, clients[0]) == [Template.HEARTBEAT]


@pytest.mark.parametrize("flags", [FLAG_FIN | FLAG_ACK, FLAG_RST | FLAG_ACK, FLAG_SYN])
def test_what_ends_a_connection_ends_its_session(flags: int) -> None:
    wire = fast()
    client, other = wire.ready(cancel_on_disconnect=True), wire.ready(1)
    client.new(1, 1, 1000, 5)
    other.new(2, 1, 999, 5)
    wire.run(0)
    client.inbox.clear()
    wire.send_segment(client.flow, b"", client.sent, client.got, flags)
    wire.run(0)
    assert book(wire) == [[(999, 5)], []]
    assert [session.connection for session in list(wire.exchange.gateways.sessions)[:2]] == [-1, 1]
    # What is sent on it is of no session any more.
    if flags == FLAG_SYN:
        client.sent = client.got = 0
        client.pending = b""
    ask(client)
    found = mistakes(wire)
    assert found == ({Mistake.NOT_LOGGED_ON: 1} if flags == FLAG_SYN else {Mistake.NO_CONNECTION: 1})
    assert not other.is_ended


def test_bytes_that_are_no_frame_end_the_connection_with_a_goodbye() -> None:
    for is_logged_on in (False, True):
        wire = fast()
        client = wire.ready() if is_logged_on else wire.client()
        if not is_logged_on:
            client.connect()
        client.send_bytes(b"\x55" * 40)
        message = last(wire, client)
        assert (message.template, message.sequence) == (Template.LOGGED_OUT, 2 if is_logged_on else 1)
        assert client.is_ended
        assert not wire.exchange.gateways.served[0].is_open


def test_what_follows_a_goodbye_in_a_segment_is_not_read() -> None:
    wire = fast()
    client = wire.ready()
    logout = client.frame(Template.LOGOUT, b"\0")
    client.send_bytes(
        logout + bytes(-len(logout) % 8) + client.frame(Template.NEW_ORDER_REQUEST, new_body(1, 1, 1000 * TICK_E9, 5))
    )
    assert kinds(wire, client) == [Template.LOGGED_OUT]
    assert wire.exchange.matching.order_count == 0


@pytest.mark.parametrize("wrong", [{"client_id": "alpha2"}, {"client_id": "alph"}, {"secret": b"first secrex"},
                                   {"secret": b"second secret"}, {"client_id": "beta"}])  # fmt: skip
def test_a_key_is_known_by_both_its_parts(wrong: dict[str, Any]) -> None:
    wire = fast()
    client = wire.client()
    for name, value in wrong.items():
        setattr(client, name, value)
    client.connect()
    client.logon()
    assert kinds(wire, client) == [Template.LOGGED_OUT]
    assert mistakes(wire) == {Mistake.BAD_LOGON: 1}
    assert all(session.connection == -1 for session in list(wire.exchange.gateways.sessions)[:6])


def test_a_second_logon_on_a_connection_ends_it() -> None:
    wire = fast()
    client = wire.ready()
    client.logon(reset=False)
    assert kinds(wire, client) == [Template.LOGGED_OUT]
    assert mistakes(wire) == {Mistake.BAD_LOGON: 1}


@pytest.mark.parametrize(("sequence", "is_taken"), [(-1, False), (0, False), (1, False), (2, True), (3, True)])
def test_a_logon_without_reset_goes_on_behind_the_numbers_used(sequence: int, is_taken: bool) -> None:
    wire = fast()
    client = wire.ready()
    client.hang_up()
    client.connect()
    client.inbox.clear()
    body = b"alpha".ljust(16, b"\0") + b"first secret".ljust(48, b"\0") + struct.pack("<bHb", 0, 17, 0)
    client.send(Template.LOGON, body, sequence=sequence)
    found = said(wire, client)
    assert found[0].template == (Template.LOGON_CONF if is_taken else Template.LOGGED_OUT)
    assert (found[0].last_processed if is_taken else 0) == {2: 2, 3: 1}.get(sequence, 0)
    assert mistakes(wire) == ({} if is_taken else {Mistake.BAD_SEQUENCE: 1})
    assert [message.template for message in found[1:]] == [Template.RESEND_REQUEST] * (sequence == 3)


def test_what_was_lost_before_an_unread_confirmation_is_still_said_to_be_lost() -> None:
    """A client that has not processed the last confirmation does not know what was lost before that one."""
    wire = fast()
    client = wire.ready()
    client.hang_up()
    client.sequence = 4  # three were lost
    heard = client.heard
    client.connect()
    client.logon(reset=False)
    assert said(wire, client)[0].last_processed == 1
    client.hang_up()
    client.heard = heard
    client.connect()
    client.logon(reset=False)
    assert said(wire, client)[0].last_processed == 1
    # One that has knows it.
    client.hang_up()
    client.connect()
    client.logon(reset=False)
    confirmed = said(wire, client)[0]
    assert (confirmed.last_processed, client.sequence) == (7, 7)


@pytest.mark.parametrize(("version", "schema", "cancels"), [(11, 17, False), (12, 16, False), (13, 16, True)])
def test_fields_of_the_logon_that_came_later_are_not_read_in_an_older_one(
    version: int, schema: int, cancels: bool
) -> None:
    wire = fast()
    client = wire.client()
    client.connect()
    body = b"alpha".ljust(16, b"\0") + b"first secret".ljust(48, b"\0") + struct.pack("<bHb", 1, 16, 1)
    client.send(Template.LOGON, body[: {11: 65, 12: 67, 13: 68}[version]] + b"\1" * 3, version=version)
    assert last(wire, client).schema_version == schema
    client.new(1, 1, 1000, 5)
    client.hang_up()
    wire.run(0)
    assert wire.exchange.matching.order_count == (0 if cancels else 1)


@pytest.mark.parametrize("schema", [0, 14, 16, 17, 18, 30])
def test_the_schema_is_the_lower_of_both(schema: int) -> None:
    wire = fast()
    client = wire.client()
    client.connect()
    client.logon(version=schema)
    confirmed = last(wire, client)
    agreed = min(schema or 17, 17)
    assert (confirmed.schema_version, confirmed.version) == (agreed, agreed)


@pytest.mark.parametrize("schema", [7, 8, 11, 12, 15, 16, 17])
def test_every_answer_is_laid_out_as_its_version_has_it(schema: int) -> None:
    """The client reads each by the published lengths."""
    wire = fast(speed_bump_ns=10 * MS)
    client, other = wire.client(), wire.ready(1, key=1)
    client.connect()
    client.logon(version=schema)
    other.new(1, 1, 1000, 2)
    client.new(1, -1, 1000, 3)
    client.new(2, 1, 990, 3)
    client.amend(2, 991, 3)
    client.cancel(2)
    client.cancel(9)
    found = said(wire, client)
    wire.run(10 * MS)
    found += said(wire, client)
    assert [message.template for message in found] == [
        Template.LOGON_CONF, Template.NEW_ORDER_RESPONSE, Template.NEW_ORDER_RESPONSE, Template.AMEND_ORDER_RESPONSE,
        Template.CANCEL_ORDER_RESPONSE, Template.CANCEL_ORDER_REJECT, Template.ORDER_PLACED,
    ]  # fmt: skip
    placed = found[-1]
    assert (placed.client_order_id, placed.status) == (1, OrderStatus.ACTIVE)
    assert [lots_of(fill["fill_quantity"]) for fill in placed.groups["fills"]] == [2]


@pytest.mark.parametrize("schema", [7, 8])
def test_what_lies_behind_fields_that_a_version_has_not_is_told_whole(schema: int) -> None:
    wire = fast(speed_bump_ns=10 * MS)
    client, other = wire.client(), wire.ready(1, key=1)
    client.connect()
    client.logon(version=schema)
    for number in range(40):
        other.new(number, 1, 1040 - number, 1 + number)
    client.new(1, -1, 1001, 900)
    wire.run(10 * MS)
    fills = [
        (fill["fill_price_e9"] // TICK_E9, lots_of(fill["fill_quantity"]))
        for fill in last(wire, client).groups["fills"]
    ]
    assert fills == [(1040 - number, 1 + number) for number in range(40)]


@pytest.mark.parametrize(
    ("first", "end", "is_taken"),
    [(1, 0, True), (1, 3, True), (3, 3, True), (3, 99, True), (4, 0, False), (3, 2, False), (0, 0, False),
     (1, -1, False)],
)  # fmt: skip
def test_which_messages_may_be_asked_for_again(first: int, end: int, is_taken: bool) -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    client.new(2, 1, 999, 5)
    wire.run(0)
    client.inbox.clear()
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", first, end))
    found = said(wire, client)
    if not is_taken:
        assert [(message.template, message.reason, message.reference_sequence) for message in found] == [
            (Template.REJECT, WireRejectReason.INVALID_FIELD_VALUE, 4)
        ]
        assert mistakes(wire) == {Mistake.REFUSED: 1}
        return
    assert [message.sequence for message in found] == list(range(first, 4))
    assert all(message.is_resent and message.last_processed == 4 for message in found)
    assert wire.exchange.gateways.resent == len(found) - (first == 1)


def test_much_that_is_asked_for_again_comes_whole_and_in_order() -> None:
    wire = fast()
    client = wire.ready()
    for number in range(700):
        client.cancel(number)
        if number % 100 == 50:
            ask(client, number)
        if number % 100 == 99:
            wire.run(0)
    before = [(message.template, message.sequence, message.fields) for message in said(wire, client)]
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 0))
    after = said(wire, client)
    kept = [each for each in before if each[0] == Template.CANCEL_ORDER_REJECT]
    assert [(m.template, m.sequence, m.fields) for m in after if m.template != Template.GAP_FILL] == kept
    beats = [sequence for template, sequence, _ in before if template == Template.HEARTBEAT]
    assert [(m.sequence, m.new_sequence) for m in after if m.template == Template.GAP_FILL] == [
        (sequence, sequence + 1) for sequence in beats
    ]
    assert {m.time_ns for m in after} == {wire.now_ns}


@pytest.mark.parametrize("more", [0, 1])
def test_only_the_last_messages_are_kept(more: int) -> None:
    wire = fast()
    client = wire.ready()
    client.cancel(1)
    wire.run(0)
    client.inbox.clear()
    session = wire.exchange.gateways.sessions[0]
    session.send_sequence = 2 + MESSAGES_STORED - 1 + more
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 2))
    assert last(wire, client).template == (Template.GAP_FILL if more else Template.CANCEL_ORDER_REJECT)


def test_the_store_goes_round_and_keeps_what_is_not_written_over() -> None:
    wire = fast()
    client = wire.ready()
    session = wire.exchange.gateways.sessions[0]
    session.stored_bytes = STORE_BYTES - 200
    for number in range(1, 6):
        client.cancel(number)
    before = [message.fields for message in said(wire, client)]
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 6))
    assert [message.fields for message in said(wire, client)] == before
    # As far round again, what was first is written over.
    session.stored_bytes += STORE_BYTES - (session.stored_bytes - session.messages[3].position)
    client.cancel(7)
    wire.run(0)
    client.inbox.clear()
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 4))
    found = said(wire, client)
    assert [message.template for message in found] == [Template.GAP_FILL, Template.CANCEL_ORDER_REJECT]
    assert found[0].new_sequence == 4
    assert found[1].client_order_id == 3


def test_beats_and_tests_come_to_the_nanosecond() -> None:
    wire = fast(heartbeat_s=1, grace_ns=400 * MS)
    client = wire.ready()
    begun_ns = wire.now_ns - MS
    silent = wire.client(1, 1)
    wire.now_ns = begun_ns + 100 * MS
    silent.connect()
    for after_ns, heard in (
        (S - 1, []), (1, [Template.HEARTBEAT]), (200 * MS - 1, []), (1, [Template.TEST_REQUEST]), (200 * MS - 1, []),
        (1, [Template.LOGGED_OUT]),
    ):  # fmt: skip
        wire.run(begun_ns + after_ns - wire.now_ns if after_ns == S - 1 else after_ns)
        assert kinds(wire, client) == heard
    assert wire.exchange.gateways.sessions[0].silenced == 1
    # One that never logged on is not tested.
    wire.run(100 * MS - 1)
    assert not silent.is_ended
    wire.run(1)
    assert kinds(wire, silent) == [Template.LOGGED_OUT]
    assert silent.is_ended


def test_an_answer_to_the_test_is_enough_and_what_is_said_stands_for_a_beat() -> None:
    wire = fast(heartbeat_s=1, grace_ns=400 * MS)
    client = wire.ready()
    begun_ns = wire.now_ns - MS
    wire.run(begun_ns + 1200 * MS - wire.now_ns)
    assert kinds(wire, client) == [Template.HEARTBEAT, Template.TEST_REQUEST]
    ask(client)
    assert kinds(wire, client) == [Template.HEARTBEAT]
    for after_ns, heard in (
        (S - 1, []), (1, [Template.HEARTBEAT]), (200 * MS - 1, []), (1, [Template.TEST_REQUEST]), (200 * MS - 1, []),
    ):  # fmt: skip
        wire.run(after_ns)
        assert kinds(wire, client) == heard
    assert not client.is_ended


def test_a_gateway_that_dies_takes_its_own_connections_with_it() -> None:
    wire = fast()
    a, b, waiting = wire.ready(cancel_on_disconnect=True), wire.ready(1), wire.client(0, 1)
    waiting.connect()
    a.new(1, 1, 1000, 5)
    b.new(2, 1, 999, 5)
    wire.run(0)
    a.inbox.clear()
    restart_gateway(wire.exchange, 0, wire.now_ns)
    assert kinds(wire, a) == []  # no goodbye
    assert (a.is_ended, b.is_ended, waiting.is_ended) == (True, False, True)
    assert book(wire) == [[(999, 5)], []]


def test_a_client_that_takes_nothing_more_is_cut_off_and_misses_nothing() -> None:
    wire = fast(response_latency_ns=S)
    client = wire.client()
    client.connect()
    client.logon(cancel_on_disconnect=True)
    client.new(1, 1, 1000, 5)
    for number in range(DELAY_FRAMES_MAX - 2):
        client.cancel(100 + number)
        if number % 100 == 99:
            wire.run(0)
    wire.run(0)
    assert wire.exchange.gateways.unsent == 0
    client.cancel(5000)
    client.cancel(5001)
    wire.run(0)
    gateways = wire.exchange.gateways
    assert (gateways.unsent, gateways.served[0].is_broken, gateways.served[0].is_open) == (1, 1, 1)
    # Its place is not given to another while it waits to be reset.
    assert wire.exchange.matching.order_count == 1
    wire.run(S)
    wire.run(S)
    assert client.is_ended
    assert (gateways.served[0].is_broken, gateways.served[0].is_open) == (0, 0)
    assert wire.exchange.matching.order_count == 0
    heard = said(wire, client)[-1].sequence
    assert heard == DELAY_FRAMES_MAX
    client.connect()
    client.logon(reset=False)
    wire.run(S)
    client.inbox.clear()
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", heard + 1, heard + 3))
    wire.run(S)
    found = said(wire, client)
    assert [message.template for message in found] == [
        Template.CANCEL_ORDER_REJECT, Template.CANCEL_ORDER_REJECT, Template.ORDERS_CANCELED,
    ]  # fmt: skip
    assert [message.client_order_id for message in found[:2]] == [5000, 5001]
