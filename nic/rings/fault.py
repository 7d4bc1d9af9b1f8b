"""`FaultRing`: any ring, with the network's faults put into it: drop, duplicate, reorder, corrupt, truncate.

Faults are drawn per frame and direction from (seed, direction, frame number, kind of fault) alone, so the same frames
suffer the same faults in every run, and one rate changes nothing about the other faults. All rates 0: as the ring
inside.

A frame to be reordered is copied and held back until HELD_FRAMES_MAX are held or the given number of later frames has
passed it. One that nothing passes is delivered after QUIET_CALLS_MAX empty polls, or flushes, in a row.
"""

from typing import TYPE_CHECKING, Annotated, Any

from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.raw import GOLDEN, copy_bytes, mix_bits, multiply_u64, shift_right
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, i64, one, u8, view
from crosswire.nic.packet import ETHERNET_HEADER_BYTES, Byte, is_tcp_frame
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve, set_frame
from crosswire.nic.unit.compile import compiled

HELD_FRAMES_MAX = 8  # per direction; with all in use a frame is neither held back nor duplicated
HELD_FRAME_BYTES = 2048  # a longer one is neither held back nor duplicated nor corrupted
QUIET_CALLS_MAX = 64
DROPS_PER_POLL_MAX = 16  # frames lost or held back before a poll says that there is none
MILLION = 1_000_000
_NOT_HELD = -1  # `polled`: the last frame is the inner ring's own
_SCRATCH = HELD_FRAMES_MAX  # the slot for what must not be spoilt: a received frame's copy is, or the copy sent

# Kinds of fault, as they are numbered in the draw.
DROP = 0
DUPLICATE = 1
REORDER = 2
CORRUPT = 3
TRUNCATE = 4
_WHERE = 5  # which bit, or how many bytes
_DRAWS = 8


class FaultRates(Struct):
    """Parts per million of the frames of one direction, and how far a reordered frame falls back."""

    drop_ppm: i64
    duplicate_ppm: i64
    reorder_ppm: i64
    corrupt_ppm: i64  # one bit flipped
    truncate_ppm: i64  # to a length between an Ethernet header and one byte less
    reorder_frames: i64  # that pass a frame which is held back


class FaultCounters(Struct):
    frames: i64  # that came to this direction
    dropped: i64
    duplicated: i64
    reordered: i64
    corrupted: i64
    truncated: i64


class HeldFrame(Struct):
    length: i64  # 0: a free slot
    due: i64  # the frame number at which it goes on
    data: Annotated[Array, u8, HELD_FRAME_BYTES]


class FaultWay(Struct):
    """One direction."""

    seed: i64
    rates: FaultRates
    counters: FaultCounters
    held_count: i64
    quiet_calls: i64
    held: Annotated[Array, HeldFrame, HELD_FRAMES_MAX + 1]


class FaultRing(Struct):
    """Base of the rings with faults: `fault_ring_over` adds `inner`, a pointer to the ring inside."""

    polled: i64  # slot of `receive.held` that the last poll gave, or _NOT_HELD
    now_ns: i64  # time of the last poll
    spares_tcp: i64  # 1: frames with TCP pass unharmed, as they do where a TCP of the host's mends its own losses
    reserved_address: i64  # the inner ring's slot for the next frame; 0: none
    reserved_bytes: i64
    written_address: i64  # where the next frame is written
    counters: RingCounters  # of what the user of this ring saw; `drops`: the inner ring's and the faults
    receive: FaultWay
    transmit: FaultWay
    if TYPE_CHECKING:
        inner: Any


@compiled
def draw_fault(way: FaultWay, kind: int, bound: int) -> int:
    """Draw a number in 0..bound - 1 (bound up to 2**31) for this direction's present frame."""
    state = way.seed + multiply_u64(way.counters.frames * _DRAWS + kind, GOLDEN)
    state = mix_bits(state)
    return shift_right((shift_right(state, 32)) * bound, 32)


@compiled
def suffers(way: FaultWay, kind: int, rate_ppm: int) -> bool:
    """Tell whether this direction's present frame has this fault."""
    return rate_ppm > 0 and draw_fault(way, kind, MILLION) < rate_ppm


@compiled
def hold(way: FaultWay, address: int, length: int, passing_frames: int) -> bool:
    """Copy a frame that is to go on after `passing_frames` more; False if there is no room."""
    if way.held_count == HELD_FRAMES_MAX or length > HELD_FRAME_BYTES or length <= 0:
        return False
    for index in range(HELD_FRAMES_MAX):
        slot = way.held[index]
        if slot.length == 0:
            copy_bytes(address_of(slot.data), address, length)
            slot.length = length
            slot.due = way.counters.frames + passing_frames
            way.held_count += 1
            return True
    return False


