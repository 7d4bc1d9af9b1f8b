"""The same function in a process of its own, where nothing is compiled."""

import os
import subprocess
import sys

from tests.support.paths import ROOT


def printed_uncompiled(module: str, function: str) -> str:
    """What `function()` of the test module `module` gives there, as text."""
    run = subprocess.run(
        [sys.executable, "-c", f"from {module} import {function} as run; print(run())"],
        cwd=ROOT,
        env=os.environ | {"CROSSWIRE_NO_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
