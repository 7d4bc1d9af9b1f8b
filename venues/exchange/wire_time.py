"""The exchange's own time, as a packet of market data tells it: what a feed adds for measured latencies."""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled, generic
from crosswire.nic.unit.unit import Entry, Unit
from crosswire.venues.feed import Feed


class WireTime(Struct):
    """What one packet tells of when it was made."""

    time_ns: i64  # since the epoch by the exchange's clock, rounded down to what the wire tells; 0: it tells none
    is_book: i64  # 1: it changes a book; 0: a trade or a statistic, which some venues send late


@generic
def read_wire_time(feed: Feed, packet: Packet, told: WireTime) -> None:
    """Fill `told` from one UDP payload: the latest time of its messages, since the packet can't be older.

    Snapshots tell no time: they repeat what is known. Bytes outside the payload are never read, `feed` stays as it is.
    """


@compiled
def tell_time(told: WireTime, time_ns: int, is_book: int) -> None:
    """Take up one message's time, unless one before it is later."""
    if time_ns > told.time_ns:
        told.time_ns = time_ns
        told.is_book = is_book
    elif time_ns == told.time_ns and time_ns != 0:
        told.is_book |= is_book


def tells_time(cls: type[Feed]) -> bool:
    """Tell whether feeds of this class can say when a packet was made."""
    return read_wire_time.is_registered(cls)


def wire_time_unit(cls: type[Feed]) -> Unit:
    """Describe the unit of feeds of this class: its entry `read_wire_time`, for the simulated exchange."""
    entry = Entry("read_wire_time", read_wire_time.implementation_for(cls), (cls, Packet, WireTime))
    return Unit(f"wire-time-{cls.__name__}", (entry,))
