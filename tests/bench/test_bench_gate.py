"""`crosswire bench gate` ends with its figures, with every limit configured."""

import json
import subprocess
import sys

from tests.support.paths import ROOT


def test_it_measures_every_limit() -> None:
    command = [sys.executable, "-m", "tests.bench.gate", "50"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    assert 0 < figures["p50_ns"] <= figures["p99_ns"]
    assert len(figures["by_check"]) == 8
