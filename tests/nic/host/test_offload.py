"""Coalescing and flow steering: what ethtool is told, that it is undone, and what a driver's refusal looks like."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crosswire.nic.host.offload import Offload
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import in_namespace
from tests.support.net import own_testbed
from tests.support.paths import ROOT

SHOWN = "Coalesce parameters for eth9:\nAdaptive RX: on  TX: off\nrx-usecs:\t30\nrx-frames: n/a\n"
GROUPS = ((0xEF010101, 6200), (0xEF010102, 6201))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[str]]]:
    """An ethtool that writes down what it is told; gives a function that reads that."""

    def make(shown: str = SHOWN, refuses: str = "nothing") -> Callable[[], list[str]]:
        (tmp_path / "shown").write_text(shown)
        program = tmp_path / "ethtool"
        program.write_text(
            f"""#!/bin/sh
echo "$@" >> {tmp_path}/told
case "$*" in
  *{refuses}*) echo "netlink error: Operation not supported" >&2; exit 1;;
  -c*) cat {tmp_path}/shown;;
  *delete*) ;;
  -N*) echo "Added rule with ID $(wc -l < {tmp_path}/told)";;
esac
"""
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return lambda: (tmp_path / "told").read_text().splitlines()

    return make


def test_coalescing_is_set_and_restored(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake()
    with Offload("eth9") as offload:
        offload.coalesce(0)
        assert told() == ["-c eth9", "-C eth9 adaptive-rx off rx-usecs 0"]
    assert told()[2:] == ["-C eth9 adaptive-rx on rx-usecs 30"]


def test_what_is_so_already_is_left_alone(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake("Adaptive RX: off  TX: n/a\nrx-usecs:\t8\n")
    with Offload("eth9") as offload:
        offload.coalesce(8)
    assert told() == ["-c eth9"]


def test_a_driver_without_adaptive_coalescing_is_not_told_of_it(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake("Adaptive RX: n/a  TX: n/a\nrx-usecs:\t8\n")
    with Offload("eth9") as offload:
        offload.coalesce(0)
    assert told()[1:] == ["-C eth9 rx-usecs 0", "-C eth9 rx-usecs 8"]


def test_groups_are_steered_and_their_rules_removed_last_first(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake()
    with Offload("eth9") as offload:
        offload.steer(GROUPS, 3)
    assert told() == [
        "-N eth9 flow-type udp4 dst-ip 239.1.1.1 dst-port 6200 action 3",
        "-N eth9 flow-type udp4 dst-ip 239.1.1.2 dst-port 6201 action 3",
        "-N eth9 delete 2",
        "-N eth9 delete 1",
    ]


def test_a_refusal_restores_what_was_done_before_it(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake(refuses="6201")
    offload = Offload("eth9")
    offload.coalesce(0)
    with pytest.raises(HostError, match=r"eth9: flow steering: `ethtool .*6201.*Operation not supported"):
        offload.steer(GROUPS, 0)
    offload.close()
    assert told()[-2:] == ["-N eth9 delete 3", "-C eth9 adaptive-rx on rx-usecs 30"]


def test_what_cannot_be_restored_is_said_after_the_rest_was(fake: Callable[..., Callable[[], list[str]]]) -> None:
    told = fake(refuses="delete")
    offload = Offload("eth9")
    offload.coalesce(0)
    offload.steer(GROUPS, 0)
    with pytest.raises(HostError, match="delete 4"):
        offload.close()
    assert told()[-1] == "-C eth9 adaptive-rx on rx-usecs 30"


@pytest.mark.parametrize("receive_us", [-1, 1001])
def test_no_absurd_coalescing(fake: Callable[..., Callable[[], list[str]]], receive_us: int) -> None:
    fake()
    with Offload("eth9") as offload, pytest.raises(HostError, match="must be 0 to 1000"):
        offload.coalesce(receive_us)


@pytest.mark.netns
def test_a_driver_that_cannot_is_named() -> None:
    """veth neither coalesces nor steers."""
    with own_testbed("of") as testbed, in_namespace(testbed.engine):
        interface = testbed.links[0].engine_interface
        with Offload(interface) as offload:
            with pytest.raises(HostError, match=f"{interface}: flow steering: "):
                offload.steer(GROUPS, 0)
            with pytest.raises(HostError, match=f"{interface}: coalescing: "):
                offload.coalesce(0)


KILLED = """
import os, signal, sys
from crosswire.nic.host.confine import confine
from crosswire.nic.host.landlock import Places
from crosswire.nic.host.offload import Offload

offload = Offload("eth9")
offload.coalesce(0)
confine(Places(), ())
if sys.argv[1] == "close":
    offload.close()
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["close", "SIGKILL"])
def test_a_confined_process_undoes_it_however_it_ends(fake: Callable[..., Callable[[], list[str]]], end: str) -> None:
    told = fake()
    done = subprocess.run([sys.executable, "-c", KILLED, end], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    begun = time.monotonic()
    while len(told()) < 3 and time.monotonic() - begun < 10:
        time.sleep(0.01)
    assert told()[1:] == ["-C eth9 adaptive-rx off rx-usecs 0", "-C eth9 adaptive-rx on rx-usecs 30"]
