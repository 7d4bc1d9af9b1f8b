"""`crosswire bench stack --gate`: a round trip over our AF_XDP rings is as quick as the C program's, by the median."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.bench.stack import BASELINE, GATED
from tests.support.net import needs_root
from tests.support.paths import ROOT


@pytest.mark.netns
def test_af_xdp_round_trips_beside_c() -> None:
    needs_root()
    missing = [what for what, there in (("gcc", shutil.which("gcc")), (str(BASELINE), BASELINE.is_dir())) if not there]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"needs {' and '.join(missing)}")
    assert not missing
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
