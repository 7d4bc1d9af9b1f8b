"""Simulated Starbase: the whole exchange's memory, and its clients' sessions and connections.

A session is a client's API key on one gateway. It outlives its connections, and the gateway's process: its numbers,
what was sent, and which orders are its own stay until a logon resets them.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, u8
from crosswire.nic.packet import Flow, Packet, PacketCounters
from crosswire.nic.rings.connection import CONNECTIONS_MAX
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX, DelayRing
from crosswire.nic.rings.ring import Frame
from crosswire.nic.unit.compile import compiled
from crosswire.venues.exchange.ring import ExchangeRing
from crosswire.venues.starbase.exchange.background import Background
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest
from crosswire.venues.starbase.exchange.matching.state import MEMBERS_MAX, Matching, QuoteOutcome
from crosswire.venues.starbase.exchange.publisher import Publisher
from crosswire.venues.starbase.wire.order_layout import CLIENT_ID_BYTES, SECRET_BYTES
from crosswire.venues.starbase.wire.stream import FRAME_BYTES_MAX, FrameStream, Group
from crosswire.venues.token_bucket import TokenBucket

GATEWAYS = CONNECTIONS_MAX  # A and B
CLIENTS_MAX = 3  # API keys
SESSIONS_MAX = CLIENTS_MAX * GATEWAYS
SERVED_MAX = 4  # connections at once
MESSAGES_STORED = 4096  # of a session, for resending; a power of two
STORE_BYTES = 1 << 21  # of a session's messages: 512 each on average
QUOTES_MAX = 32  # of one mass quote
QUOTE_FILLS_MAX = 900  # on each side of one mass quote's answer; a side that might exceed it is refused
NONE = -1


class Mistake(IntEnum):
    """What clients did wrong, beside `FrameStream.faults`. Index into `Gateways.mistakes`."""

    NOT_TCP = 0  # a frame that is no TCP to one of the gateways, nor a request to the retransmission service
    BAD_CHECKSUM = 1
    NO_CONNECTION = 2  # a segment of no connection
    TOO_MANY_CONNECTIONS = 3
    NOT_LOGGED_ON = 4  # something before the logon
    BAD_LOGON = 5  # unknown key, wrong secret, or a second logon
    BAD_SEQUENCE = 6  # a number that was left out
    COPY = 7  # a number that was used before; ignored
    REFUSED = 8  # answered by Reject


class ApiKey(Struct, hidden=("secret",)):
    """One client that may log on."""

    client_id: Annotated[Array, u8, CLIENT_ID_BYTES]
    secret: Annotated[Array, u8, SECRET_BYTES]
    member: i64


class StoredMessage(Struct):
    position: i64  # bytes of the session's messages before it, ever
    length: i64  # without padding
    is_admin: i64  # not sent again: a gap fill stands for it


class ClientSession(Struct):
    """An API key on one gateway."""

    client: i64
    gateway: i64
    member: i64
    connection: i64  # NONE: not logged on
    send_sequence: i64  # of the last message
    receive_sequence: i64
    confirmation_sequence: i64  # of the last LogonConf
    confirmed_sequence: i64  # of the client's messages, the last before that logon that had come
    missing_sequence: i64  # the first of the client's that was asked for again; 0: none is
    first_sequence: i64  # the earliest that may still be in the store
    cancel_on_disconnect: i64  # for all orders
    schema_version: i64
    stored_bytes: i64  # ever
    logons: i64
    displaced: i64  # how often another logon ended it
    silenced: i64  # how often it ended for want of heartbeats
    messages: Annotated[Pointer, StoredMessage]
    store: Annotated[Pointer, u8]


class Served(Struct):
    """The place of one connection."""

    is_open: i64
    gateway: i64
    session: i64  # NONE until the logon
    generation: i64  # which connection of an in-process client's stream this is
    is_testing: i64  # a test request is out
    is_broken: i64  # the wire to the client took no more: it must be reset
    last_sent_ns: i64  # from the logon's answer on
    last_received_ns: i64
    stream: FrameStream


class QuoteFillNote(Struct):
    match_id: i64
    instrument: i64
    price_ticks: i64
    qty_lots: i64


class Gateways(Struct):
    """Both gateways: separate sessions, numbers and rate limits, one matching engine."""

    client_count: i64
    heartbeat_s: i64
    heartbeat_ns: i64
    grace_ns: i64  # of silence beyond the interval
    unsent: i64  # frames that the wire to a client had no room for; its connection is reset
    answers: i64  # messages sent to clients, resent ones apart
    resent: i64
    gaps_asked: i64  # ResendRequests to clients
    gaps_filled: i64  # of these
    rate_limited: i64
    message_length: i64  # of the message being written, from its header on
    batch_length: i64
    ports: Annotated[Array, i64, GATEWAYS]
    mistakes: Annotated[Array, i64, len(Mistake)]
    clients: Annotated[Array, ApiKey, CLIENTS_MAX]
    sessions: Annotated[Array, ClientSession, SESSIONS_MAX]
    served: Annotated[Array, Served, SERVED_MAX]
    order_tokens: Annotated[Array, TokenBucket, MEMBERS_MAX * GATEWAYS]
    quote_tokens: Annotated[Array, TokenBucket, MEMBERS_MAX * GATEWAYS]
    spare: FrameStream  # stamps what is kept for a session without connection
    request: OrderRequest
    group: Group
    quote_instruments: Annotated[Array, i64, QUOTES_MAX]  # of the mass quote being handled
    quote_results: Annotated[Array, QuoteOutcome, 2 * QUOTES_MAX]  # two for each quote, by side
    quote_fill_counts: Annotated[Array, i64, 2]  # by side
    quote_fills: Annotated[Array, QuoteFillNote, 2 * QUOTE_FILLS_MAX]  # of bids, then of asks
    message: Annotated[Array, u8, FRAME_BYTES_MAX + 1]
    batch: Annotated[Array, u8, FRAME_BYTES_MAX + 1]
    packet: Packet
    parsed: PacketCounters


class ClientStream(Struct):
    """An in-process client's stream to one gateway."""

    flow: Flow  # from the client
    number: i64  # of its present connection
    begun: i64  # connections that the exchange has seen
    is_up: i64


