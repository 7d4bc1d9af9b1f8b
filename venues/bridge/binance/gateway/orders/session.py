"""The engine's order session, the gateway's end: `docs/bridge.md` over a TCP connection of the kernel.

One engine is served at a time: another connection that logs on displaces it. What the engine asks for goes to a `Desk`;
what the desk has to say goes back through `tell_*`, each message written as one whole. A connection whose peer reads
too slowly is closed, so nothing piles up here: the engine comes back and asks for its account.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Struct, array, u8, view
from crosswire.venues.bridge.binance.gateway.orders.account import Account, Order
from crosswire.venues.bridge.binance.gateway.orders.budget import Left
from crosswire.venues.bridge.binance.gateway.orders.records import (
    Acknowledged,
    Amended,
    AmendRefused,
    Asked,
    Ended,
    Filled,
    Told,
)
from crosswire.venues.bridge.orders.stream import (
    MessageStream,
    StreamFault,
    length_of,
    next_message,
    reason_of_end,
    stamp_header,
    write_header,
)
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.byte_stream import forget_segment
from crosswire.venues.exchange.counted import counted

RECEIVE_BYTES = 1 << 16
SEND_BYTES_MAX = 1 << 20  # unread by the engine before its connection is closed
LOGON_PATIENCE_NS = 5 * NS_PER_S  # from a connection to its logon
TICK_S = 0.05  # between two looks at heartbeats, silence, and what the venue's limits leave
LEFT_MAX = (1 << 32) - 1


class Desk(Protocol):
    """What a session asks of the side that speaks with the venue. Nothing here waits."""

    account: Account

    def new(self, asked: Asked) -> None:
        """Send an order, or tell why not."""

    def amend(self, client_order_id: int, price_ticks: int, qty_lots: int) -> None:
        """Give an open order other terms, or tell why not."""

    def cancel(self, client_order_id: int) -> None:
        """Cancel an order, or tell why not."""

    def left(self) -> Left | None:
        """Tell how many orders may still be sent; None: not known."""

    def cancel_all(self, done: Callable[[int], None]) -> None:
        """Cancel all orders, and call `done` with their number once the venue has answered for each."""

    def engine_is_here(self, session: "EngineSession") -> None:
        """Tell this session from here on."""

    def engine_is_gone(self, session: "EngineSession") -> None:
        """Cancel what is open."""


class EngineSession(asyncio.Protocol):
    """One TCP connection with an engine."""

    def __init__(self, desk: Desk, say: Callable[[str], None], is_ready: Callable[[], bool]) -> None:
        self.desk = desk
        self.logged_on = False
        self.logout_reason: messages.LogoutReason | None = None
        self._say = say
        self._is_ready = is_ready
        self._stream = MessageStream()
        self._buffer = array(u8, RECEIVE_BYTES)
        self._bytes = self._buffer.numpy()
        self._transport: asyncio.Transport | None = None
        self._heartbeat_ns = 0
        self._received_ns = self._sent_ns = time.monotonic_ns()
        self._ticker: asyncio.TimerHandle | None = None
        self._counted = 0  # new orders and amends received
        self._told: Left | None = None  # of what is left
        self._told_counted = 0  # what `_counted` was then
        self.peer = ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=SEND_BYTES_MAX)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}"
        self._tick()

    def pause_writing(self) -> None:
        """Close a connection that is not read: called when SEND_BYTES_MAX wait for the engine."""
        self._say(f"engine {self.peer}: does not read what it is told; closed")
        self._abort()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._transport = None
        self._leave()

    def data_received(self, data: bytes) -> None:
        self._received_ns = time.monotonic_ns()
        for start in range(0, len(data), RECEIVE_BYTES):
            part = data[start : start + RECEIVE_BYTES]
            self._bytes[: len(part)] = np.frombuffer(part, np.uint8)
            forget_segment(self._stream)
            self._stream.position = self._buffer.address
            self._stream.end = self._buffer.address + len(part)
            while self._transport is not None and (address := next_message(self._stream)):
                self._handle(address)
        if self._stream.ended and self._transport is not None:
            self._say(f"engine {self.peer}: {self._why_ended()}")
            self.log_out(messages.LogoutReason(reason_of_end(self._stream)))

    def _why_ended(self) -> str:
        if self._stream.faults[StreamFault.OLD_VERSION]:
            version = messages.VERSION
            return f"speaks a version of the order protocol before {version}: run the same release at both ends"
        return f"broke the protocol ({', '.join(counted(self._stream.faults, StreamFault))})"

    def _handle(self, address: int) -> None:
        template = view(messages.MessageHeader, address).template_id
        if template == messages.Template.LOGON:
            self._log_on(view(messages.Logon, address))
        elif template == messages.Template.LOGOUT:
            self.log_out(messages.LogoutReason.CLOSING)
        elif not self.logged_on:
            self.log_out(messages.LogoutReason.NOT_LOGGED_ON)
        elif template == messages.Template.NEW_ORDER:
            self._counted += 1
            self.desk.new(_asked(view(messages.NewOrder, address)))
        elif template == messages.Template.AMEND_ORDER:
            self._counted += 1
            amend = view(messages.AmendOrder, address)
            self.desk.amend(int(amend.client_order_id), int(amend.price_ticks), int(amend.qty_lots))
        elif template == messages.Template.CANCEL_ORDER:
            self.desk.cancel(int(view(messages.CancelOrder, address).client_order_id))
        elif template == messages.Template.MASS_CANCEL:
            self.desk.cancel_all(self._tell_all_cancelled)
        elif template == messages.Template.ACCOUNT_QUERY:
            self._tell_account(int(view(messages.AccountQuery, address).execution_id))
        elif template != messages.Template.HEARTBEAT:
            self._say(f"engine {self.peer}: sent what only an exchange says (template {template})")
            self.log_out(messages.LogoutReason.BAD_MESSAGE)

    def _log_on(self, logon: messages.Logon) -> None:
        if self.logged_on or logon.heartbeat_interval_ms == 0:
            self.log_out(messages.LogoutReason.BAD_LOGON)
            return
        if not self._is_ready():  # the account is not known yet: the engine comes back in a second
            self._abort()
            return
        self.logged_on = True
        self._heartbeat_ns = logon.heartbeat_interval_ms * NS_PER_MS
        answer = messages.LogonAck()
        answer.session_id = logon.session_id
        answer.heartbeat_interval_ms = logon.heartbeat_interval_ms
        self._send(messages.Template.LOGON_ACK, answer)
        self._tell_left()
        self._say(f"engine {self.peer}: logged on")
        self.desk.engine_is_here(self)

    def log_out(self, reason: messages.LogoutReason) -> None:
        """Say goodbye and close, once."""
        if self._transport is None:
            return
        self.logout_reason = reason
        answer = messages.Logout()
        answer.reason = reason
        self._send(messages.Template.LOGOUT, answer)
        self._transport.close()
        self._transport = None
        self._say(f"engine {self.peer}: logged out, {reason.name.lower().replace('_', ' ')}")
        self._leave()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._leave()

    def _leave(self) -> None:
        if self.logged_on:
            self.logged_on = False
            self.desk.engine_is_gone(self)

    def _tick(self) -> None:
        """Send the heartbeat that is due, and end a connection that has gone silent."""
        if self._transport is None:
            return
        now_ns = time.monotonic_ns()
        patience_ns = messages.SILENCE_INTERVALS * self._heartbeat_ns if self.logged_on else LOGON_PATIENCE_NS
        if now_ns - self._received_ns > patience_ns:
            self.log_out(messages.LogoutReason.SILENCE)
            return
        if self.logged_on:
            self._tell_left()
            if now_ns - self._sent_ns >= self._heartbeat_ns:
                self._send(messages.Template.HEARTBEAT, messages.Heartbeat())
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tell_left(self) -> None:
        """Tell how many orders are left, unless the engine reckons that by itself from what it was told last.

        An order of the engine takes one at most, so what it reckons is too little rather than too much until then.
        """
        left = self.desk.left()
        if left is None:
            return
        if self._told is not None:
            reckoned = self._told.orders - (self._counted - self._told_counted)
            if left == Left(reckoned, self._told.until_ns):
                return
        self._told, self._told_counted = left, self._counted
        message = messages.OrderLimit()
        message.until_ns = left.until_ns
        message.counted = self._counted
        message.left = min(left.orders, LEFT_MAX)
        self._send(messages.Template.ORDER_LIMIT, message)

    def tell(self, records: Iterable[Told]) -> None:
        """Tell the engine what happened, in this order."""
        for record in records:
            if self.logged_on:
                self._send(*_message(record))

    def tell_cancel_refused(self, client_order_id: int, reason: int) -> None:
        """Tell the engine that an order could not be cancelled; it is as it was."""
        if self.logged_on:
            answer = _refusal(messages.CancelReject(), client_order_id, reason, time.time_ns())
            self._send(messages.Template.CANCEL_REJECT, answer)

    def tell_amend_refused(self, client_order_id: int, reason: int) -> None:
        """Tell the engine that nobody was asked to amend an order; it is as it was."""
        if self.logged_on:
            answer = _refusal(messages.AmendReject(), client_order_id, reason, time.time_ns())
            self._send(messages.Template.AMEND_REJECT, answer)

    def _tell_all_cancelled(self, count: int) -> None:
        answer = messages.MassCancelAck()
        answer.exchange_time_ns = time.time_ns()
        answer.cancelled = count
        if self.logged_on:
            self._send(messages.Template.MASS_CANCEL_ACK, answer)

    def _tell_account(self, execution_id: int) -> None:
        account = self.desk.account
        fills = account.fills_after(execution_id, messages.ACCOUNT_FILLS_MAX)
        self.tell(fills)
        told_id = fills[-1].execution_id if fills else max(execution_id, account.last_execution_id)
        is_all = told_id >= account.last_execution_id
        open_orders = 0
        if is_all:
            for client_order_id, order in account.open_orders():
                open_orders += 1
                self._send(messages.Template.ACCOUNT_ORDER, _open_order(client_order_id, order))
            for instrument_id, position_lots in account.positions.items():
                if position_lots != 0:
                    self._send(messages.Template.ACCOUNT_POSITION, _position(instrument_id, position_lots))
        end = messages.AccountEnd()
        end.exchange_time_ns = time.time_ns()
        end.client_order_id = account.last_client_order_id
        end.execution_id = account.last_execution_id
        end.open_orders = open_orders
        end.more = 0 if is_all else 1
        end.missing = 1 if fills and fills[0].execution_id > execution_id + 1 else 0
        self._send(messages.Template.ACCOUNT_END, end)

    def _send(self, template: int, message: Any) -> None:
        if self._transport is None:
            return
        write_header(message.header, template, length_of(template))
        stamp_header(self._stream, message.header, time.time_ns())
        self._transport.write(bytes(message))
        self._sent_ns = time.monotonic_ns()


def _asked(order: messages.NewOrder) -> Asked:
    return Asked(
        client_order_id=int(order.client_order_id),
        time_ns=time.time_ns(),
        instrument_id=int(order.instrument_id),
        side=int(order.side),
        time_in_force=int(order.time_in_force),
        price_ticks=int(order.price_ticks),
        qty_lots=int(order.qty_lots),
    )


def _refusal(answer: Any, client_order_id: int, reason: int, time_ns: int) -> Any:
    """Say of an order that something was refused, and why."""
    answer.client_order_id = client_order_id
    answer.exchange_time_ns = time_ns
    answer.reason = reason
    return answer


def _named(answer: Any, record: Told) -> Any:
    """Say which order an answer is about, and since when what it says is so."""
    answer.client_order_id = record.client_order_id
    answer.exchange_time_ns = record.time_ns
    answer.instrument_id = record.instrument_id
    answer.side = record.side
    return answer


def _message(record: Told) -> tuple[int, Struct]:
    """Put a record into the message that tells of it."""
    if isinstance(record, Filled):
        fill = _named(messages.OrderFill(), record)
        fill.exchange_order_id = record.venue_order_id
        fill.execution_id = record.execution_id
        fill.price_ticks = record.price_ticks
        fill.qty_lots = record.qty_lots
        fill.leaves_lots = record.leaves_lots
        fill.fee_e9 = record.fee_e9
        fill.is_maker = record.is_maker
        return messages.Template.ORDER_FILL, fill
    if isinstance(record, Acknowledged):
        ack = _named(messages.OrderAck(), record)
        ack.exchange_order_id = record.venue_order_id
        return messages.Template.ORDER_ACK, ack
    if isinstance(record, Amended):
        amended = _named(messages.OrderAmended(), record)
        amended.exchange_order_id = record.venue_order_id
        amended.price_ticks = record.price_ticks
        amended.qty_lots = record.qty_lots
        return messages.Template.ORDER_AMENDED, amended
    if isinstance(record, AmendRefused):
        refusal = _refusal(messages.AmendReject(), record.client_order_id, record.reason, record.time_ns)
        return messages.Template.AMEND_REJECT, refusal
    if isinstance(record, Ended):
        ended = _named(messages.OrderCancelled(), record)
        ended.exchange_order_id = record.venue_order_id
        ended.leaves_lots = record.leaves_lots
        ended.reason = record.reason
        return messages.Template.ORDER_CANCELLED, ended
    refused = _named(messages.OrderReject(), record)
    refused.reason = record.reason
    return messages.Template.ORDER_REJECT, refused


def _open_order(client_order_id: int, order: Order) -> messages.AccountOrder:
    answer = messages.AccountOrder()
    answer.client_order_id = client_order_id
    answer.exchange_order_id = order.venue_order_id
    answer.exchange_time_ns = time.time_ns()
    answer.price_ticks = order.price_ticks
    answer.leaves_lots = order.leaves_lots
    answer.instrument_id = order.asked.instrument_id
    answer.side = order.asked.side
    answer.time_in_force = order.asked.time_in_force
    return answer


def _position(instrument_id: int, position_lots: int) -> messages.AccountPosition:
    answer = messages.AccountPosition()
    answer.exchange_time_ns = time.time_ns()
    answer.position_lots = position_lots
    answer.instrument_id = instrument_id
    return answer
