"""What a record costs the loop: `crosswire bench journal`.

Each record is timed apart, by the processor's counter, which may count in steps of 10 ns; an empty pair of readings is
taken off. `mean_ns` is of all records of a round in a row. Between records that are timed apart the core does other
things (a walk over WORK_BYTES), as the loop does, so that the journal's lines are as cold as they are there. The
yardstick is a plain copy of the same bytes to the same place: what writing costs without number, checksum and commit.
"""

import argparse
import json
import mmap
import statistics
from typing import Any

import numpy as np

from crosswire.nic.clock import RATE_BITS, ClockKeeper, LiveClock
from crosswire.nic.host.process import pin_thread
from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.memory.raw import LINE_BYTES, copy_bytes, cycle_count, load_i64
from crosswire.nic.memory.struct import Array, address_of, array, i64
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.risk.records import KINDS, VERSION, RecordKind

RECORDS = 8_000  # of a round: what a segment has room for
ROUNDS = 9
WORK_BYTES = 1 << 18
SHOWN = (RecordKind.CANCEL_SENT, RecordKind.ORDER_SENT, RecordKind.FILL)


@compiled
def work(scratch: int, place: int) -> int:
    """Read some lines of other memory."""
    total = 0
    for step in range(32):
        total += load_i64(scratch + (place * 32 + step) * LINE_BYTES % WORK_BYTES)
    return total


@compiled
def time_records(
    journal: Journal, source: int, scratch: int, kind: int, payload_bytes: int, count: int, marks: Array
) -> int:
    """Write `count` records, the cycles of each to `marks`; with kind 0 copy their bytes and nothing more."""
    total = 0
    for number in range(count):
        total += work(scratch, number)
        begun = cycle_count()
        if kind == 0:
            copy_bytes(journal.position, source, payload_bytes)
            journal.position += payload_bytes
        elif kind > 0:
            copy_bytes(begin_record(journal, payload_bytes), source, payload_bytes)
            commit_record(journal, kind, VERSION, payload_bytes, number)
        marks[number] = cycle_count() - begun
    return total


@compiled
def time_in_a_row(journal: Journal, source: int, kind: int, payload_bytes: int, count: int) -> int:
    """Write `count` records; return the cycles of all of them."""
    begun = cycle_count()
    for number in range(count):
        copy_bytes(begin_record(journal, payload_bytes), source, payload_bytes)
        commit_record(journal, kind, VERSION, payload_bytes, number)
    return cycle_count() - begun


TIME_RECORDS = machine_code(time_records)
TIME_IN_A_ROW = machine_code(time_in_a_row)


class Bed:
    """A journal in memory that is there, and what to write."""

    def __init__(self) -> None:
        self.kept = MemoryJournal(make_journal())
        self.source, self.scratch = array(i64, 64), mmap.mmap(-1, WORK_BYTES)
        self.marks = array(i64, RECORDS)
        np.frombuffer(self.scratch, np.uint8)[:] = 1
        np.frombuffer(self.kept.segment.memory, np.uint8)[self.kept.written().nbytes :] = 0

    def times(self, kind: int, payload_bytes: int, ns_per_cycle: float) -> np.ndarray:
        """Time one round, ns of each record."""
        scratch = np.frombuffer(self.scratch, np.uint8).ctypes.data
        begun = self.kept.journal.position
        TIME_RECORDS(self.kept.journal, address_of(self.source), scratch, kind, payload_bytes, RECORDS, self.marks)
        if kind <= 0:
            self.kept.journal.position = begun
        else:
            self.kept.take()
        return self.marks.numpy() * ns_per_cycle

    def mean_ns(self, kind: int, payload_bytes: int, ns_per_cycle: float) -> float:
        """Time a round as a whole, ns a record."""
        cycles = TIME_IN_A_ROW(self.kept.journal, address_of(self.source), kind, payload_bytes, RECORDS)
        self.kept.take()
        return cycles * ns_per_cycle / RECORDS


def percentiles(rounds: list[np.ndarray], empty_ns: float) -> dict[str, float]:
    """Give the medians over the rounds, less what timing itself costs."""
    return {
        f"p{percent}_ns": round(statistics.median(float(np.percentile(each, percent)) for each in rounds) - empty_ns, 1)
        for percent in (50, 99)
    }


def measure(core: int) -> dict[str, Any]:
    """Measure all kinds side by side, round by round."""
    pin_thread(core)
    clock = LiveClock()
    ClockKeeper(clock)
    ns_per_cycle = float(clock.calibrations[clock.current].rate / (1 << RATE_BITS))
    bed = Bed()
    sizes = {kind: KINDS[kind].size for kind in SHOWN}
    rounds: dict[str, list[np.ndarray]] = {}
    means: dict[str, list[float]] = {}
    for number in range(-1, ROUNDS):
        for kind, size in sizes.items():
            name = kind.name.lower()
            empty, copied, written = (bed.times(each, size, ns_per_cycle).copy() for each in (-1, 0, int(kind)))
            mean = bed.mean_ns(int(kind), size, ns_per_cycle)
            if number >= 0:
                rounds.setdefault("empty", []).append(empty)
                rounds.setdefault(f"{name} copied", []).append(copied)
                rounds.setdefault(name, []).append(written)
                means.setdefault(name, []).append(mean)
    empty_ns = statistics.median(float(np.median(each)) for each in rounds.pop("empty"))
    result: dict[str, Any] = {"timing_itself_ns": round(empty_ns, 1)}
    for kind, size in sizes.items():
        name = kind.name.lower()
        own, copied = percentiles(rounds[name], empty_ns), percentiles(rounds[f"{name} copied"], empty_ns)
        result[name] = own | {
            "mean_ns": round(statistics.median(means[name]), 1),
            "payload_bytes": size,
            "copy_of_the_same_bytes": copied,
        }
    return result


def main() -> None:
    """Run the benchmark; its last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=1)
    arguments = parser.parse_args()
    result = measure(arguments.core)
    for name, each in result.items():
        if isinstance(each, dict):
            copied = each["copy_of_the_same_bytes"]
            print(
                f"{name:12} {each['payload_bytes']:4} bytes  p50 {each['p50_ns']:5} ns  p99 {each['p99_ns']:5} ns"
                f"  in a row {each['mean_ns']:5} ns  (copy: p50 {copied['p50_ns']}, p99 {copied['p99_ns']})"
            )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
