"""Who says when a frame was received: the poll that found it, the kernel as it came in, or the card off the wire.

The kernel's stamp leaves out how long the frame then waited for the poll. It is by the host's clock, which our own is
only held to (`nic.clock`), so it may be a little ahead of the poll: such a frame is taken to have come with the poll.
Two cores may stamp out of order: a ring's times never go back.

The card's stamp leaves out the interrupt's delay as well. It is by the card's own clock, which another program keeps at
the host's, or fails to. So it is believed only if what saw the same frame later bears it out: the kernel's stamp, or
the poll where the ring has one stamp a frame.
"""

from enum import IntEnum

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled

POLL, SOFTWARE, HARDWARE = "poll", "software", "hardware"
KINDS = {POLL: "stamped at the poll", SOFTWARE: "stamped by the kernel", HARDWARE: "stamped by the card"}
CARD_LEAD_MAX_NS = 10 * NS_PER_MS  # from the card's stamp to its witness: more is another clock's time, not a delay


class Source(IntEnum):
    """Whose stamps a ring's frames have, in the order of `KINDS`."""

    POLL = 0
    KERNEL = 1
    CARD = 2  # the kernel's where the card gave none


SOURCES = dict(zip(KINDS, Source, strict=True))


class ReceiveTimes(Struct):
    """Receive times of one ring."""

    source: i64  # Source; POLL: nothing below is used
    last_ns: i64  # of the frame before
    stamped: i64  # frames whose time is a stamp as it is
    by_card: i64  # of these, the card's
    unstamped: i64  # frames without a stamp: they have the poll's time
    ahead: i64  # stamps behind the poll's time, set to that
    raised: i64  # stamps earlier than the frame before, set to its time
    disbelieved: i64  # the card's stamps that their witness did not bear out: left out


@compiled
def received_ns(times: ReceiveTimes, stamp_ns: int, now_ns: int) -> int:
    """Return the receive time of a frame that was stamped, 0: that was not; both in ns since the epoch."""
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


@compiled
def received_by_card_ns(times: ReceiveTimes, card_ns: int, kernel_ns: int, now_ns: int) -> int:
    """Return the receive time of a frame that card and kernel may have stamped, 0: did not; ns since the epoch."""
    if card_ns == 0:
        return received_ns(times, kernel_ns, now_ns)
    witness_ns = kernel_ns if kernel_ns != 0 else now_ns
    if card_ns > witness_ns or witness_ns - card_ns > CARD_LEAD_MAX_NS:
        times.disbelieved += 1
        return received_ns(times, kernel_ns, now_ns)
    stamped = times.stamped
    time_ns = received_ns(times, card_ns, now_ns)
    times.by_card += times.stamped - stamped
    return time_ns


def receive_time_counters(times: ReceiveTimes) -> dict[str, int]:
    """Count the frames by where their time is from; nothing of a ring whose frames have the poll's."""
    if times.source == Source.POLL:
        return {}
    card = {"stamped_by_the_card": times.by_card, "card_stamps_not_believed": times.disbelieved}
    return (card if times.source == Source.CARD else {}) | {
        "stamped_by_the_kernel": times.stamped - times.by_card,
        "not_stamped": times.unstamped,
        "stamps_ahead_of_the_poll": times.ahead,
        "stamps_out_of_order": times.raised,
    }
