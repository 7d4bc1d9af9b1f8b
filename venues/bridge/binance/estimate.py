"""How far the recording host's clock is off, as far as its recordings tell.

Of each message the recording has two times: when it was received, by the host's clock, and when the exchange sent it,
by the exchange's. Their difference is what the host's clock is behind or ahead, and how long the message was under way.
The second is never less than some floor, and now and then hardly more: the lower envelope of the differences is the
clock's offset, less that floor. What the data can't tell is the floor itself: a clock that is off by a millisecond and
a wire that is a millisecond longer look the same. So the least delay is the user's to give, and 0 unless given; then
latencies come out too small by as much as the fastest message really took.

The envelope is the least difference in each window of time. Its slope, by Theil and Sen, is the drift: half the windows
may be late before that is misled. Its place is where its lowest windows lie, and the spread of those says how sure that
is (Robson and Whitlock 1964: the end of a distribution from its least values). Windows far off the line, of a clock
that leapt, are left out.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.adapter import ClockCorrection
from crosswire.venues.bridge.binance.clock import STEP_NS, keep_time
from crosswire.venues.bridge.binance.json import scan_line
from crosswire.venues.bridge.binance.line import Number, Seen, to_ns
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.binance.state import Stream
from crosswire.venues.bridge.binance.stream import leave_out, read_exchange_time
from crosswire.venues.bridge.binance.text import RecordingError
from crosswire.venues.bridge.binance.window import slide

WINDOWS_MAX = 4096  # that the time of all recordings is divided into
WINDOW_NS = NS_PER_S  # at first; doubled when there are more
WINDOWS_MIN = 10  # for a drift
BLOCKS_MAX = 256  # of windows, for the slope: it compares every two
EMPTY = 1 << 62
LOWEST_SHARE = 20  # one in so many windows is among the lowest
LOWEST_MIN = 5
SIGMAS = 2.58  # 99 %
DRIFT_PPB_MAX = 1_000_000


class Envelope(Struct):
    """The least difference of local and exchange time in each window."""

    start_ns: i64  # local time of the first window's beginning
    window_ns: i64
    minima: Annotated[Pointer, i64]  # ns, WINDOWS_MAX; EMPTY: nothing in that window


def make_envelope(first_time_ns: int) -> Envelope:
    """Make an envelope for recordings of which none begins before that time."""
    envelope = Envelope(start_ns=first_time_ns - STEP_NS, window_ns=WINDOW_NS, minima=array(i64, WINDOWS_MAX))
    envelope.minima.numpy()[:] = EMPTY
    return envelope


@compiled
def halve(envelope: Envelope) -> None:
    """Make every two windows one."""
    minima = envelope.minima
    for index in range(WINDOWS_MAX // 2):
        minima[index] = min(minima[2 * index], minima[2 * index + 1])
    for index in range(WINDOWS_MAX // 2, WINDOWS_MAX):
        minima[index] = EMPTY
    envelope.window_ns *= 2


@compiled
def add(envelope: Envelope, local_ns: int, exchange_ns: int) -> None:
    """Take up one message."""
    since_ns = local_ns - envelope.start_ns
    if since_ns < 0:
        return
    while since_ns // envelope.window_ns >= WINDOWS_MAX:
        halve(envelope)
    index = since_ns // envelope.window_ns
    envelope.minima[index] = min(envelope.minima[index], local_ns - exchange_ns)


def measure_lines(stream: Stream, envelope: Envelope) -> int:
    """Take up the messages of all lines from `position` to `end`; 0."""
    line = stream.line
    while stream.position != stream.end:
        begin = stream.position
        stream.lines += 1
        end = scan_line(line, stream.text, begin)
        if line.fault != Remark.NONE:
            stream.position = leave_out(stream, begin)
            continue
        read_exchange_time(line)
        keep_time(stream.clock, line, stream.text, end, stream.end, stream.remarks, stream.lines)
        if line.exchange_time_ns != 0 and line.seen & Seen.EVENT != 0:
            sent_ns = to_ns(line.numbers[Number.EVENT_TIME]) if line.seen & Seen.EVENT_TIME != 0 else 0
            add(envelope, stream.clock.time_ns, max(sent_ns, line.exchange_time_ns))
        stream.position = end
    return 0


MEASURE = machine_code(measure_lines)


def measure(path: Path, stream: Stream, envelope: Envelope) -> None:
    """Take a recording into the envelope. Raises `RecordingError`."""
    slide(path, stream, lambda: MEASURE(stream, envelope))


def slope_of(times: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The median slope of all pairs of points, and how far off it may be (Theil 1950, Sen 1968)."""
    first, second = np.triu_indices(len(times), 1)
    slopes = np.sort((values[second] - values[first]) / (times[second] - times[first]))
    count = len(times)
    spread = SIGMAS * np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = slopes[max(int((len(slopes) - spread) / 2), 0)]
    high = slopes[min(int((len(slopes) + spread) / 2) + 1, len(slopes) - 1)]
    middle = float(np.median(slopes))
    return middle, max(high - middle, middle - low)


def block_minima(
    times: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """The lowest point of each of BLOCKS_MAX runs of points."""
    blocks = np.array_split(np.arange(len(times)), min(BLOCKS_MAX, max(len(times) // 4, WINDOWS_MIN)))
    lowest = np.array([block[np.argmin(values[block])] for block in blocks if len(block)])
    return times[lowest], values[lowest]


def estimate_correction(envelope: Envelope, delay_floor_ns: int) -> ClockCorrection:
    """Estimate offset and drift, each with the error that 99 in 100 estimates keep to.

    RecordingError if no message has both times.
    """
    minima = envelope.minima.numpy()
    used = np.flatnonzero(minima != EMPTY)
    if len(used) == 0:
        raise RecordingError("no line has the exchange's time, so its clock can't be compared: give --clock-offset-ms")
    base = int(np.median(minima[used]))  # floats hold what is left exactly
    times = (used + 0.5) * envelope.window_ns
    values = (minima[used] - base).astype(np.float64)
    slope, slope_error = 0.0, 0.0
    if len(used) >= WINDOWS_MIN:
        slope, _ = slope_of(*block_minima(times, values))
        left = values - slope * times
        near = np.abs(left - np.median(left)) <= STEP_NS
        times, values = times[near], values[near]
        left = values - slope * times
        more, slope_error = slope_of(*block_minima(times, left))
        slope += more
    middle = float(times.mean())
    lowest = np.sort(values - slope * (times - middle))
    rank = min(max(len(lowest) // LOWEST_SHARE, LOWEST_MIN), len(lowest)) - 1
    spread = float(lowest[rank] - lowest[0])
    half_span = float(times[-1] - times[0]) / 2
    return ClockCorrection(
        offset_ns=delay_floor_ns - base - round(lowest[0]),
        drift_ppb=max(min(round(-slope * NS_PER_S), DRIFT_PPB_MAX), -DRIFT_PPB_MAX),
        reference_ns=envelope.start_ns + round(middle),
        offset_error_ns=round(spread + slope_error * half_span),
        drift_error_ppb=round(slope_error * NS_PER_S),
        is_estimated=True,
    )
