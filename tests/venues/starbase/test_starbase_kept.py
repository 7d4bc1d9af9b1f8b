"""What the simulated Starbase keeps of what it sent, how it is sent again, and on which connection."""

import ctypes
import struct
from typing import Any

import pytest

from crosswire.nic.memory.struct import address_of, array, u8
from crosswire.nic.packet import FLAG_FIN, FLAG_RST
from crosswire.nic.rings.connection import reconnect
from crosswire.nic.rings.ring import Frame, poll, release
from crosswire.venues.starbase.exchange.exchange import forget_session
from crosswire.venues.starbase.exchange.gateway.send import resend
from crosswire.venues.starbase.exchange.state import Mistake
from crosswire.venues.starbase.wire.order_codes import Template
from tests.support.starbase_exchange_client import MS, Connection, Wire, ask, fast, kinds, mistakes, said

pytestmark = pytest.mark.starbase
STORE_BYTES = 2 << 20  # of a session, as a number of the tests' own
BATCH_BYTES = 65_536
WIRE_FRAMES_MAX = 512


def ask_again(client: Connection, first: int, last: int = 0) -> None:
    client.send(Template.RESEND_REQUEST, struct.pack("<qq", first, last))


def contents(messages: list[Any]) -> list[tuple[int, int, Any]]:
    return [(message.template, message.sequence, message.fields) for message in messages]


def test_a_message_that_ends_with_the_store_is_put_there_and_the_first_is_still_whole() -> None:
    wire = fast()
    client = wire.ready()
    session = wire.exchange.gateways.sessions[0]
    session.stored_bytes = 0
    client.cancel(1)
    [first] = said(wire, client)
    session.stored_bytes = STORE_BYTES - session.messages[first.sequence].length
    client.cancel(2)
    [second] = said(wire, client)
    ask_again(client, first.sequence, second.sequence)
    assert contents(said(wire, client)) == contents([first, second])
    # One more lies over the first.
    client.cancel(3)
    [third] = said(wire, client)
    ask_again(client, first.sequence, third.sequence)
    again = said(wire, client)
    assert (again[0].template, again[0].sequence, again[0].new_sequence) == (Template.GAP_FILL, 2, second.sequence)
    assert contents(again[1:]) == contents([second, third])


@pytest.mark.parametrize("room", [0, 1, 40, 55, 56, 57, 120])
def test_nothing_is_written_behind_the_store(room: int) -> None:
    wire = fast()
    client = wire.ready()
    session = wire.exchange.gateways.sessions[0]
    store = array(u8, STORE_BYTES + 512)
    session.store = store
    session.stored_bytes = 3 * STORE_BYTES - room
    for number in range(4):
        client.cancel(number)
    told = said(wire, client)
    ask_again(client, told[0].sequence, told[-1].sequence)
    assert contents(said(wire, client)) == contents(told)
    behind = store.numpy(STORE_BYTES + 512)
    assert behind[:STORE_BYTES].any()
    assert not behind[STORE_BYTES:].any()


def test_nothing_is_written_behind_a_batch() -> None:
    """Sent again are more messages than one batch has room for; what lies behind it is what was parsed last."""
    wire = fast()
    client = wire.ready()
    for number in range(1100):
        client.cancel(number)
        if number % 100 == 99:
            wire.run(0)
    told = said(wire, client)
    gateways = wire.exchange.gateways
    behind = address_of(gateways.packet)
    assert behind >= address_of(gateways.batch) + BATCH_BYTES
    length = type(gateways.packet).size
    ctypes.memset(behind, 0x5A, length)
    resend(wire.exchange, 0, told[0].sequence, told[-1].sequence, wire.now_ns)
    assert ctypes.string_at(behind, length) == b"\x5a" * length
    assert contents(said(wire, client)) == contents(told)


def test_what_is_said_first_after_all_was_forgotten_can_be_asked_for_again() -> None:
    wire = fast()
    client = wire.ready()
    client.cancel(1)
    [lost] = said(wire, client)
    forget_session(wire.exchange, 0)
    client.cancel(2)
    [kept] = said(wire, client)
    ask_again(client, lost.sequence, kept.sequence)
    filled, again = said(wire, client)
    assert (filled.template, filled.sequence, filled.new_sequence) == (Template.GAP_FILL, lost.sequence, kept.sequence)
    assert contents([again]) == contents([kept])


