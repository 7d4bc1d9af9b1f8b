"""How far a value is from what it has lately been: against a window of samples, or against an exponential average.

A z-score says how many standard deviations; it does not say how likely that is, for what markets do has heavier tails
than a normal distribution.
"""

from math import sqrt
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.average import FRACTION_BITS, Average, distance

WINDOW_MAX = 256  # samples
# Of a sample's size: (count * value) ** 2 then stays below 2**63.
SAMPLE_MAX = 10_000_000
Z_MAX_E3 = 1_000_000  # beyond a thousand deviations, and where there is no deviation, it is only "far"


class Window(Struct):
    """The last `length` samples, with exact sums. `length` 1 to WINDOW_MAX; the unit is the author's."""

    length: i64
    count: i64
    next: i64
    sum: i64
    square_sum: i64
    samples: Annotated[Array, i64, WINDOW_MAX]


@compiled
def add_to_window(window: Window, value: int) -> None:
    """Take in one sample, the oldest goes; what is beyond SAMPLE_MAX counts as that."""
    value = max(-SAMPLE_MAX, min(SAMPLE_MAX, value))
    length = max(1, min(WINDOW_MAX, window.length))
    place = window.next if 0 <= window.next < length else 0
    if window.count == length:
        oldest = window.samples[place]
        window.sum -= oldest
        window.square_sum -= oldest * oldest
    else:
        window.count += 1
    window.samples[place] = value
    window.sum += value
    window.square_sum += value * value
    window.next = place + 1


@compiled
def z_score_e3(window: Window, value: int) -> int:
    """Return (value - mean) / standard deviation in 1e-3, within Z_MAX_E3; 0 below two samples.

    The deviation is the population's: the square root of the mean squared distance from the mean. With count n, sum s
    and sum of squares q, that is (n * value - s) / sqrt(n * q - s * s), of which all but the root is exact.
    """
    if window.count < 2:
        return 0
    value = max(-SAMPLE_MAX, min(SAMPLE_MAX, value))
    away = window.count * value - window.sum
    root = _root(window.count * window.square_sum - window.sum * window.sum)
    return _ratio_e3(away, root)


@compiled
def deviations_e3(average: Average, value: int) -> int:
    """Return (value - mean) / mean absolute deviation in 1e-3, within Z_MAX_E3, of an exponential average.

    Of a normal distribution a standard deviation is 1.25 of these.
    """
    if average.samples < 2:
        return 0
    return _ratio_e3(distance(average, value), average.deviation)


@compiled
def average_of(average: Average) -> int:
    """Return an exponential average's mean in its unit, rounded down."""
    return average.mean >> FRACTION_BITS


@compiled
def _ratio_e3(away: int, deviation: int) -> int:
    if deviation == 0:
        return 0 if away == 0 else (Z_MAX_E3 if away > 0 else -Z_MAX_E3)
    size = abs(away)
    # Not multiplied before it is known to be small: 1000 * away could wrap.
    ratio = Z_MAX_E3 if size // deviation >= Z_MAX_E3 // 1000 else size * 1000 // deviation
    return ratio if away > 0 else -ratio


@compiled
def _root(value: int) -> int:
    """Return the square root, rounded down. The processor's own is off by one at most, above 2**52."""
    root = int(sqrt(value))
    while root * root > value:
        root -= 1
    while (root + 1) * (root + 1) <= value:
        root += 1
    return root
