"""Who says when a frame was received: the poll that found it, or the kernel as it came in.

The kernel's stamp leaves out how long the frame then waited for the poll. It is by the host's clock, which our own is
only held to (`nic.clock`), so it may be a little ahead of the poll: such a frame is taken to have come with the poll.
Two cores may stamp out of order: a ring's times never go back.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled

POLL, SOFTWARE = "poll", "software"
KINDS = {POLL: "stamped at the poll", SOFTWARE: "stamped by the kernel"}


class ReceiveTimes(Struct):
    """Receive times of one ring."""

    by_kernel: i64  # 1: a frame's time is the kernel's stamp; 0: the poll's, and nothing below is used
    last_ns: i64  # of the frame before
    stamped: i64  # frames whose time is the kernel's stamp as it is
    unstamped: i64  # frames that the kernel gave no stamp: they have the poll's time
    ahead: i64  # stamps behind the poll's time, set to that
    raised: i64  # stamps earlier than the frame before, set to its time


@compiled
def received_ns(times: ReceiveTimes, stamp_ns: int, now_ns: int) -> int:
    """Return the receive time of a frame that the kernel stamped, 0: that it did not; both in ns since the epoch."""
    if stamp_ns == 0:
        times.unstamped += 1
        stamp_ns = now_ns
    elif stamp_ns > now_ns:
        times.ahead += 1
        stamp_ns = now_ns
    elif stamp_ns >= times.last_ns:
        times.stamped += 1
    else:
        times.raised += 1
    times.last_ns = max(times.last_ns, stamp_ns)
    return times.last_ns


def receive_time_counters(times: ReceiveTimes) -> dict[str, int]:
    """Count the frames by where their time is from; nothing of a ring whose frames have the poll's."""
    if times.by_kernel == 0:
        return {}
    return {
        "stamped_by_the_kernel": times.stamped,
        "not_stamped": times.unstamped,
        "stamps_ahead_of_the_poll": times.ahead,
        "stamps_out_of_order": times.raised,
    }
