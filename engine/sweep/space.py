"""Which values a sweep tries: `key=1..5:0.5`, `key=1..1000:x10`, `key=1..5`, `key=1.0..5.0`, `key=a,b,c`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product

from crosswire.engine.config import ConfigError

SETS_MAX = 5_000  # of one sweep: each has a file of its own, and 140 kB of memory at the end
AXES_MAX = 8
DIGITS = 6  # significant ones of a value that is drawn from a range

Settings = tuple[str, ...]  # "key=value" for each axis, in their order


@dataclass(frozen=True)
class Axis:
    """One swept key: its values in order, or a range to draw from."""

    key: str
    values: tuple[str, ...]  # empty: a range
    low: float = 0.0
    high: float = 0.0

    @property
    def is_range(self) -> bool:
        return not self.values


def parse_axis(words: str) -> Axis:
    """Read one `--grid`. ConfigError if it is none.

    A whole range has a step of 1; with a decimal point in one of its ends it is drawn from by a search.
    """
    key, separator, written = (each.strip() for each in words.partition("="))
    if not key or not separator or not written:
        raise _wrong(words, "must be KEY=FIRST..LAST:STEP or KEY=A,B,C")
    first, dots, rest = written.partition("..")
    if not dots:
        values = tuple(each.strip() for each in written.split(","))
        if not all(values) or len(set(values)) != len(values):
            raise _wrong(words, "has an empty value, or one twice")
        return Axis(key, values)
    last, colon, step = rest.partition(":")
    try:
        low, high = Decimal(first), Decimal(last)
        by = Decimal(step.removeprefix("x")) if colon else Decimal(1)
    except InvalidOperation:
        raise _wrong(words, "must have numbers, as 1..5:0.5, or 1..1000:x10 for steps that multiply") from None
    if not all(each.is_finite() and math.isfinite(float(each)) for each in (low, high, by)):
        raise _wrong(words, "must have numbers below 1e308")
    if not low < high:
        raise _wrong(words, "must begin below its end")
    if not colon and "." in f"{first}{last}":
        return Axis(key, (), float(low), float(high))
    is_factor = step.startswith("x")
    if (by <= 1 or low <= 0) if is_factor else by <= 0:
        raise _wrong(words, "must have a positive step, or a factor above 1 from a positive number on")
    numbers: list[str] = []
    while low <= high:
        if len(numbers) >= SETS_MAX:
            raise _wrong(words, f"has more than {SETS_MAX:,} values")
        numbers.append(f"{low.normalize():f}")
        low = low * by if is_factor else low + by
    return Axis(key, tuple(numbers))


def parse_axes(words: Sequence[str]) -> list[Axis]:
    """Read every `--grid`. ConfigError: none, too many, or a key twice."""
    axes = [parse_axis(each) for each in words]
    if not 1 <= len(axes) <= AXES_MAX:
        raise ConfigError(f"sweep: {len(axes)} keys to sweep, must be 1 to {AXES_MAX}: --grid KEY=FIRST..LAST:STEP")
    for number, axis in enumerate(axes):
        if axis.key in [other.key for other in axes[:number]]:
            raise ConfigError(f"--grid {axis.key}: is there twice")
    return axes


def grid_of(axes: Sequence[Axis]) -> list[Settings]:
    """List every combination, the last axis changing fastest. ConfigError: a range, or more than SETS_MAX."""
    for axis in axes:
        if axis.is_range:
            raise ConfigError(f"--grid {axis.key}: a grid needs a step, as {axis.low:g}..{axis.high:g}:0.5")
    count = math.prod(len(axis.values) for axis in axes)
    if count > SETS_MAX:
        raise ConfigError(f"sweep: {count:,} sets, must be at most {SETS_MAX:,}; take larger steps, or --random")
    return [settings_of(axes, values) for values in product(*(axis.values for axis in axes))]


def settings_of(axes: Sequence[Axis], values: Sequence[str]) -> Settings:
    """Write a set as `--set` takes it."""
    return tuple(f"{axis.key}={value}" for axis, value in zip(axes, values, strict=True))


def number_in(axis: Axis, fraction: float) -> str:
    """Write the number that lies so far between the ends of a range, rounded to DIGITS."""
    return f"{Decimal(f'{axis.low + fraction * (axis.high - axis.low):.{DIGITS}g}'):f}"


def _wrong(words: str, said: str) -> ConfigError:
    return ConfigError(f"--grid {words}: {said}")
