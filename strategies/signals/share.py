"""A part of a whole, in integers."""

from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import E9, divide_e9

WHOLE_MAX = 1 << 53  # that a division to 1e-9 takes; more is halved until it fits


@compiled
def share_e9(part: int, rest: int) -> int:
    """Return part / (part + rest) in 1e-9, rounded down; half if both are 0. Neither may be negative or above 2**62."""
    # Halved apart: the sum of two that large would wrap.
    while part > WHOLE_MAX >> 1 or rest > WHOLE_MAX >> 1:
        part >>= 1
        rest >>= 1
    if part + rest == 0:
        return E9 // 2
    return divide_e9(part, part + rest)


@compiled
def balance_e9(first: int, second: int) -> int:
    """Return (first - second) / (first + second) in 1e-9, from -1e9 to 1e9; 0 if both are 0. Limits as `share_e9`."""
    return 2 * share_e9(first, second) - E9
