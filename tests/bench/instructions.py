"""`crosswire bench instructions`: instructions from a market data frame to its first order, by stage, ours beside C's.

    crosswire bench instructions [--triggers 40] [--no-c] [--trace FOLDER]

The line, the script and the C program are those of `bench order-entry`, with its stages stamped; `step_counter.c`
single-steps the thread between the stamps, so a count is exact and no counter of the hardware is needed. Means over
all triggers, each stage without its stamp's own six: few triggers, since a step takes 2 to 10 us and the bed's clock
goes on for 20 s only. `--trace` writes what was executed for the last trigger, instruction by instruction (needs
objdump). The last line is one JSON object.
"""

import argparse
import ctypes
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from tests.bench.order_entry import STAGES, checked
from tests.bench.order_entry_c import compile_library, load_library, why_not
from tests.bench.order_entry_peer import last_order
from tests.bench.order_entry_rig import NO_LEG, CRig, OurRig

SOURCE = Path(__file__).with_name("step_counter.c")
# popfq has no equal without the stack: what lies below the stack pointer must not be used.
FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-mno-red-zone")
STAMP_INSTRUCTIONS = 6  # lfence rdtsc lfence, two to join the halves, one to store
KINDS = ("instructions", "push/pop", "calls", "divisions")
RECORD_BYTES = 32  # of the trace's disassembly: an instruction, then nops, so that the next begins where it should


class Step(ctypes.Structure):
    """`step_t`."""

    _fields_ = (("address", ctypes.c_uint64), ("stage", ctypes.c_int64), ("code", ctypes.c_uint8 * 16))


class Counter:
    """The single-stepper, in this process."""

    def __init__(self, folder: Path) -> None:
        self.library = compile_library(SOURCE, folder / "step_counter.so", FLAGS)
        self.library.step_counts.restype = ctypes.POINTER(ctypes.c_int64)
        self.library.step_trace.restype = ctypes.POINTER(Step)
        self.begin_at = ctypes.cast(self.library.step_begin, ctypes.c_void_p).value

    def count(self, rig: OurRig | CRig, triggers: int) -> dict[str, list[float]]:
        """Run a rig; return the means by kind, stage by stage."""
        if self.library.step_install() != 0:
            raise OSError("no handler for SIGTRAP")
        rig.script.step_at = self.begin_at
        rig.run()
        checked(rig.problems())
        counts = [self.library.step_begun(), self.library.step_ended()]
        if counts != [triggers, triggers]:
            sys.exit(f"bench instructions: of {triggers} triggers {counts[0]} were begun and {counts[1]} ended")
        found = self.library.step_counts()
        rows = {
            kind: [found[stage * len(KINDS) + place] / triggers for stage in range(len(STAGES))]
            for place, kind in enumerate(KINDS)
        }
        rows[KINDS[0]] = [count - STAMP_INSTRUCTIONS for count in rows[KINDS[0]]]
        return rows

    def trace(self) -> str:
        """Return the last trigger's instructions in order: stage, address, disassembly."""
        steps = self.library.step_trace()[: self.library.step_traced()]
        with tempfile.NamedTemporaryFile() as file:
            for step in steps:
                file.write(bytes(step.code).ljust(RECORD_BYTES, b"\x90"))
            file.flush()
            command = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-w", "--no-show-raw-insn", file.name]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = {int(at, 16): line for at, line in re.findall(r"^ *([0-9a-f]+):\t(.*)$", text, re.MULTILINE)}
        return "".join(
            f"{step.stage}\t{step.address:x}\t{found[place * RECORD_BYTES].strip()}\n"
            for place, step in enumerate(steps)
        )


def measure(triggers: int, with_c: bool, traces: Path | None) -> dict[str, dict[str, list[float]]]:
    """Count ours, and C's beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counter = Counter(folder)
        results: dict[str, dict[str, list[float]]] = {}

        def take(who: str, rig: OurRig | CRig) -> None:
            results[who] = counter.count(rig, triggers)
            if traces is not None:
                (traces / f"{who}.txt").write_text(counter.trace())

        ours = OurRig(triggers, NO_LEG, True)
        take("ours", ours)
        if with_c:
            message = last_order(ours.script.peers[0])[TCP_FRAME_HEADER_BYTES:]
            theirs = CRig(load_library(folder, True), message, triggers, NO_LEG, True)
            take("C", theirs)
            theirs.close()
    return results


def print_table(results: dict[str, dict[str, list[float]]], console: Console) -> None:
    table = Table(title="instructions from a frame to its first order, means")
    table.add_column("stage", no_wrap=True)
    for who in results:
        for kind in KINDS:
            table.add_column(kind if kind != KINDS[0] else who, justify="right", min_width=4)
    for place, stage in enumerate(STAGES):
        table.add_row(stage, *(f"{rows[kind][place]:.0f}" for rows in results.values() for kind in KINDS))
    table.add_section()
    table.add_row("all", *(f"{sum(rows[kind]):.0f}" for rows in results.values() for kind in KINDS))
    console.print(table)


def summary_of(triggers: int, results: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return the JSON object: by stage, and of all."""
    return {
        "triggers": triggers,
        "stages": {
            who: {stage: {kind: rows[kind][place] for kind in KINDS} for place, stage in enumerate(STAGES)}
            for who, rows in results.items()
        },
        "all": {who: {kind: sum(rows[kind]) for kind in KINDS} for who, rows in results.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench instructions", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--triggers", type=int, default=40)
    parser.add_argument("--no-c", dest="with_c", action="store_false", help="without the C program")
    parser.add_argument("--trace", type=Path, metavar="FOLDER", help="write the last trigger's instructions there")
    options = parser.parse_args()
    if why_not():
        sys.exit(f"bench instructions: {why_not()}")
    results = measure(options.triggers, options.with_c, options.trace)
    print_table(results, Console(width=120))
    print(json.dumps(summary_of(options.triggers, results)))


if __name__ == "__main__":
    main()
