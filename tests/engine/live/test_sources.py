"""What a venue has not sent so comes to its group while a run trades: not one of these datagrams reaches the engine."""

import ctypes
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import Flow, seal_udp_frame, write_udp_frame_header
from tests.support.live_setup import make_config, trade
from tests.support.net import own_testbed
from tests.venues.bridge.test_bridge_feed import heartbeat, packed

pytestmark = pytest.mark.netns
TRADING_S = 6
STRANGER = "10.98.1.77"
GROUP = ("239.1.1.1", 6200)
GROUP_IP, EXCHANGE_IP = 0xEF_01_01_01, 0x0A_62_01_02
PAUSE_S = 0.002


@contextmanager
def sending(send: Callable[[int], object]) -> Iterator[list[int]]:
    """Send one thing after the other, numbered from 0; give the numbers of what was sent."""
    sent: list[int] = []
    leaving = threading.Event()

    def send_all() -> None:
        while not leaving.wait(PAUSE_S):
            send(len(sent))
            sent.append(len(sent))

    thread = threading.Thread(target=send_all)
    thread.start()
    try:
        yield sent
    finally:
        leaving.set()
        thread.join()


def strange(number: int) -> bytes:
    """What a feed would take, and lose its book by."""
    return packed(1 << 40 | number, heartbeat())


@contextmanager
def stranger(testbed: Testbed) -> Iterator[list[int]]:
    """Somebody at the exchange's end of the bridge's wire who sends what a feed would take."""
    link = testbed.links[1]
    command = ["ip", "-n", testbed.exchange, "address", "add", f"{STRANGER}/24", "dev", link.exchange_interface]
    subprocess.run(command, check=True, timeout=10)
    with in_namespace(testbed.exchange):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(STRANGER))
        sender.bind((STRANGER, 0))
    with sender, sending(lambda number: sender.sendto(strange(number), GROUP)) as sent:
        yield sent


@contextmanager
def faulty_switch(testbed: Testbed) -> Iterator[list[int]]:
    """The exchange's own datagrams, of which one bit is not as it was sent."""
    frame = array(u8, 2048)
    flow = Flow(source_ip=EXCHANGE_IP, destination_ip=GROUP_IP, source_port=GROUP[1], destination_port=GROUP[1])
    flow.destination_mac = 0x01_00_5E_00_00_00 | GROUP_IP & 0x7F_FFFF
    payload_address = write_udp_frame_header(frame.address, flow, 0)

    def send(number: int) -> None:
        payload = strange(number)
        ctypes.memmove(payload_address, payload, len(payload))
        length = seal_udp_frame(frame.address, len(payload))
        frame[length - 1 - number % 8] ^= 1 << number % 7
        raw.send(bytes(frame)[:length])

    with in_namespace(testbed.exchange):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((testbed.links[1].exchange_interface, 0x0800))
    with raw, sending(send) as sent:
        yield sent


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


@pytest.mark.parametrize("check_udp", [True, False])
def test_a_datagram_that_a_switch_has_damaged_is_not_read(tmp_path: Path, check_udp: bool) -> None:
    """AF_XDP delivers it, its frame check sequence being right: the kernel, which would drop it, does not see it."""
    changes = {} if check_udp else {'"10.98.1.2@239.1.1.1:6200"]': '"10.98.1.2@239.1.1.1:6200"]\ncheck_udp = false'}
    with own_testbed("fd", links=2) as testbed:
        config = make_config(tmp_path, testbed, seconds=TRADING_S + 4, **changes)
        with faulty_switch(testbed) as sent:
            seen = trade(tmp_path, config, TRADING_S)
    assert len(sent) > 1_000
    rows = {(venue, what): (there, here) for venue, what, there, here in seen.rows()}
    published, received = rows["bridge", "market data frames"]
    warnings = [each for each in seen.engine["warnings"] if each["first_place"] == "venue bridge"]
    damaged = seen.of_venue("bridge")["market data frames damaged"]
    if check_udp:
        assert received == published
        assert seen.engine["fills"] > 0
        assert damaged > len(sent) // 4
        assert (warnings[0]["kind"], warnings[0]["count"]) == ("datagrams with a wrong checksum, not read", damaged)
        (log,) = tmp_path.glob("live-*.log")
        before_the_end, _, _ = log.read_text().partition("Opportunities")
        assert before_the_end.count("with a wrong checksum") == 1
    else:
        assert received > published + len(sent) // 4
        assert (damaged, warnings) == (0, [])
