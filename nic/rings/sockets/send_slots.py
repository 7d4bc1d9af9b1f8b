"""Sending through a socket: a frame lies in a slot from `reserve` until the kernel has taken it."""

import errno
from typing import Annotated

from crosswire.nic.memory.struct import Pointer, Struct, address_of, i64, u8
from crosswire.nic.rings.ring import flush, reserve
from crosswire.nic.unit.compile import compiled, generic

SLOT_BYTES = 2048  # of a received frame too, with what the kernel puts before it; longer ones are dropped and counted
TRANSMIT_SLOTS = 64  # frames committed and not yet taken by the kernel; a power of two
TRANSMIT_MASK = TRANSMIT_SLOTS - 1


class SendSlots(Struct):
    """Base of the rings that send through a socket."""

    committed: i64
    sent: i64  # of the committed: taken by the kernel, or refused
    refused: i64  # frames that could never be sent
    send_error: i64  # errno of the last refusal; 0: none
    send_slots: Annotated[Pointer, u8]


@generic
def send_committed(ring: SendSlots) -> None:
    """Hand the kernel what is committed. What it has no room for stays, for the next flush."""


@reserve.register(SendSlots)
def reserve_send_slot(ring: SendSlots, length: int) -> int:
    if length > SLOT_BYTES:
        return 0
    if ring.committed - ring.sent >= TRANSMIT_SLOTS:
        send_committed(ring)
        if ring.committed - ring.sent >= TRANSMIT_SLOTS:
            return 0
    return address_of(ring.send_slots) + (ring.committed & TRANSMIT_MASK) * SLOT_BYTES


@flush.register(SendSlots)
def flush_send_slots(ring: SendSlots) -> None:
    if ring.committed != ring.sent:
        send_committed(ring)


@compiled
def is_out_of_room(result: int) -> bool:
    """Tell whether a call sent nothing for want of room, or was interrupted: the same frame may go the next time."""
    return result == -errno.EAGAIN or result == -errno.ENOBUFS or result == -errno.EINTR