@compiled
def due_slot(way: FaultWay, all_due: bool) -> int:
    """Find the held frame that goes on now: of those due, or of all, the one due first; _NOT_HELD if there is none."""
    chosen = _NOT_HELD
    for index in range(HELD_FRAMES_MAX):
        slot = way.held[index]
        if slot.length != 0 and (all_due or slot.due <= way.counters.frames):
            if chosen == _NOT_HELD or slot.due < way.held[chosen].due:
                chosen = index
    return chosen


@compiled
def free_slot(way: FaultWay, index: int) -> None:
    """Free the slot of a held frame that has gone on."""
    way.held[index].length = 0
    way.held_count -= 1


@compiled
def flip_bit(way: FaultWay, address: int, length: int) -> None:
    """Flip one of the frame's bits, drawn by chance."""
    bit = draw_fault(way, _WHERE, length * 8)
    byte = view(Byte, address + (bit >> 3))
    byte.value = byte.value ^ (1 << (bit & 7))
    way.counters.corrupted += 1


@compiled
def cut(way: FaultWay, length: int) -> int:
    """Draw a shorter length, but not below an Ethernet header: no sender makes less, and a packet socket refuses it."""
    if length <= ETHERNET_HEADER_BYTES:
        return length
    way.counters.truncated += 1
    return ETHERNET_HEADER_BYTES + draw_fault(way, _WHERE, length - ETHERNET_HEADER_BYTES)


@compiled
def sum_drops(ring: FaultRing) -> None:
    """Sum up what was lost, here and inside."""
    inner = ring.inner[0].counters
    ring.counters.drops = inner.drops + ring.receive.counters.dropped + ring.transmit.counters.dropped
    ring.counters.wakeups = inner.wakeups


@poll.register(FaultRing)
def poll_fault(ring: FaultRing, frame: Frame, now_ns: int) -> bool:
    way = ring.receive
    ring.now_ns = now_ns
    if way.held_count != 0:
        index = due_slot(way, way.quiet_calls >= QUIET_CALLS_MAX)
        if index != _NOT_HELD:
            give_held(ring, frame, index, now_ns)
            return True
    for _ in range(DROPS_PER_POLL_MAX):
        if not poll(ring.inner[0], frame, now_ns):
            way.quiet_calls += 1
            break
        way.quiet_calls = 0
        if ring.spares_tcp != 0 and is_tcp_frame(frame):
            take_polled(ring, frame)
            return True
        way.counters.frames += 1
        if suffers(way, DROP, way.rates.drop_ppm):
            way.counters.dropped += 1
            release(ring.inner[0])
        elif suffers(way, REORDER, way.rates.reorder_ppm) and hold(
            way, frame.address, frame.length, way.rates.reorder_frames
        ):
            way.counters.reordered += 1
            release(ring.inner[0])
        else:
            spoil_received(way, frame)
            take_polled(ring, frame)
            return True
    ring.counters.empty_polls += 1
    sum_drops(ring)
    return False


@compiled
def take_polled(ring: FaultRing, frame: Frame) -> None:
    """Count the inner ring's frame as received."""
    ring.polled = _NOT_HELD
    ring.counters.frames += 1
    ring.counters.bytes += frame.length


@compiled
def give_held(ring: FaultRing, frame: Frame, index: int, now_ns: int) -> None:
    """Give a copy that was held as the received frame."""
    slot = ring.receive.held[index]
    set_frame(ring.counters, frame, address_of(slot.data), slot.length, now_ns)
    ring.polled = index


@compiled
def spoil_received(way: FaultWay, frame: Frame) -> None:
    """Apply the faults drawn to a frame that arrives in its turn."""
    rates = way.rates
    if suffers(way, DUPLICATE, rates.duplicate_ppm) and hold(way, frame.address, frame.length, 0):
        way.counters.duplicated += 1
    if suffers(way, CORRUPT, rates.corrupt_ppm) and 0 < frame.length <= HELD_FRAME_BYTES:
        # In a copy: the bytes may be another's, as a replay's window is.
        copy = address_of(way.held[_SCRATCH].data)
        copy_bytes(copy, frame.address, frame.length)
        frame.address = copy
        flip_bit(way, copy, frame.length)
    if suffers(way, TRUNCATE, rates.truncate_ppm):
        frame.length = cut(way, frame.length)


@release.register(FaultRing)
def release_fault(ring: FaultRing) -> None:
    if ring.polled == _NOT_HELD:
        release(ring.inner[0])
    else:
        free_slot(ring.receive, ring.polled)
        ring.polled = _NOT_HELD


