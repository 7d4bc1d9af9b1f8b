"""Running mean and mean absolute deviation of a sampled integer: exponential, in integers, the same on every machine.

Both move towards each sample by a weight in 2**-WEIGHT_BITS. While there are few samples the weight is one over their
number, so that the start is a plain average. What a step's division leaves is kept for the next one: no bias, and no
stall near the mean, however small the weight.

Values within VALUE_MAX can't overflow: 2 * VALUE_MAX * 2**FRACTION_BITS * 2**WEIGHT_BITS is below 2**63.
"""

from decimal import Decimal

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled

FRACTION_BITS = 12
WEIGHT_BITS = 26
WEIGHT_ONE = 1 << WEIGHT_BITS
VALUE_MAX = 10_000_000


class Average(Struct):
    """A running mean and deviation, in 2**-FRACTION_BITS of the sampled unit."""

    samples: i64
    mean: i64
    deviation: i64  # mean absolute; of a normal distribution 0.8 standard deviations
    mean_rest: i64  # 2**-(FRACTION_BITS + WEIGHT_BITS)
    deviation_rest: i64


def weight_of(interval: Decimal, half_life: Decimal) -> int:
    """Return the weight with which a sample's influence halves in `half_life`; ValueError if that is below 2**-26."""
    # Decimal rather than float: the same digits with every C library.
    weight = int((1 - Decimal(2) ** (-interval / half_life)) * WEIGHT_ONE)
    if weight < 1:
        raise ValueError(f"a half life of {half_life} is too long for samples every {interval}")
    return weight


@compiled
def distance(average: Average, value: int) -> int:
    """Return how far a value is above the mean, 2**-FRACTION_BITS of the unit."""
    return (value << FRACTION_BITS) - average.mean


@compiled
def add_sample(average: Average, value: int, weight: int) -> None:
    """Take in one sample, within VALUE_MAX; the deviation is from the mean before it."""
    average.samples += 1
    weight = max(weight, WEIGHT_ONE // average.samples)
    off = distance(average, value)
    moved = off * weight + average.mean_rest
    average.mean += moved >> WEIGHT_BITS
    average.mean_rest = moved & (WEIGHT_ONE - 1)
    if average.samples > 1:
        moved = (abs(off) - average.deviation) * weight + average.deviation_rest
        average.deviation += moved >> WEIGHT_BITS
        average.deviation_rest = moved & (WEIGHT_ONE - 1)
