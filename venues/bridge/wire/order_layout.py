"""Wire format of the `bridge` order session: binary orders over one TCP connection, little-endian, back to back.

* A message is a `MessageHeader` and its fields; `length` is that of the whole message, so a reader steps by it and
  newer versions may append fields. Reserved bytes are zero.
* Each direction counts its messages from 1 (`sequence`), without a gap: TCP delivers all or nothing, so any other
  number is a broken peer, and ends the session.
* The client sends `Logon` first, and nothing else before its `LogonAck`. Whoever has sent nothing for the heartbeat
  interval sends `Heartbeat`. After `SILENCE_INTERVALS` intervals without a message the session is over and the exchange
  cancels what rests.
* A client whose connection has ended may open another: it begins anew, with messages from 1 and a logon, and displaces
  the one before. A client that was displaced, or whose logon was refused, stays away.
* A client order id that is not above all earlier ones is refused as a duplicate.
* Prices are ticks and quantities lots of the instrument, whose id is the one of the feed's `InstrumentDefinition`.
* Answers to one request come in order: `OrderAck` or `OrderAmended` before its `OrderFill`s before its
  `OrderCancelled`. Execution ids count up by one, and client order ids up, over all sessions of a client.
* `AmendOrder` gives an open order, by its id, another price and quantity; what is filled already is part of the
  quantity. The answer is `OrderAmended` with the very terms asked for, behind every fill at the terms before, or
  `AmendReject`, and then the order is as it was. It keeps its place in the queue only where nothing but its quantity
  changes, downwards, and even then not at every exchange. A client has one amend of an order under way at a time.
  After a lost connection nobody tells what became of it: `leaves_lots` of later messages is by the terms in force.
* An exchange that takes so many orders and no more in a time tells with `OrderLimit` how many are left, at the logon
  and whenever that is not what the client reckons by itself: new orders and amends count, whatever becomes of them. A
  client holds back what is more until it is told anew. What was under way when the exchange spoke counts too: `counted`
  says how many of this connection it had seen.
* Both ends speak the same version. An end that hears an older one ends the session, and its log says so.
* After its logon a client may ask with `AccountQuery` for its account: the exchange tells again each `OrderFill` after
  the execution id named, ACCOUNT_FILLS_MAX at most, and then `AccountEnd`. If that says `more`, the client asks again
  from the last fill on; otherwise an `AccountOrder` for each open order and an `AccountPosition` for each position that
  is not flat stand before it. An exchange remembers a limited number of fills; `missing` says that some are gone.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, i64, u8, u16, u32, u64
from crosswire.venues.layout import Message

VERSION = 2  # 2: amends, order limits
MESSAGE_BYTES_MAX = 256  # longer than any message of this version, room for fields of newer ones
SILENCE_INTERVALS = 3
ACCOUNT_FILLS_MAX = 64  # told again in answer to one query


class Template(IntEnum):
    LOGON = 1
    LOGON_ACK = 2
    LOGOUT = 3
    HEARTBEAT = 4
    NEW_ORDER = 5
    CANCEL_ORDER = 6
    MASS_CANCEL = 7
    ORDER_ACK = 8
    ORDER_FILL = 9
    ORDER_CANCELLED = 10
    ORDER_REJECT = 11
    CANCEL_REJECT = 12
    MASS_CANCEL_ACK = 13
    ACCOUNT_QUERY = 14
    ACCOUNT_ORDER = 15
    ACCOUNT_POSITION = 16
    ACCOUNT_END = 17
    AMEND_ORDER = 18
    ORDER_AMENDED = 19
    AMEND_REJECT = 20
    ORDER_LIMIT = 21


class LogoutReason(IntEnum):
    CLOSING = 0
    BAD_LOGON = 1  # a heartbeat interval of zero, a second logon, or an older version than the exchange's
    BAD_MESSAGE = 2  # framing, sequence or template that the exchange can't go on from
    SILENCE = 3  # no message for SILENCE_INTERVALS intervals
    NOT_LOGGED_ON = 4  # something else before the logon
    DISPLACED = 5  # another connection has taken this one's place


class MessageStamp(Struct, packed=True):
    """What differs between two messages of one kind, ahead of their own fields."""

    sequence: u64  # within the direction, from 1
    send_time_ns: u64  # of the sender, since the epoch


class MessageHeader(Struct, packed=True):
    length: u16  # of the message, this header included, bytes
    template_id: u16  # Template
    version: u16
    reserved: u16
    stamp: MessageStamp


class Logon(Struct, packed=True):
    header: MessageHeader
    session_id: u64  # the client's choice; repeated in the answer
    heartbeat_interval_ms: u32  # for both directions, from 1
    reserved: u32


class LogonAck(Struct, packed=True):
    header: MessageHeader
    session_id: u64
    heartbeat_interval_ms: u32
    reserved: u32


class Logout(Struct, packed=True):
    """The last message of a direction."""

    header: MessageHeader
    reason: u32  # LogoutReason
    reserved: u32


class Heartbeat(Struct, packed=True):
    header: MessageHeader


class NewOrder(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    price_ticks: i64
    qty_lots: i64
    instrument_id: u32
    side: u8  # venues.side: 0 buy, 1 sell
    time_in_force: u8  # venues.order.TimeInForce
    reserved: u16


class CancelOrder(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    instrument_id: u32
    reserved: u32


class AmendOrder(Struct, packed=True):
    """Other terms of an open order."""

    header: MessageHeader
    client_order_id: u64
    price_ticks: i64
    qty_lots: i64  # what is filled included
    instrument_id: u32
    reserved: u32


class MassCancel(Struct, packed=True):
    """All resting orders of the session; answered by an `OrderCancelled` each, then `MassCancelAck`."""

    header: MessageHeader


class OrderAck(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    exchange_order_id: u64
    exchange_time_ns: u64
    instrument_id: u32
    side: u8
    reserved_byte: u8
    reserved: u16


class OrderFill(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    exchange_order_id: u64
    exchange_time_ns: u64
    execution_id: u64  # counts up by one within the session
    price_ticks: i64
    qty_lots: i64
    leaves_lots: i64
    fee_e9: i64  # 1e-9 of the settlement currency; positive is paid
    instrument_id: u32
    side: u8
    is_maker: u8
    reserved: u16


class OrderCancelled(Struct, packed=True):
    """The order lives no longer: cancelled on request, or what an IOC or FOK could not fill."""

    header: MessageHeader
    client_order_id: u64
    exchange_order_id: u64
    exchange_time_ns: u64
    leaves_lots: i64  # never filled
    instrument_id: u32
    side: u8
    reason: u8  # venues.order.RejectReason
    reserved: u16


class OrderReject(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    exchange_time_ns: u64
    instrument_id: u32  # 0 if the exchange does not list the order's
    side: u8
    reason: u8  # venues.order.RejectReason
    reserved: u16


class CancelReject(Struct, packed=True):
    header: MessageHeader
    client_order_id: u64
    exchange_time_ns: u64
    reason: u32  # venues.order.RejectReason
    reserved: u32


class MassCancelAck(Struct, packed=True):
    header: MessageHeader
    exchange_time_ns: u64
    cancelled: u32  # orders
    reserved: u32


class OrderAmended(Struct, packed=True):
    """The order has the terms that were asked for."""

    header: MessageHeader
    client_order_id: u64
    exchange_order_id: u64
    exchange_time_ns: u64
    price_ticks: i64
    qty_lots: i64  # what is filled included
    instrument_id: u32
    side: u8
    reserved_byte: u8
    reserved: u16


class AmendReject(Struct, packed=True):
    """The order is as it was."""

    header: MessageHeader
    client_order_id: u64
    exchange_time_ns: u64
    reason: u32  # venues.order.RejectReason
    reserved: u32


class OrderLimit(Struct, packed=True):
    """How many new orders and amends the exchange takes from here on."""

    header: MessageHeader
    until_ns: u64  # by the exchange's time, when there will be more; it says so then
    counted: u64  # new orders and amends of this connection that `left` is behind
    left: u32
    reserved: u32


class AccountQuery(Struct, packed=True):
    """What is the client's account, and what were the fills after this one?"""

    header: MessageHeader
    execution_id: u64  # the last fill that the client knows, 0: none


