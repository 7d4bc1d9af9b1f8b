"""What a simulated exchange can be made to say that is not so: one message is changed on its way to the engine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX, DelayRing
from crosswire.venues.order import Applied


@dataclass(frozen=True)
class Lie:
    """One lie, and the alarm that it must be."""

    outcome: Applied
    tell: Callable[[DelayRing], bool]  # in the first message on this wire that it fits; False: there is none


def payloads_under_way(wire: DelayRing) -> Iterator[tuple[int, int]]:
    """Give where the payload of each frame on the wire lies: from its first byte to behind its last."""
    for number in range(wire.received, wire.sent):
        frame = wire.frames[number & (DELAY_FRAMES_MAX - 1)]
        address = address_of(frame.data)
        yield address + TCP_FRAME_HEADER_BYTES, address + frame.length


def change(name: str, by: Callable[[int], int]) -> Callable[[Any], None]:
    """Make what changes one field of a message."""
    return lambda message: setattr(message, name, by(getattr(message, name)))