def test_messages_are_counted_as_they_are_sent_and_as_they_are_sent_again() -> None:
    wire = fast()
    client, other = wire.ready(), wire.ready(1, key=1)
    gateways = wire.exchange.gateways
    assert (gateways.answers, gateways.resent) == (2, 0)
    client.new(1, 1, 1000, 5)
    ask(other)
    client.cancel(9)
    wire.run(0)
    assert (gateways.answers, gateways.resent) == (5, 0)
    ask_again(client, 1, 3)
    wire.run(0)
    # The confirmation of the logon is none that is said again.
    assert (gateways.answers, gateways.resent) == (5, 2)


def joined(**options: Any) -> tuple[Wire, Connection]:
    """A client in the exchange's own process, on a connection that is there; not logged on."""
    wire = fast(is_connected=True, **options)
    return wire, wire.client()


def connect_anew(wire: Wire, client: Connection) -> None:
    reconnect(wire.exchange, 0, wire.now_ns)
    client.sent = client.got = 0
    client.pending, client.is_ended = b"", False
    client.logon(reset=False)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_client_in_process_hears_all_of_its_connection_to_the_end(before: int) -> None:
    """An answer of several segments, and the goodbye with the end behind it, wherever in the wire they lie."""
    wire, client = joined()
    client.logon()
    for number in range(60 + before):
        client.cancel(number)
    told = said(wire, client)[1:]
    connect_anew(wire, client)
    for number in range(before):
        ask(client, number)
    ask_again(client, 2, told[-1].sequence)
    again = said(wire, client)
    assert contents(again[1 + before :]) == contents(told)
    client.send(Template.LOGOUT, b"\0")
    assert kinds(wire, client) == [Template.LOGGED_OUT]
    assert (client.is_ended, client.pending) == (True, b"")
    assert wire.exchange.stale == 0


def test_a_client_in_process_hears_nothing_more_of_a_connection_that_it_gave_up() -> None:
    wire, client = joined(response_latency_ns=MS)
    client.logon()
    for number in range(60):
        client.cancel(number)
    wire.run(0)
    connect_anew(wire, client)
    wire.run(MS)
    assert [(message.template, message.sequence) for message in said(wire, client)] == [
        (Template.LOGON_CONF, 62), (Template.RESEND_REQUEST, 63),
    ]  # fmt: skip
    assert wire.exchange.stale == 61


@pytest.mark.parametrize("is_logged_on", [False, True])
def test_the_end_of_a_connection_carries_no_byte(is_logged_on: bool) -> None:
    wire = fast()
    client = wire.ready() if is_logged_on else wire.client()
    if not is_logged_on:
        client.connect()
    client.send(Template.LOGOUT, b"\0")
    [goodbye] = said(wire, client)
    assert (goodbye.template, client.is_ended, client.pending) == (Template.LOGGED_OUT, True, b"")
    # Nothing comes behind it.
    served = wire.exchange.gateways.served[0]
    assert (served.is_open, served.is_broken) == (0, 0)
    wire.run(MS)
    assert wire.exchange.answers.sent == wire.exchange.answers.received


def test_a_logon_that_resets_forgets_what_was_forgotten() -> None:
    wire = fast()
    client = wire.ready()
    for number in range(5):
        client.cancel(number)
    wire.run(0)
    forget_session(wire.exchange, 0)
    client.hang_up()
    client.connect()
    client.logon()
    client.cancel(7)
    kept = said(wire, client)[-1]
    ask_again(client, kept.sequence)
    assert contents(said(wire, client)) == contents([kept])


def test_an_end_without_room_on_the_wire_comes_as_a_reset() -> None:
    """The goodbye takes the last of the room."""
    wire = fast(response_latency_ns=MS)
    client = wire.client()
    client.connect()
    client.logon()
    for number in range(WIRE_FRAMES_MAX - 2):
        client.cancel(number)
        if number % 100 == 99:
            wire.run(0)
    client.send(Template.LOGOUT, b"\0")
    wire.run(0)
    served = wire.exchange.gateways.served[0]
    assert (served.is_open, served.is_broken, client.is_ended) == (0, 1, False)
    wire.run(MS)
    assert said(wire, client)[-1].template == Template.LOGGED_OUT
    wire.run(MS)
    assert (served.is_broken, client.is_ended) == (0, True)
    assert wire.exchange.gateways.unsent == 0


