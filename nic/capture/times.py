"""Times of pcapng packets: any resolution and offset that an interface may state, exactly, or none."""

from crosswire.nic.capture.format import NANOSECOND_DIGITS
from crosswire.nic.capture.state import SECONDS_MAX, TIME_UNKNOWN, Interface
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled

RESOLUTION_DIGITS_MAX = 18  # attoseconds: finer ticks would not count to a minute in 64 bits
BINARY_RESOLUTION = 0x80
BINARY_DIGITS_MAX = 63
FIVE_TO_NINE = 5**9  # NS_PER_S = FIVE_TO_NINE << 9


@compiled
def set_resolution(interface: Interface, resolution: int) -> bool:
    """Choose the time scale that an if_tsresol value asks for; False, and no scale, when 64 bits can't count in it."""
    interface.ns_per_tick = 0
    interface.ticks_per_ns = 0
    interface.binary_digits_and_one = 0
    if resolution >= BINARY_RESOLUTION:
        digits = resolution - BINARY_RESOLUTION
        if digits > BINARY_DIGITS_MAX:
            return False
        interface.binary_digits_and_one = digits + 1
        return True
    if resolution > RESOLUTION_DIGITS_MAX:
        return False
    scale = 1
    for _ in range(abs(resolution - NANOSECOND_DIGITS)):
        scale *= 10
    if resolution <= NANOSECOND_DIGITS:
        interface.ns_per_tick = scale
    else:
        interface.ticks_per_ns = scale
    return True


@compiled
def set_no_time(interface: Interface) -> None:
    """Note that the interface's times can't be known."""
    interface.ns_per_tick = 0
    interface.ticks_per_ns = 0
    interface.binary_digits_and_one = 0


@compiled
def ticks_to_ns(interface: Interface, high: int, low: int) -> int:
    """Time since the epoch of a 64-bit tick count in two halves, rounded down; TIME_UNKNOWN when it can't be one."""
    if high >= 1 << 31:
        return TIME_UNKNOWN
    ticks = (high << 32) | low
    if interface.ns_per_tick != 0:
        if ticks > (NEVER_NS - 1) // interface.ns_per_tick:
            return TIME_UNKNOWN
        time_ns = ticks * interface.ns_per_tick
    elif interface.ticks_per_ns != 0:
        time_ns = ticks // interface.ticks_per_ns
    elif interface.binary_digits_and_one != 0:
        digits = interface.binary_digits_and_one - 1
        seconds = ticks >> digits
        if seconds > SECONDS_MAX:
            return TIME_UNKNOWN
        time_ns = seconds * NS_PER_S + binary_fraction_to_ns(ticks - (seconds << digits), digits)
    else:
        return TIME_UNKNOWN
    time_ns += interface.offset_seconds * NS_PER_S
    return time_ns if 0 <= time_ns < NEVER_NS else TIME_UNKNOWN


@compiled
def binary_fraction_to_ns(fraction: int, digits: int) -> int:
    """floor(fraction * 1e9 / 2**digits) for fraction < 2**digits, exactly, without leaving 64 bits."""
    if digits < 9:
        return fraction * (NS_PER_S >> digits)
    if digits <= 41:  # FIVE_TO_NINE < 2**21
        return (fraction * FIVE_TO_NINE) >> (digits - 9)
    high = (fraction >> 32) * FIVE_TO_NINE
    low = (fraction & 0xFFFFFFFF) * FIVE_TO_NINE
    return (high + (low >> 32)) >> (digits - 41)
