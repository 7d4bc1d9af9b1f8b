"""Where the checkout is, its own test data, and the real recordings: beside it, never inside it."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SHARED_DATA = Path(os.environ.get("CROSSWIRE_DATA") or ROOT.parent / "shared" / "data")


def shared_data() -> Path:
    """The folder of real captures. Without it a test skips, but in CI, which has it, that is a failure."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"CI must have the real captures in {SHARED_DATA}")
    pytest.skip(f"needs the real captures in {SHARED_DATA}")