class StarbaseExchange(ExchangeRing):
    """A ring with a whole exchange at its other end: orders in, market data and answers out, in virtual time."""

    venue: i64
    catch_up: i64  # entry of the unit of `events.exchange_unit`
    end_ns: i64  # it publishes nothing of its own accord after that
    stream_count: i64  # in-process clients' streams; 0: its connections come with SYN frames from elsewhere
    stale: i64  # answers of a connection that its client had given up
    noted: i64  # frames on `feed` that the wires' loads have been told of
    feed: DelayRing
    frame: Frame
    streams: Annotated[Array, ClientStream, CONNECTIONS_MAX]
    generations: Annotated[Array, i64, DELAY_FRAMES_MAX]  # of the frames in `answers`, by their slot
    matching: Matching
    gateways: Gateways
    publisher: Publisher
    background: Background


def set_sessions(gateways: Gateways) -> None:
    """Make every session of the clients that there are, with nothing sent yet."""
    for number in range(SERVED_MAX):
        gateways.served[number].session = NONE
        gateways.served[number].stream.is_exchange = 1
    for client in range(gateways.client_count):
        for gateway in range(GATEWAYS):
            session = gateways.sessions[client * GATEWAYS + gateway]
            session.client = client
            session.gateway = gateway
            session.member = gateways.clients[client].member
            session.connection = NONE
            session.first_sequence = 1
            session.messages = array(StoredMessage, MESSAGES_STORED)
            session.store = array(u8, STORE_BYTES)


@compiled
def session_number(client: int, gateway: int) -> int:
    return client * GATEWAYS + gateway
