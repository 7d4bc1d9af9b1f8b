"""Machine code in memory: what it calls outside itself is there, or is named."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.load import UnitError, load
from crosswire.nic.unit.store import StoredUnit

FIRST = """
from crosswire.nic.unit.call import machine_code
from helper.sending import send_nowhere

print(machine_code(send_nowhere)(-1))
"""
SENDING = """
from crosswire.nic.host.system_call import call_send
from crosswire.nic.unit.compile import compiled


@compiled
def send_nowhere(descriptor: int) -> int:
    return call_send(descriptor, 0, 0, 0)
"""


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_the_first_unit_of_a_process_may_call_the_c_library(tmp_path: Path) -> None:
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / "sending.py").write_text(SENDING)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CROSSWIRE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", FIRST]
    for _ in ("compiled", "from the store"):
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (said.stdout, said.stderr, said.returncode) == (f"{-errno.EBADF}\n", "", 0)


def test_what_a_c_library_lacks_is_named() -> None:
    unit = StoredUnit("noises", "0" * 24, "", {}, {}, ["send", "bark", "miaow"], b"")
    with pytest.raises(UnitError, match=r"^unit noises calls bark, miaow, which this C library lacks$"):
        load(unit)
