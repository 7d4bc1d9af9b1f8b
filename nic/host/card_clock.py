"""May a card's receive stamps be used: does it stamp every frame, is it told to, and is its clock at the host's time.

Nothing is set here. Who keeps the card's clock (ptp4l with phc2sys) also tells it to stamp: another program that did
would take it from that one.
"""

import time

from crosswire.nic.duration import NS_PER_US
from crosswire.nic.host.ethtool import read_stamp_filter, read_stamps
from crosswire.nic.host.process import HostError

CARD_OFFSET_MAX_NS = 100 * NS_PER_US  # from the host's clock, at the start; phc2sys keeps it within a few us
DEVICE = "/dev/ptp{}"  # by the number that the driver tells
_READS = 20  # of both clocks; the closest pair tells
_EVERY_FRAME = 1  # HWTSTAMP_FILTER_ALL


def check_card_clock(interface: str) -> None:
    """Raise HostError unless every frame that the interface receives is stamped by the host's time.

    Looks at the network namespace of the calling thread. Reads the card's clock by its device, /dev/ptpN.
    """
    stamps = read_stamps(interface)
    lacks = ["the driver tells no timestamping"] if stamps is None else stamps.lacks
    if stamps is None or lacks:
        raise HostError(f'{interface}: hardware timestamps: {lacks[0]}; set live.timestamps to "software" or "poll"')
    if read_stamp_filter(interface) != _EVERY_FRAME:
        raise HostError(
            f"{interface}: hardware timestamps: the card is not told to stamp every frame; `hwstamp_ctl -i {interface}"
            " -r 1` of linuxptp tells it"
        )
    device = DEVICE.format(stamps.clock)
    try:
        with open(device, "rb", buffering=0) as clock:
            offset_ns = clock_offset_ns(~clock.fileno() << 3 | 3)  # FD_TO_CLOCKID of the kernel's clock_gettime
    except OSError as error:
        raise HostError(f"{interface}: hardware timestamps: {device}: {error.strerror}") from None
    if abs(offset_ns) > CARD_OFFSET_MAX_NS:
        raise HostError(
            f"{interface}: hardware timestamps: the card's clock, {device}, is {offset_ns / NS_PER_US:+.0f} us from the"
            f" host's; at most {CARD_OFFSET_MAX_NS // NS_PER_US} us: have phc2sys keep them together (37 s is TAI)"
        )


def clock_offset_ns(clock: int) -> int:
    """Return by how much a clock is ahead of CLOCK_REALTIME, ns, by the read that took the shortest time."""
    closest: tuple[int, int] | None = None
    for _ in range(_READS):
        before_ns = time.time_ns()
        there_ns = time.clock_gettime_ns(clock)
        took_ns = time.time_ns() - before_ns
        if took_ns >= 0 and (closest is None or took_ns < closest[0]):
            closest = took_ns, there_ns - before_ns - took_ns // 2
    if closest is None:
        raise HostError("the host's clock was set back while a card's was compared with it; start again")
    return closest[1]
