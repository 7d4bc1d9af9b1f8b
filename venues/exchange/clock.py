"""When a frame of a capture was made at the exchange: the clock that a simulated exchange's own books go by.

The frames keep the order in which they were captured, since the decoders' sequence checks depend on it. So the
exchange's time of frame n is

    e[n] = max(receive[n] - latency_max, min(receive[n], max(e[n - 1], w[n])))

with w[n] the time on the wire (MEASURED), or the receive time less what the model says. A message that came later than
others made after it (Binance sends trades, depth and best prices by different ways) counts as made with them.

A packet without a time (Binance spot's best prices, a snapshot) was as long under way as the last change of a book that
told one: trades are left out of that, because venues send them late (Binance spot by up to 217 ms, where depth took 3).
"""

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.histogram import Histogram, add_latency
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.rings.latency import Latency, Model, latency_at, note_frame
from crosswire.nic.unit.compile import compiled
from crosswire.venues.exchange.wire_time import WireTime

CLOCKS_DIFFER_NS = 10 * NS_PER_S  # no wire takes so long, or brings what is yet to be made


class ExchangeClock(Struct):
    """The exchange's times of one venue's frames, and what was wrong with those on the wire."""

    is_known: i64  # 1: `time_ns` is that of the next frame
    time_ns: i64  # of the frame told last
    constant_ns: i64  # what the model's comes on top of
    latency_max_ns: i64  # MEASURED
    last_latency_ns: i64  # of the last change of a book that told its time
    untimed: i64  # frames without a time on the wire
    raised: i64  # frames told later than others that were made after them
    too_late: i64  # frames made after they were received: clocks that disagree
    too_early: i64  # frames longer than `latency_max_ns` under way
    first_too_late_ns: i64  # receive time of the first
    first_too_early_ns: i64
    differing: i64  # changes of a book whose time lies more than CLOCKS_DIFFER_NS from the receive time, either way
    first_differing_ns: i64  # receive time of the first
    first_difference_ns: i64  # how long it would have been under way
    resolution_ns: i64  # of the times on the wire: a millisecond until one is finer
    latency: Latency
    told: WireTime  # of the frame told last
    measured: Histogram  # from the time on the wire to the receive time, by packet that changed a book


@compiled
def tell_modelled(clock: ExchangeClock, receive_ns: int, number: int) -> None:
    """Tell when frame `number` was made, by a model that asks no wire."""
    latency_ns = clock.constant_ns + latency_at(clock.latency, receive_ns, number)
    note_frame(clock.latency, receive_ns)
    clock.time_ns = max(clock.time_ns, receive_ns - latency_ns)
    clock.is_known = 1


@compiled
def tell_measured(clock: ExchangeClock, receive_ns: int) -> None:
    """Tell when a frame was made, by what `clock.told` has of its wire."""
    wire_ns = clock.told.time_ns
    if wire_ns == 0:
        clock.untimed += 1
        wire_ns = receive_ns - clock.last_latency_ns
    elif wire_ns > receive_ns:
        if clock.too_late == 0:
            clock.first_too_late_ns = receive_ns
        clock.too_late += 1
        wire_ns = receive_ns
    if clock.told.is_book != 0:
        clock.last_latency_ns = min(receive_ns - wire_ns, clock.latency_max_ns)
    if wire_ns < clock.time_ns:
        clock.raised += 1
        wire_ns = clock.time_ns
    if wire_ns < receive_ns - clock.latency_max_ns:
        if clock.too_early == 0:
            clock.first_too_early_ns = receive_ns
        clock.too_early += 1
        wire_ns = receive_ns - clock.latency_max_ns
    clock.time_ns = wire_ns
    clock.is_known = 1


@compiled
def book_time(clock: ExchangeClock) -> int:
    """Return when the frame told last was made, 0 if it changed no book or does not say."""
    return clock.told.time_ns if clock.told.is_book != 0 else 0


@compiled
def measure(clock: ExchangeClock, receive_ns: int, time_ns: int) -> None:
    """Count the latency of a frame that told something new, with its `book_time`."""
    if time_ns != 0:
        latency_ns = receive_ns - time_ns
        if abs(latency_ns) > CLOCKS_DIFFER_NS:
            if clock.differing == 0:
                clock.first_differing_ns = receive_ns
                clock.first_difference_ns = latency_ns
            clock.differing += 1
        add_latency(clock.measured, latency_ns)
        if clock.resolution_ns != 1 and time_ns % NS_PER_MS != 0:
            clock.resolution_ns = 1


@compiled
def is_measured(clock: ExchangeClock) -> bool:
    """Tell whether the wire must be asked before a frame's time is known."""
    return clock.latency.model == Model.MEASURED
