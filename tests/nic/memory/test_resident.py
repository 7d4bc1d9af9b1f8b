"""Memory given back: code that is dropped runs on, and is not resident in between."""

import subprocess
import sys
from pathlib import Path

from crosswire.nic.memory.resident import give_back, unchanged_code
from tests.support.paths import ROOT

SCRIPT = """
import re
from pathlib import Path
from crosswire.nic.memory.resident import give_back
from crosswire.nic.memory.raw import hash_bits
from crosswire.nic.unit.call import machine_code

def resident_kib():
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(r"r-xp .*llvmlite.*\\n(?:.*\\n)*?Rss: +(\\d+) kB", text)
    return sum(map(int, found))

call = machine_code(hash_bits)
first = call(12345, 7)
before = resident_kib()
give_back("llvm")
after = resident_kib()
assert call(12345, 7) == first
assert machine_code(hash_bits)(12345, 7) == first
print(before, after)
"""


def test_what_is_dropped_is_not_resident_and_runs_again() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(int, result.stdout.split())
    assert before > 4_000
    assert after < before / 4


def test_only_code_of_that_library_that_is_as_in_its_file_is_named() -> None:
    """A wrong name finds nothing; what is found are mappings of code, which nobody can write to."""
    assert list(unchanged_code("no library has this name")) == []
    found = list(unchanged_code("libc.so"))
    assert found
    maps = Path("/proc/self/maps").read_text()
    for begin, end in found:
        (line,) = [line for line in maps.splitlines() if line.startswith(f"{begin:x}-{end:x} ")]
        assert " r-xp " in line
        assert "libc.so" in line


def test_a_second_time_changes_nothing() -> None:
    give_back("libc.so")
    give_back("libc.so")
    assert sum(range(100)) == 4950
