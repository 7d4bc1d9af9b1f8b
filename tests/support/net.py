"""What tests with network namespaces need."""

import os

import pytest

from crosswire.nic.host.testbed import Testbed


def needs_root() -> None:
    """Skip without root; in CI, which has it, that is a failure."""
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        pytest.fail("CI must run as root: these tests make network namespaces")
    pytest.skip("needs root: makes network namespaces")


def own_testbed(prefix: str, links: int = 1) -> Testbed:
    """A network to enter, named after this process: tests in others run beside it. Skips as needs_root does."""
    needs_root()
    return Testbed(f"{prefix}{os.getpid() % 100_000}", links)
