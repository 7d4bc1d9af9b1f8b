"""The ring contract: how frames come in and go out, whatever carries them.

A ring is a `Struct`; each kind registers an implementation of the functions below, and the loop is compiled against the
kinds that a configuration names. Receive: `poll`, use the frame, `release`. Transmit: `reserve` a slot, write the
frame, `commit` it, and `flush` before the next wait. `describe_watch` spares polls where nothing comes.
"""

from crosswire.nic.duration import NS_PER_US
from crosswire.nic.memory.raw import load_u32_acquire
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, generic, inlined, inlined_generic

NEVER_NS = (1 << 62) - 1  # a time that does not come: "nothing scheduled"
# How long a ring may go without a poll while its watched word says that nothing came. A poll does more than look: it
# wakes a driver that ran out of frames, runs TCP's timers, counts drops.
WATCH_NS = 10 * NS_PER_US


class Frame(Struct):
    """One received frame, valid until `release`."""

    address: i64  # first byte of the Ethernet header
    length: i64  # bytes there are
    time_ns: i64  # receive time, ns since the epoch


class RingCounters(Struct):
    """What a ring did. `drops` are frames that the ring knows it lost."""

    frames: i64
    bytes: i64
    drops: i64
    empty_polls: i64
    wakeups: i64


class Watch(Struct):
    """Where a ring's next frame shows first, so that a ring without one need not be asked."""

    until_ns: i64  # the ring is to be polled from then on, whatever the word says
    address: i64  # of a word of 32 bits that whoever delivers frames writes
    value: i64  # of the word as long as there is no frame


@compiled
def is_quiet(watch: Watch, now_ns: int) -> bool:
    """Tell whether the ring last described in `watch` need not be polled: it has no frame and nothing else to do."""
    return now_ns < watch.until_ns and load_u32_acquire(watch.address) == watch.value


@inlined
def set_frame(counters: RingCounters, frame: Frame, address: int, length: int, time_ns: int) -> None:
    """Fill in a received frame and count it."""
    frame.address = address
    frame.length = length
    frame.time_ns = time_ns
    counters.frames += 1
    counters.bytes += length


@inlined_generic
def poll(ring: Struct, frame: Frame, now_ns: int) -> bool:
    """Take the next frame received at or before `now_ns` into `frame`; False if there is none."""


@inlined_generic
def release(ring: Struct) -> None:
    """Give back the slot of the last polled frame; its bytes are no longer valid."""


@generic
def reserve(ring: Struct, length: int) -> int:
    """Address of a transmit slot of at least `length` bytes; 0 if the ring is full.

    Until `commit` nothing else is asked of the ring. A slot that is not committed is free again at the next `reserve`.
    """


@generic
def commit(ring: Struct, length: int, now_ns: int) -> None:
    """Hand over the reserved slot: `length` bytes are the next frame on the wire, sent at `now_ns`.

    They can be read there until the next `reserve`, `poll` or `flush`.
    """


@generic
def flush(ring: Struct) -> None:
    """Wake the driver if committed frames need that."""


@generic
def next_time_ns(ring: Struct) -> int:
    """When the ring next has something to do, in a replay; `NEVER_NS` when it has nothing."""


@generic
def describe_watch(ring: Struct, watch: Watch) -> None:
    """Fill in where the frame behind the last one released will show; bring `until_ns` forward to what is due before.

    `until_ns` 0 where nothing shows, as with sockets: such a ring is polled every time.
    """


@describe_watch.register(Struct)
def describe_no_watch(_ring: Struct, watch: Watch) -> None:
    watch.until_ns = 0