def addressed(wire: Wire) -> set[tuple[bytes, bytes]]:
    """Destination and source on the link of the order answers that come now."""
    frame, found = Frame(), set()
    while poll(wire.exchange, frame, wire.now_ns):
        head = ctypes.string_at(frame.address, 14 + 20)
        if head[23] == 6:  # TCP
            found.add((head[:6], head[6:12]))
        release(wire.exchange)
    return found


def test_answers_are_addressed_on_the_link_as_their_client_is() -> None:
    wire, client = joined()
    ours, theirs = ((number).to_bytes(6, "big") for number in (client.flow.source_mac, client.flow.destination_mac))
    client.logon()
    assert addressed(wire) == {(ours, theirs)}
    connect_anew(wire, client)
    assert addressed(wire) == {(ours, theirs)}
    # A place is taken over by a client elsewhere, whose link is not known here.
    client.hang_up()
    wire.run(0)
    other = wire.client(0, 1, key=1)
    other.connect()
    other.logon()
    assert addressed(wire) == {(bytes(6), bytes(6))}


def test_a_goodbye_is_said_once() -> None:
    wire = fast()
    client = wire.ready()
    client.cancel(1)
    client.send(Template.LOGOUT, b"\0")
    refused, goodbye = said(wire, client)
    assert goodbye.template == Template.LOGGED_OUT
    client.connect()
    client.logon(reset=False)
    [confirmed] = said(wire, client)
    ask_again(client, 1)
    again = said(wire, client)
    assert contents([again[1]]) == contents([refused])
    assert [(message.template, message.sequence) for message in again] == [
        (Template.GAP_FILL, 1), (refused.template, refused.sequence), (Template.GAP_FILL, goodbye.sequence),
    ]  # fmt: skip
    assert again[2].new_sequence == confirmed.sequence + 1


def test_a_reject_is_said_again_and_a_question_is_not() -> None:
    """The exchange asks again for what it misses now, whatever it missed once."""
    wire = fast()
    client = wire.ready()
    client.send(999, b"")
    [rejected] = said(wire, client)
    client.hang_up()
    client.sequence += 3  # lost
    client.connect()
    client.logon(reset=False)
    confirmed, asked = said(wire, client)
    assert (rejected.template, asked.template) == (Template.REJECT, Template.RESEND_REQUEST)
    ask_again(client, 1)
    first, again, rest = said(wire, client)
    assert contents([again]) == contents([rejected])
    assert (first.new_sequence, rest.sequence, rest.new_sequence) == (
        rejected.sequence, confirmed.sequence, asked.sequence + 1,
    )  # fmt: skip


def test_a_gap_that_was_asked_for_on_an_earlier_connection_is_none_of_this_one() -> None:
    wire = fast()
    client = wire.ready()
    client.hang_up()
    client.sequence += 3  # lost
    client.connect()
    client.logon(reset=False)
    assert kinds(wire, client) == [Template.LOGON_CONF, Template.RESEND_REQUEST]
    client.hang_up()
    client.connect()
    client.logon(reset=False)
    assert kinds(wire, client) == [Template.LOGON_CONF]
    client.send(Template.GAP_FILL, struct.pack("<q", 5), sequence=2)
    assert (mistakes(wire), wire.exchange.gateways.gaps_filled) == ({Mistake.COPY: 1}, 0)


def test_a_connection_that_is_closed_ends_and_is_not_reset() -> None:
    wire = fast()
    client = wire.ready()
    client.send(Template.LOGOUT, b"\0")
    frame, flags = Frame(), []
    while poll(wire.exchange, frame, wire.now_ns):
        head = ctypes.string_at(frame.address, 14 + 20 + 14)
        if head[23] == 6:  # TCP
            flags.append(head[14 + 20 + 13])
        release(wire.exchange)
    assert [flag & (FLAG_FIN | FLAG_RST) for flag in flags] == [0, FLAG_FIN]
