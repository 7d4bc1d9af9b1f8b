"""What tests with network namespaces need."""

import os

import pytest


def needs_root() -> None:
    """Skip without root; in CI, which has it, that is a failure."""
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        pytest.fail("CI must run as root: these tests make network namespaces")
    pytest.skip("needs root: makes network namespaces")
