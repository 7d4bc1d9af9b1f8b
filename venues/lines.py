"""The lines that one feed comes on, A and B, and how far each is behind the other.

A packet counts by the first line that brings it. What the other brings later is a copy: how much later is the lead that
the first one had. That shows which line is the faster one: copies come on the slower, and their share says how often.
Only copies of a channel's last packet are timed; an older one is late for another reason.
"""

from typing import Annotated

from crosswire.nic.histogram import Histogram, add_latency
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import outlined

LINES_MAX = 8  # of one feed: groups and ports that copies have come on; those of further ones are not timed


class Line(Struct):
    """One group and port."""

    key: i64  # group as a number, shifted by 16, and port; 0: free
    behind: Histogram  # the first line's packet, of copies on this one


class Lines(Struct):
    """Of one feed, in the order in which their first copy came."""

    items: Annotated[Array, Line, LINES_MAX]


@outlined
def note_copy(lines: Lines, packet: Packet, first_ns: int) -> None:
    """Time a copy of a packet that was received at `first_ns`."""
    key = packet.destination_ip << 16 | packet.destination_port
    for place in range(LINES_MAX):
        line = lines.items[place]
        if line.key == 0:
            line.key = key
        if line.key == key:
            add_latency(line.behind, packet.time_ns - first_ns)
            return


def behind_by_line(lines: Lines) -> dict[str, Histogram]:
    """Give what was timed by line, "239.1.1.1:6200"."""
    return {f"{ip_text(line.key >> 16)}:{line.key & 0xFFFF}": line.behind for line in lines.items if line.key}