class AccountOrder(Struct, packed=True):
    """An order of the client that is open."""

    header: MessageHeader
    client_order_id: u64
    exchange_order_id: u64
    exchange_time_ns: u64
    price_ticks: i64
    leaves_lots: i64
    instrument_id: u32
    side: u8
    time_in_force: u8
    reserved: u16


class AccountPosition(Struct, packed=True):
    """What the client holds of an instrument, by all its fills so far."""

    header: MessageHeader
    exchange_time_ns: u64
    position_lots: i64  # signed: long is positive
    instrument_id: u32
    reserved: u32


class AccountEnd(Struct, packed=True):
    """The answer to an `AccountQuery` is complete."""

    header: MessageHeader
    exchange_time_ns: u64
    client_order_id: u64  # the highest that the exchange has received
    execution_id: u64  # the last fill of the account
    open_orders: u32  # told above
    more: u8  # 1: there are later fills, and the account itself was not told yet
    missing: u8  # 1: some fills after the one named are not remembered
    reserved: u16


MESSAGES = (
    Message("Logon", Template.LOGON, Logon),
    Message("LogonAck", Template.LOGON_ACK, LogonAck),
    Message("Logout", Template.LOGOUT, Logout),
    Message("Heartbeat", Template.HEARTBEAT, Heartbeat),
    Message("NewOrder", Template.NEW_ORDER, NewOrder),
    Message("CancelOrder", Template.CANCEL_ORDER, CancelOrder),
    Message("MassCancel", Template.MASS_CANCEL, MassCancel),
    Message("OrderAck", Template.ORDER_ACK, OrderAck),
    Message("OrderFill", Template.ORDER_FILL, OrderFill),
    Message("OrderCancelled", Template.ORDER_CANCELLED, OrderCancelled),
    Message("OrderReject", Template.ORDER_REJECT, OrderReject),
    Message("CancelReject", Template.CANCEL_REJECT, CancelReject),
    Message("MassCancelAck", Template.MASS_CANCEL_ACK, MassCancelAck),
    Message("AccountQuery", Template.ACCOUNT_QUERY, AccountQuery),
    Message("AccountOrder", Template.ACCOUNT_ORDER, AccountOrder),
    Message("AccountPosition", Template.ACCOUNT_POSITION, AccountPosition),
    Message("AccountEnd", Template.ACCOUNT_END, AccountEnd),
    Message("AmendOrder", Template.AMEND_ORDER, AmendOrder),
    Message("OrderAmended", Template.ORDER_AMENDED, OrderAmended),
    Message("AmendReject", Template.AMEND_REJECT, AmendReject),
    Message("OrderLimit", Template.ORDER_LIMIT, OrderLimit),
)
