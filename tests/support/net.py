"""What tests with network namespaces need."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed, in_namespace


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


@contextmanager
def lossy_testbed(prefix: str) -> Iterator[Testbed]:
    """A network for wires that lose frames: its exchange's kernel backs off for a second at most (from Linux 6.15 on).

    Without timestamps a segment that was sent twice gives no sample, and Linux stays backed off until it has one: its
    timeout outlives progress, and two losses in a row at its 120 s are longer than any test can wait (seen once in 60
    runs at 10 %).
    """
    with own_testbed(prefix) as network:
        with in_namespace(network.exchange):
            setting = Path("/proc/sys/net/ipv4/tcp_rto_max_ms")
            if setting.exists():
                setting.write_text("1000")
        yield network
