"""A card made of plain memory: AF_XDP's four rings and UMEM without a kernel, for `tests.bench.order_entry`.

The engine's end is an `AfXdpRing` put together by hand; `Bed` is the kernel's end. The driver never asks to be woken,
so nothing here makes a system call.
"""

from typing import Annotated

from crosswire.nic.memory.raw import LINE_BYTES, copy_bytes, load_i64, load_u32_acquire, store_i64, store_u32_release
from crosswire.nic.memory.struct import Array, Struct, address_of, array, i64, size_of, u8, u32, view
from crosswire.nic.rings.xdp.af_xdp import HEADROOM_BYTES, AfXdpRing, XdpDescriptor
from crosswire.nic.unit.compile import compiled

SLOTS = 64  # of each ring
FRAME_BYTES = 2048
INDEX_MASK = 0xFFFF_FFFF


class Index(Struct):
    """One shared index on a cache line of its own."""

    value: u32
    _line: Annotated[Array, u8, LINE_BYTES - 4]


class Descriptors(Struct):
    items: Annotated[Array, XdpDescriptor, SLOTS]


class Addresses(Struct):
    items: Annotated[Array, i64, SLOTS]


class Bed(Struct):
    """The kernel's end of one socket, and the memory of both ends."""

    umem: i64
    received: i64  # frames given to the engine
    taken: i64  # frames taken from the engine
    sent_length: i64  # of the frame that `take_sent` gave last
    full: i64  # frames that the engine had left no room for
    receive_producer: Index
    receive_consumer: Index
    fill_producer: Index
    transmit_producer: Index
    transmit_consumer: Index
    transmit_flags: Index  # stays 0: no wake-up is wanted
    completion_producer: Index
    completion_consumer: Index
    receive: Descriptors
    transmit: Descriptors
    fill: Addresses
    completion: Addresses
    free_frames: Addresses  # the engine's stack


def make_bed() -> Bed:
    """Lower half of the frames in the fill ring, upper half on the engine's stack."""
    bed = Bed()
    umem = array(u8, 2 * SLOTS * FRAME_BYTES)
    umem.numpy().fill(0)
    bed.umem = address_of(umem)
    bed.memory.targets[0] = umem  # keeps it alive as long as the bed
    for number in range(SLOTS):
        bed.fill.items[number] = number * FRAME_BYTES
        bed.free_frames.items[number] = (2 * SLOTS - 1 - number) * FRAME_BYTES
    bed.fill_producer.value = SLOTS
    return bed


def ring_addresses(bed: Bed) -> list[int]:
    """What the C engine wants, in the order of its `cw_set_ring`."""
    parts = (
        bed.receive, bed.receive_producer, bed.receive_consumer, bed.fill, bed.fill_producer, bed.transmit,
        bed.transmit_producer, bed.transmit_flags, bed.completion, bed.completion_producer, bed.completion_consumer,
        bed.free_frames,
    )  # fmt: skip
    return [bed.umem, *(part.address for part in parts)]


def connect_ring(bed: Bed, ring: AfXdpRing) -> None:
    """Make a zeroed `ring` the engine's end."""
    ring.umem = bed.umem
    ring.mask = SLOTS - 1
    ring.frame_mask = -FRAME_BYTES
    ring.frame_bytes = FRAME_BYTES
    ring.need_wakeup = 1
    ring.descriptor = -1
    ring.free_count = SLOTS
    ring.free_frames = bed.free_frames.items
    ring.receive_descriptors = bed.receive.address
    ring.receive_producer_at = bed.receive_producer.address
    ring.receive_consumer_at = bed.receive_consumer.address
    ring.fill_addresses = bed.fill.address
    ring.fill_producer_at = bed.fill_producer.address
    ring.transmit_descriptors = bed.transmit.address
    ring.transmit_producer_at = bed.transmit_producer.address
    ring.transmit_consumer_at = bed.transmit_consumer.address
    ring.transmit_flags_at = bed.transmit_flags.address
    ring.completion_addresses = bed.completion.address
    ring.completion_producer_at = bed.completion_producer.address
    ring.completion_consumer_at = bed.completion_consumer.address


@compiled
def slot_to_fill(bed: Bed) -> int:
    """Address of the frame that the next `deliver` gives; 0: the engine gave back none."""
    behind = (load_u32_acquire(address_of(bed.fill_producer)) - bed.received) & INDEX_MASK
    if behind == 0:
        bed.full += 1
        return 0
    return bed.umem + load_i64(address_of(bed.fill) + ((bed.received & (SLOTS - 1)) << 3)) + HEADROOM_BYTES


@compiled
def deliver(bed: Bed, length: int) -> None:
    """The frame at `slot_to_fill` is received: when this returns its descriptor is visible."""
    place = bed.received & (SLOTS - 1)
    descriptor = view(XdpDescriptor, address_of(bed.receive) + place * size_of(XdpDescriptor))
    descriptor.address = load_i64(address_of(bed.fill) + (place << 3)) + HEADROOM_BYTES
    descriptor.length = length
    descriptor.options = 0
    bed.received += 1
    store_u32_release(address_of(bed.receive_producer), bed.received)


@compiled
def deliver_copy(bed: Bed, address: int, length: int) -> bool:
    """`deliver` a frame that lies elsewhere; False without room."""
    slot = slot_to_fill(bed)
    if slot == 0:
        return False
    copy_bytes(slot, address, length)
    deliver(bed, length)
    return True


@compiled
def take_sent(bed: Bed) -> int:
    """Address of the oldest frame that the engine has sent, 0: none; then `give_back` it."""
    if (load_u32_acquire(address_of(bed.transmit_producer)) - bed.taken) & INDEX_MASK == 0:
        return 0
    place = bed.taken & (SLOTS - 1)
    descriptor = view(XdpDescriptor, address_of(bed.transmit) + place * size_of(XdpDescriptor))
    bed.sent_length = descriptor.length
    return bed.umem + descriptor.address


@compiled
def give_back(bed: Bed) -> None:
    """The frame of the last `take_sent` is complete."""
    place = bed.taken & (SLOTS - 1)
    descriptor = view(XdpDescriptor, address_of(bed.transmit) + place * size_of(XdpDescriptor))
    store_i64(address_of(bed.completion) + (place << 3), descriptor.address)
    bed.taken += 1
    store_u32_release(address_of(bed.transmit_consumer), bed.taken)
    store_u32_release(address_of(bed.completion_producer), bed.taken)


@compiled
def has_read_all(bed: Bed) -> bool:
    """Whether the engine has given back every frame that it received."""
    return load_u32_acquire(address_of(bed.receive_consumer)) == bed.received & INDEX_MASK
