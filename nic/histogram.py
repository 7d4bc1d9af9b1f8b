"""Latency histograms in fixed memory: eight buckets an octave, so a value is known to within 12.5 %."""

from collections.abc import Iterator
from typing import Annotated

from crosswire.nic.memory.raw import count_leading_zeros
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled

STEPS = 8  # buckets an octave
BUCKETS = 62 * STEPS  # up to 2**63 ns


class Histogram(Struct):
    """Counts of values by size, ns. `negative` counts clocks that disagree."""

    count: i64
    negative: i64
    max_ns: i64
    buckets: Annotated[Array, i64, BUCKETS]


@compiled
def add_latency(histogram: Histogram, latency_ns: int) -> None:
    """Count one latency."""
    if latency_ns < 0:
        histogram.negative += 1
        return
    histogram.count += 1
    if latency_ns > histogram.max_ns:
        histogram.max_ns = latency_ns
    if latency_ns < STEPS:
        histogram.buckets[latency_ns] += 1
    else:
        octave = 60 - count_leading_zeros(latency_ns)  # the value shifted right by it keeps its top four bits
        histogram.buckets[octave * STEPS + (latency_ns >> octave)] += 1


def bucket_bounds_ns(histogram: Histogram) -> list[tuple[int, int]]:
    """List (upper bound in ns, count) of every bucket that counted something, smallest first."""
    return [(most_ns, count) for _, most_ns, count in _buckets(histogram)]


def middle_sum_ns(histogram: Histogram) -> int:
    """Sum all values, each taken as the middle of its bucket: within 6 %."""
    return sum((least_ns + most_ns) // 2 * count for least_ns, most_ns, count in _buckets(histogram))


def _buckets(histogram: Histogram) -> Iterator[tuple[int, int, int]]:
    """List (lower bound, upper bound, count) of every bucket that counted something, smallest first."""
    for index, count in enumerate(histogram.buckets.numpy()):
        if count:
            octave, step = (0, index) if index < STEPS else (index // STEPS - 1, index % STEPS + STEPS)
            yield step << octave, ((step + 1) << octave) - 1, int(count)


def percentile_ns(histogram: Histogram, percent: int) -> int:
    """Find a percentile, taking a bucket's values as spread evenly over it; 0 when nothing was counted."""
    wanted = -(-histogram.count * percent // 100)
    for least_ns, most_ns, count in _buckets(histogram):
        if wanted <= count:
            most_ns = min(most_ns, histogram.max_ns)
            return least_ns + (most_ns - least_ns) * wanted // count
        wanted -= count
    return 0


def count_above(histogram: Histogram, latency_ns: int) -> int:
    """Count the values of all buckets that begin above a latency."""
    return sum(count for least_ns, _, count in _buckets(histogram) if least_ns > latency_ns)