@compiled
def take_slot(ring: FaultRing, length: int) -> int:
    """Take the slot left over from a frame that was not sent, or a new one; 0 if the inner ring is full."""
    if ring.reserved_address == 0 or length > ring.reserved_bytes:
        ring.reserved_address = reserve(ring.inner[0], length)
        ring.reserved_bytes = length
        if ring.reserved_address == 0:
            sum_drops(ring)
    return ring.reserved_address


@reserve.register(FaultRing)
def reserve_fault(ring: FaultRing, length: int) -> int:
    # The writer may read its frame again after `commit`, as a TCP does that keeps it: only what is sent is spoilt.
    ring.written_address = take_slot(ring, length)
    if ring.written_address != 0 and length <= HELD_FRAME_BYTES:
        ring.written_address = address_of(ring.transmit.held[_SCRATCH].data)
    return ring.written_address


@commit.register(FaultRing)
def commit_fault(ring: FaultRing, length: int, now_ns: int) -> None:
    way = ring.transmit
    rates = way.rates
    address = ring.written_address
    ring.now_ns = now_ns
    way.counters.frames += 1
    way.quiet_calls = 0
    # A slot whose frame is dropped or held back stays reserved, for the next one.
    if suffers(way, DROP, rates.drop_ppm):
        way.counters.dropped += 1
        sum_drops(ring)
    elif suffers(way, REORDER, rates.reorder_ppm) and hold(way, address, length, rates.reorder_frames):
        way.counters.reordered += 1
    else:
        if suffers(way, DUPLICATE, rates.duplicate_ppm) and hold(way, address, length, 0):
            way.counters.duplicated += 1
        if address != ring.reserved_address:
            copy_bytes(ring.reserved_address, address, length)
            if suffers(way, CORRUPT, rates.corrupt_ppm) and length > 0:
                flip_bit(way, ring.reserved_address, length)
        if suffers(way, TRUNCATE, rates.truncate_ppm):
            length = cut(way, length)
        ring.reserved_address = 0
        commit(ring.inner[0], length, now_ns)
    send_held(ring, False)


@compiled
def send_held(ring: FaultRing, all_due: bool) -> None:
    """Send the held frames that are due, or all, as far as the inner ring has room; the rest stays held."""
    way = ring.transmit
    for _ in range(HELD_FRAMES_MAX):
        index = _NOT_HELD if way.held_count == 0 else due_slot(way, all_due)
        if index == _NOT_HELD:
            return
        slot = way.held[index]
        address = take_slot(ring, slot.length)
        if address == 0:
            return
        copy_bytes(address, address_of(slot.data), slot.length)
        commit(ring.inner[0], slot.length, ring.now_ns)
        ring.reserved_address = 0
        free_slot(way, index)


@flush.register(FaultRing)
def flush_fault(ring: FaultRing) -> None:
    way = ring.transmit
    if way.held_count != 0:
        way.quiet_calls += 1
        send_held(ring, way.quiet_calls >= QUIET_CALLS_MAX)
    flush(ring.inner[0])


@next_time_ns.register(FaultRing)
def next_fault_ns(ring: FaultRing) -> int:
    """Tell when the ring inside is due, or at once while a frame is held: no other event may come to bring it out."""
    first_ns = next_time_ns(ring.inner[0])
    return first_ns if ring.receive.held_count == 0 else min(first_ns, ring.now_ns)


def fault_ring_over(inner: type[Struct]) -> type[FaultRing]:
    """The class of rings with faults around rings of class `inner`."""
    return made_class(FaultRing, (inner,), {"inner": Annotated[Pointer, inner]})


def make_fault_ring(
    inner: Struct, seed: int, receive: FaultRates | None = None, transmit: FaultRates | None = None
) -> FaultRing:
    """Make a ring with faults around `inner`; ValueError names a rate that is none."""
    ring = fault_ring_over(type(inner))()
    ring.inner = one(inner)
    ring.polled = _NOT_HELD
    for number, (way, rates) in enumerate(((ring.receive, receive), (ring.transmit, transmit))):
        # Any whole number is a seed; the directions differ by it too.
        way.seed = (2 * seed + number + 1) * 0x2545F4914F6CDD1D
        for name in FaultRates.fields if rates else ():
            value = getattr(rates, name)
            if not 0 <= value <= MILLION:
                raise ValueError(f"fault rate {name}: {value}, must be 0 to {MILLION}")
            setattr(way.rates, name, value)
    return ring


def __getattr__(name: str) -> type[FaultRing]:
    return fault_ring_over(*inner_classes(name))
