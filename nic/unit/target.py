"""What units are compiled for: LLVM's level and the processor."""

import functools
import os
from dataclasses import dataclass

import llvmlite.binding as llvm

# At level 1 compiling takes 27 s of processor time where level 3 takes 46 s; the backtest (54 and 53 ns a row) and
# tick-to-trade (451 and 431 to 491 ns) are the same within noise.
LEVEL = 1
LEVELS = (0, 1, 2, 3)
HOST = "host"
PROCESSORS = (HOST, "x86-64-v3")  # the second: any x86 server since 2015, for units that are shipped ready-made


class TargetError(Exception):
    """One line: the setting, its value and what it may be."""


@dataclass(frozen=True)
class Target:
    """LLVM's level, and a processor of PROCESSORS."""

    level: int
    processor: str

    def processor_facts(self) -> str:
        """The processor's name and features, as LLVM knows them."""
        if self.processor != HOST:
            return f"processor {self.processor}"
        return f"processor {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def is_processor_named() -> bool:
    """Tell whether CROSSWIRE_PROCESSOR is set: units are then compiled for that one, and nothing ready-made is used."""
    return bool(os.environ.get("CROSSWIRE_PROCESSOR"))


@functools.cache
def target() -> Target:
    """The target of CROSSWIRE_LLVM_LEVEL and CROSSWIRE_PROCESSOR, by default LEVEL and this machine's own processor."""
    level = os.environ.get("CROSSWIRE_LLVM_LEVEL") or str(LEVEL)
    processor = os.environ.get("CROSSWIRE_PROCESSOR") or HOST
    if level not in map(str, LEVELS):
        raise TargetError(f"CROSSWIRE_LLVM_LEVEL = {level}: must be 0, 1, 2 or 3")
    if processor not in PROCESSORS:
        raise TargetError(f"CROSSWIRE_PROCESSOR = {processor}: must be {' or '.join(PROCESSORS)}")
    return Target(int(level), processor)
