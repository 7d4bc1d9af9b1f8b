"""Where the checkout is, its own test data, and the real recordings: beside it, never inside it."""

import os
import sys
from pathlib import Path

import pytest

from crosswire.engine.paths import missing_recording, recordings_folder

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
RECORDINGS = recordings_folder()
assert RECORDINGS is not None, "tests are run in a checkout"


def recording(name: str) -> Path:
    """A real recording. Without it a test skips, but in CI, which has all of them, that is a failure."""
    path = RECORDINGS / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"in CI: {missing_recording(name)}")
        pytest.skip(missing_recording(name))
    return path


def benchmark_recording(name: str) -> Path:
    """A real recording, or the end of the benchmark in one line."""
    path = RECORDINGS / name
    if not path.exists():
        sys.exit(f"bench: {missing_recording(name)}")
    return path


def fault(name: str) -> Path:
    """A small faulty input, or a pattern of them. Without the folder a test skips; in CI that is a failure."""
    folder = RECORDINGS.parent / "faults"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"in CI: {folder} is missing")
        pytest.skip(f"{folder} is missing")
    return folder / name
