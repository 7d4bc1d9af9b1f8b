"""The run's clock. Nothing else reads time.

In replay time is the capture's: it jumps to whatever happens next. A live clock ignores what is proposed and reads the
processor's time-stamp counter, which costs no system call; `ClockKeeper` holds it to the host's clock.
"""

import time
from typing import Annotated

from crosswire.nic.memory.raw import cycle_count, load_i64_acquire, store_i64_release
from crosswire.nic.memory.struct import Array, Struct, address_of, i64
from crosswire.nic.unit.compile import compiled, generic

RATE_BITS = 26  # fraction bits of ns a cycle: 1.5e-8 at 3 GHz, which is 15 ns a second between two calibrations
ELAPSED_CYCLES_MAX = 1 << 36  # 20 s: the product below stays under 2**63. A clock that nobody keeps stops there.
SLOW = 0.5  # speed of a clock that waits for the host's: one that stood still would fire no timer, and no book grew old
JUMP_NS = 1_000_000  # of the host's clock between two calibrations: more than slewing it by 500 ppm makes in 2 s
SLEW_PPM_MAX = 500  # as ntpd: an error is taken out slowly, so that no interval is measured falsely
STEP_NS = 128_000_000  # as ntpd: a larger error is no drift but a suspended host or a clock that was set
PAIR_READINGS = 9  # the tightest of so many readings of both clocks


class ReplayClock(Struct):
    """Time of the captures, ns since the epoch."""

    now_ns: i64


class Calibration(Struct):
    """A line through one moment: ns since the epoch from cycles."""

    cycles: i64
    time_ns: i64
    rate: i64  # ns a cycle, RATE_BITS of them fraction


class LiveClock(Struct):
    """The host's time, ns since the epoch, by the time-stamp counter."""

    now_ns: i64
    current: i64  # which calibration holds; the keeper writes the other one and then switches
    calibrations: Annotated[Array, Calibration, 2]


@generic
def advance(clock: Struct, next_ns: int) -> int:
    """The time to act at, ns since the epoch; `next_ns` is when the next thing happens in a replay. Never goes back."""


@advance.register(ReplayClock)
def _advance_replay(clock: ReplayClock, next_ns: int) -> int:
    if next_ns > clock.now_ns:
        clock.now_ns = next_ns
    return clock.now_ns


@compiled
def time_at(clock: LiveClock, cycles: int) -> int:
    """The clock's time at a cycle count, ns since the epoch."""
    calibration = clock.calibrations[load_i64_acquire(address_of(clock) + 8) & 1]
    elapsed = min(cycles - calibration.cycles, ELAPSED_CYCLES_MAX)
    return calibration.time_ns + ((elapsed * calibration.rate) >> RATE_BITS)


@advance.register(LiveClock)
def _advance_live(clock: LiveClock, _next_ns: int) -> int:
    clock.now_ns = max(clock.now_ns, time_at(clock, cycle_count()))
    return clock.now_ns


class ClockKeeper:
    """Measures the counter's rate and holds a `LiveClock` to the host's: call `keep` about once a second."""

    def __init__(self, clock: LiveClock, settle_s: float = 0.05) -> None:
        """Take `settle_s` to measure the rate for the first time."""
        assert LiveClock.fields["current"].offset == 8
        self.clock = clock
        cycle_count()  # compiles it
        self._origin_cycles, self._origin_ns = self._read_both()
        time.sleep(settle_s)
        cycles, now_ns = self._read_both()
        self._rate = (now_ns - self._origin_ns) / (cycles - self._origin_cycles)
        self._seen_cycles, self._seen_ns = cycles, now_ns
        self._set(cycles, now_ns, self._rate)

    def keep(self, interval_s: float = 1.0) -> int:
        """Calibrate anew; returns by how much the clock was off, ns. Half of that is gone after `interval_s`.

        An error above STEP_NS is gone at once where the host's clock is ahead. Time never goes back: where the host's
        is behind, ours waits for it at SLOW of its speed.
        """
        cycles, host_ns = self._read_both()
        shown_ns = time_at(self.clock, cycles)
        rate = self._measure(cycles, host_ns)
        error_ns = host_ns - shown_ns
        if error_ns > STEP_NS:
            self._set(cycles, host_ns, rate)
        elif error_ns < -STEP_NS:
            self._set(cycles, shown_ns, rate * max(SLOW, 1 + error_ns / interval_s / 1e9))
        else:
            slew = max(-SLEW_PPM_MAX, min(SLEW_PPM_MAX, error_ns / interval_s / 2 / 1000)) / 1e6
            self._set(cycles, shown_ns, rate * (1 + slew))
        return error_ns

    def _measure(self, cycles: int, host_ns: int) -> float:
        """Return the counter's rate since the beginning, ns a cycle, less by how much the host's clock was set."""
        jump_ns = host_ns - self._seen_ns - (cycles - self._seen_cycles) * self._rate
        if abs(jump_ns) > JUMP_NS:
            self._origin_ns += round(jump_ns)
        self._rate = (host_ns - self._origin_ns) / (cycles - self._origin_cycles)
        self._seen_cycles, self._seen_ns = cycles, host_ns
        return self._rate

    def _set(self, cycles: int, time_ns: int, rate: float) -> None:
        spare = 1 - self.clock.current
        calibration = self.clock.calibrations[spare]
        calibration.cycles = cycles
        calibration.time_ns = time_ns
        calibration.rate = round(rate * (1 << RATE_BITS))
        store_i64_release(address_of(self.clock) + LiveClock.fields["current"].offset, spare)

    @staticmethod
    def _read_both() -> tuple[int, int]:
        readings = []
        for _ in range(PAIR_READINGS):
            before = cycle_count()
            now_ns = time.time_ns()
            after = cycle_count()
            readings.append((after - before, (before + after) // 2, now_ns))
        _, cycles, now_ns = min(readings)
        return cycles, now_ns
