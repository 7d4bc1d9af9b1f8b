"""`Latency`: how long a wire takes, by one of several models, the same for every wire of a simulation.

A latency is a function of the time of sending, the frame's number on its wire and what the load was: never of how often
it was asked for. So what a run does depends neither on where it starved nor on what other venues do.

* CONSTANT: none but what the wire itself adds.
* EMPIRICAL: drawn from a distribution given by quantiles; frame n's draw is a hash of the seed and n.
* INTERPOLATED: between the recorded (time, latency) points on both sides of the time of sending; the first and last
  hold beyond the ends.
* LOAD: per_frame_ns * n, with n the market data frames of the venue in the window before the time of
  sending, at most LOAD_MAX.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.raw import GOLDEN, mix_bits, multiply_u64, shift_right
from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, one
from crosswire.nic.unit.compile import compiled

QUANTILES = 1024  # pieces of an empirical distribution, each linear
LOAD_MAX = 4096  # frames that a window counts; beyond that the load grows no further
_LOAD_MASK = LOAD_MAX - 1


class Model(IntEnum):
    CONSTANT = 0
    EMPIRICAL = 1
    INTERPOLATED = 2
    LOAD = 3
    MEASURED = 4  # by the times on the wire: of market data alone, see `crosswire.venues.exchange.clock`


class Point(Struct):
    """A latency that was recorded."""

    time_ns: i64  # of sending
    latency_ns: i64


class Load(Struct):
    """The times of the last frames, at most LOAD_MAX: how many lie in a window before now."""

    window_ns: i64
    added: i64
    oldest: i64  # number of the oldest frame that the window still holds
    times_ns: Annotated[Array, i64, LOAD_MAX]


class Latency(Struct):
    """What a wire takes beyond a constant: a model and what it needs. All zero: nothing."""

    model: i64  # Model
    seed: i64
    per_frame_ns: i64
    place: i64  # of the point before the last time asked for
    point_count: i64
    quantiles_ns: Annotated[Pointer, i64]  # EMPIRICAL: QUANTILES + 1, the least first
    points: Annotated[Pointer, Point]  # INTERPOLATED: by time
    load: Annotated[Pointer, Load]  # LOAD: one, which whoever sees the frames adds them to


def set_empirical(latency: Latency, quantiles_ns: list[int], seed: int) -> None:
    """Draw from a distribution of QUANTILES + 1 quantiles, from the least to the greatest."""
    assert len(quantiles_ns) == QUANTILES + 1
    latency.model = Model.EMPIRICAL
    latency.seed = seed
    latency.quantiles_ns = array(i64, QUANTILES + 1)
    latency.quantiles_ns.numpy()[:] = quantiles_ns


def set_interpolated(latency: Latency, points: Array) -> None:
    """Interpolate between `points`, at least one, by time."""
    assert len(points) > 0
    latency.model = Model.INTERPOLATED
    latency.point_count = len(points)
    latency.points = points


def set_load(latency: Latency, per_frame_ns: int, load: Load) -> None:
    """Let it grow with `load`."""
    latency.model = Model.LOAD
    latency.per_frame_ns = per_frame_ns
    latency.load = one(load)


@compiled
def latency_at(latency: Latency, time_ns: int, number: int) -> int:
    """Find the latency in ns of the frame `number` of its wire, sent at `time_ns`."""
    model = latency.model
    if model == Model.CONSTANT:
        return 0
    if model == Model.EMPIRICAL:
        return _draw(latency, number)
    if model == Model.INTERPOLATED:
        return _interpolate(latency, time_ns)
    return latency.per_frame_ns * count_load(latency.load[0], time_ns)


@compiled
def _draw(latency: Latency, number: int) -> int:
    """Draw by the number's hash: its top bits choose the piece, the next 16 the place in it."""
    bits = shift_right(mix_bits(latency.seed ^ multiply_u64(number + 1, GOLDEN)), 38)  # 26 bits
    piece, place = bits >> 16, bits & 0xFFFF
    least_ns = latency.quantiles_ns[piece]
    return least_ns + (((latency.quantiles_ns[piece + 1] - least_ns) * place) >> 16)


@compiled
def _interpolate(latency: Latency, time_ns: int) -> int:
    """Interpolate between the points before and after. Times mostly go on, so the place is found by a step."""
    place = latency.place
    while place > 0 and latency.points[place].time_ns > time_ns:
        place -= 1
    while place + 1 < latency.point_count and latency.points[place + 1].time_ns <= time_ns:
        place += 1
    latency.place = place
    before = latency.points[place]
    if time_ns <= before.time_ns or place + 1 == latency.point_count:
        return before.latency_ns
    after = latency.points[place + 1]
    share = (time_ns - before.time_ns) / (after.time_ns - before.time_ns)
    return before.latency_ns + int((after.latency_ns - before.latency_ns) * share)


@compiled
def note_frame(latency: Latency, time_ns: int) -> None:
    """Count a frame of market data, not earlier than the one before, if the model goes by load."""
    if latency.model == Model.LOAD:
        add_load(latency.load[0], time_ns)


@compiled
def add_load(load: Load, time_ns: int) -> None:
    """Count a frame."""
    load.times_ns[load.added & _LOAD_MASK] = time_ns
    load.added += 1
    if load.added - load.oldest > LOAD_MAX:
        load.oldest += 1


@compiled
def count_load(load: Load, now_ns: int) -> int:
    """Count the frames of the last `window_ns`. Asked with times that go on."""
    while load.oldest < load.added and load.times_ns[load.oldest & _LOAD_MASK] <= now_ns - load.window_ns:
        load.oldest += 1
    return load.added - load.oldest
