"""Networks of the testbed: two under one name, and names that a dead machine left."""

from pathlib import Path

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from tests.support.net import own_testbed

NETNS = Path("/run/netns")


@pytest.mark.netns
def test_a_second_of_the_same_name_leaves_the_first_whole() -> None:
    with own_testbed("tb") as first:
        with pytest.raises(HostError, match=f"{first.engine} is up already"):
            Testbed(first.name).up()
        there = {path.name for path in NETNS.iterdir()}
        assert {first.engine, first.exchange} <= there
        assert (NETNS / first.engine).stat().st_dev != NETNS.stat().st_dev


@pytest.mark.netns
def test_a_name_that_a_dead_machine_left_is_taken_again() -> None:
    """A container ends without unmounting, and its /run is there at the next start."""
    testbed = own_testbed("td")
    NETNS.mkdir(exist_ok=True)
    for name in (testbed.engine, testbed.exchange):
        (NETNS / name).touch(0o444)
    with testbed:
        assert (NETNS / testbed.exchange).stat().st_dev != NETNS.stat().st_dev
    assert not (NETNS / testbed.engine).exists()
    assert not (NETNS / testbed.exchange).exists()


@pytest.mark.parametrize("name", ["../../proc/self/ns/net", "..", "", "a b"])
def test_a_namespace_is_named_not_found_by_a_path(name: str) -> None:
    with pytest.raises(HostError, match=r"^network namespace '.*': a name is letters, digits"), in_namespace(name):
        raise AssertionError("entered")
