"""`crosswire bench stack --gate`: a round trip over our AF_XDP rings is as quick as the C program's, by the median."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.stack import C_FLAGS, C_FOLDER, GATED, PROGRAMS
from tests.support.net import needs_root
from tests.support.paths import ROOT


def needs_compiler() -> None:
    if shutil.which("gcc") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have gcc, for the C programs of tests/bench/stack_c")
        pytest.skip("needs gcc, for the C programs of tests/bench/stack_c")


@pytest.mark.parametrize("name", PROGRAMS)
def test_c_programs_compile_without_a_warning(name: str, tmp_path: Path) -> None:
    needs_compiler()
    command = ["gcc", *C_FLAGS, "-o", tmp_path / name, C_FOLDER / f"{name}.c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.netns
def test_af_xdp_round_trips_beside_c() -> None:
    needs_root()
    needs_compiler()
    said = []
    for rounds in ("3", "5", "5"):  # a noisy minute gets more chances, with more rounds
        command = [
            sys.executable,
            "-m",
            "tests.bench.stack",
            "--packets",
            "3000",
            "--rounds",
            rounds,
            "--fifo",
            "--gate",
        ]
        done = subprocess.run(
            [*command, "--only", *GATED], cwd=ROOT, capture_output=True, text=True, timeout=80, check=False
        )
        if done.returncode == 0:
            return
        said.append(done.stderr.strip())
    pytest.fail("\n".join(said))
