"""Somebody else sends to a venue's group while a run trades: not one of their datagrams reaches the engine."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed, in_namespace
from tests.support.live_setup import make_config, trade
from tests.support.net import own_testbed
from tests.venues.bridge.test_bridge_feed import heartbeat, packed

pytestmark = pytest.mark.netns
TRADING_S = 6
STRANGER = "10.98.1.77"
GROUP = ("239.1.1.1", 6200)
PAUSE_S = 0.002


@contextmanager
def stranger(testbed: Testbed) -> Iterator[list[int]]:
    """Somebody at the exchange's end of the bridge's wire who sends what a feed would take; gives what they sent."""
    link = testbed.links[1]
    command = ["ip", "-n", testbed.exchange, "address", "add", f"{STRANGER}/24", "dev", link.exchange_interface]
    subprocess.run(command, check=True, timeout=10)
    with in_namespace(testbed.exchange):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(STRANGER))
        sender.bind((STRANGER, 0))
    sent: list[int] = []
    leaving = threading.Event()

    def send() -> None:
        while not leaving.wait(PAUSE_S):
            sent.append(sender.sendto(packed(1 << 40 | len(sent), heartbeat()), GROUP))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        leaving.set()
        thread.join()
        sender.close()


@pytest.mark.parametrize("any_source", [False, True], ids=["named", "any"])
def test_a_strangers_datagrams_do_not_reach_the_engine(tmp_path: Path, any_source: bool) -> None:
    changes = {'"10.98.1.2@239.1.1.1:6200"]': '"239.1.1.1:6200"]\nany_source = true'} if any_source else {}
    with own_testbed("fs", links=2) as testbed:
        config = make_config(tmp_path, testbed, seconds=TRADING_S + 4, **changes)
        with stranger(testbed) as sent:
            seen = trade(tmp_path, config, TRADING_S)
    assert len(sent) > 1_000
    assert seen.engine["fills"] > 0 or any_source
    (published, received) = next(
        (there, here) for venue, what, there, here in seen.rows() if (venue, what) == ("bridge", "market data frames")
    )
    if any_source:  # they are believed then, whoever they are: so this test can fail
        assert received > published + len(sent) // 4
    else:
        assert received == published
