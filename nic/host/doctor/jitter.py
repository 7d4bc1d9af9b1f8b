"""How long a core is taken away from a thread that only spins: each hole is time in which a loop would read no frame.

The thread reads the time-stamp counter over and over. Two readings are some 20 cycles apart; where they are further
apart than a microsecond, something else had the core: an interrupt, another task, the hypervisor.
"""

import resource
import threading
from dataclasses import dataclass
from typing import Annotated

from crosswire.nic.clock import RATE_BITS, ClockKeeper, LiveClock
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.histogram import Histogram, add_latency, bucket_bounds_ns
from crosswire.nic.host.doctor.check import Jitter
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.process import HostError, pin_thread, run_first_in_first_out
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import NO_JIT, compiled

HOLE_NS = 1_000
SHORT_NS, LONG_NS = 5_000, 100_000
HOLES_MAX = 4_096  # whose moments are kept, of those of SHORT_NS and more
SECONDS_MAX = 600.0
PRIORITY = 50


class Spin(Struct):
    """What a spinning thread is told, and has seen. Times in ns since its beginning."""

    cycles: i64  # how long it is to spin
    rate: i64  # ns a cycle, RATE_BITS of them fraction
    hole_cycles: i64  # from which on it is a hole
    elapsed_ns: i64
    short: i64  # holes of SHORT_NS and more
    long: i64  # of LONG_NS and more
    holes: Histogram
    at_ns: Annotated[Array, i64, HOLES_MAX]
    lasted_ns: Annotated[Array, i64, HOLES_MAX]


@compiled
def spin(state: Spin) -> int:
    """Spin for `state.cycles`, and note every hole; return the readings."""
    begun = cycle_count()
    last = begun
    readings = 0
    while last - begun < state.cycles:
        now = cycle_count()
        if now - last >= state.hole_cycles:
            note_hole(state, last - begun, now - last)
        last = now
        readings += 1
    state.elapsed_ns = (((last - begun) >> 10) * state.rate) >> (RATE_BITS - 10)
    return readings


@compiled
def note_hole(state: Spin, at_cycles: int, cycles: int) -> None:
    """Count a hole."""
    lasted_ns = (cycles * state.rate) >> RATE_BITS
    add_latency(state.holes, lasted_ns)
    if lasted_ns >= SHORT_NS:
        if state.short < HOLES_MAX:
            # Ten minutes of cycles by the rate need more than 63 bits.
            state.at_ns[state.short] = ((at_cycles >> 10) * state.rate) >> (RATE_BITS - 10)
            state.lasted_ns[state.short] = lasted_ns
        state.short += 1
    if lasted_ns >= LONG_NS:
        state.long += 1


@dataclass(frozen=True)
class Measured:
    """A measurement: its figures, its holes by size as (upper bound in ns, count), and the moments of the larger."""

    jitter: Jitter
    buckets: list[tuple[int, int]]
    moments_ns: list[tuple[int, int]]  # (since the beginning, length)
    is_fifo: bool


def interrupts_of(host: Host, core: int) -> int:
    """Count the interrupts that a core has had, by /proc/interrupts."""
    lines = (host.text("/proc/interrupts") or "").splitlines()
    names = lines[0].split() if lines else []
    if f"CPU{core}" not in names:
        return 0
    column = 1 + names.index(f"CPU{core}")
    rows = [line.split() for line in lines[1:]]
    return sum(int(row[column]) for row in rows if len(row) > column and row[column].isdigit())


class _Spinner(threading.Thread):
    """Spins on a core; a daemon, so that Ctrl-C ends the command."""

    def __init__(self, core: int, is_fifo: bool, state: Spin) -> None:
        super().__init__(name="jitter", daemon=True)
        self.core, self.is_fifo, self.state = core, is_fifo, state
        self.switches, self.faults = 0, 0
        self.failure: HostError | None = None

    def run(self) -> None:
        """Spin for a moment to have everything in memory, then for the time that was asked."""
        try:
            pin_thread(self.core)
            if self.is_fifo:
                run_first_in_first_out(PRIORITY)
        except HostError as error:
            self.failure = error
            return
        turn = machine_code(spin)
        turn(Spin(cycles=1 << 16, hole_cycles=1 << 62))
        for array in (self.state.at_ns, self.state.lasted_ns, self.state.holes.buckets):
            array.numpy()[:] = 0  # memory that was never touched is not there yet
        before = resource.getrusage(resource.RUSAGE_THREAD)
        turn(self.state)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        self.switches = after.ru_nivcsw - before.ru_nivcsw
        self.faults = after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt


def measure(host: Host, core: int, seconds: float, is_fifo: bool) -> Measured:
    """Spin on a core. HostError: it can't be had, or the time is out of bounds."""
    if not 0 < seconds <= SECONDS_MAX:
        raise HostError(f"jitter of {seconds:g} s: must be more than 0 and at most {SECONDS_MAX:g}")
    if NO_JIT:
        raise HostError("jitter: the interpreter is slower than what is measured; unset CROSSWIRE_NO_JIT")
    clock = LiveClock()
    ClockKeeper(clock)
    rate = clock.calibrations[clock.current].rate
    cycles_a_second = (NS_PER_S << RATE_BITS) // rate
    state = Spin(cycles=round(seconds * cycles_a_second), rate=rate, hole_cycles=HOLE_NS * cycles_a_second // NS_PER_S)
    machine_code(spin)(Spin())  # compiled, or loaded, before anything is measured
    spinner = _Spinner(core, is_fifo, state)
    before = interrupts_of(host, core)
    spinner.start()
    spinner.join()
    if spinner.failure is not None:
        raise spinner.failure
    came = interrupts_of(host, core) - before
    kept = min(state.short, HOLES_MAX)
    moments = zip(state.at_ns.numpy()[:kept].tolist(), state.lasted_ns.numpy()[:kept].tolist(), strict=True)
    jitter = Jitter(
        core=core,
        seconds=seconds,
        over_5_us=state.short,
        over_100_us=state.long,
        longest_ns=state.holes.max_ns,
        switches=spinner.switches,
        faults=spinner.faults,
        interrupts=came,
    )
    return Measured(jitter, bucket_bounds_ns(state.holes), list(moments), is_fifo)
