"""AF_XDP over a veth pair of our own: what a kernel socket sends arrives, and what we send arrives at one."""

import ctypes
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Link, Testbed, in_namespace
from crosswire.nic.memory.raw import copy_bytes, store_i64
from crosswire.nic.memory.struct import Array, address_of, array, u8
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, write_udp_frame_header
from crosswire.nic.rings.ring import Frame, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.rings.xdp.af_xdp import AfXdpRing, AfXdpSocket, open_queues
from crosswire.nic.rings.xdp.program import KeepRule, SteerRules
from crosswire.nic.unit.compile import compiled
from tests.support.net import own_testbed
from tests.support.paths import ROOT

pytestmark = pytest.mark.netns

FEED_PORT = 7300
OTHER_PORT = 7301
MODES = ("generic", "native")
SLOT_BYTES = 2048  # of `take`'s output: length, then the frame
NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with own_testbed("ax") as network:
        yield network


@pytest.fixture
def link(testbed: Testbed) -> Link:
    return testbed.links[0]


def number_of(ip: str) -> int:
    return int.from_bytes(socket.inet_aton(ip), "big")


def rules_of(link: Link, *keep: KeepRule) -> SteerRules:
    return SteerRules(udp=((number_of(link.engine_ip), FEED_PORT),), keep=keep)


def opened(testbed: Testbed, **options: object) -> AfXdpSocket:
    link = testbed.links[0]
    rules = options.pop("rules", None) or rules_of(link)
    with in_namespace(testbed.engine):
        return AfXdpSocket(link.engine_interface, 0, rules, **options)  # type: ignore[arg-type]


def udp_socket(namespace: str, bound: tuple[str, int] | None = None) -> socket.socket:
    with in_namespace(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if bound:
        made.bind(bound)
    made.settimeout(2)
    return made


@compiled
def take(ring: AfXdpRing, frame: Frame, output: int, count: int) -> int:
    """Up to `count` frames that are there, each with its length into its own slot."""
    taken = 0
    while taken < count and poll(ring, frame, NOW_NS):
        store_i64(output + taken * SLOT_BYTES, frame.length)
        copy_bytes(output + taken * SLOT_BYTES + 8, frame.address, frame.length)
        release(ring)
        taken += 1
    return taken


@compiled
def send_copies(ring: AfXdpRing, template: int, length: int, count: int, batch: int) -> int:
    """Send `count` numbered copies of a frame, flushing after each `batch`; returns how many were committed."""
    sent = 0
    for number in range(count):
        address = reserve(ring, length)
        if address == 0:
            break
        copy_bytes(address, template, length)
        store_i64(address + UDP_FRAME_HEADER_BYTES, number)
        commit(ring, length, NOW_NS)
        sent += 1
        if sent % batch == 0:
            flush(ring)
    flush(ring)
    return sent


def frames_in(ring: AfXdpRing, count: int = 64) -> list[bytes]:
    output = array(u8, SLOT_BYTES * count)
    taken = take(ring, Frame(), address_of(output), count)
    raw = bytes(output)
    slots = [raw[start : start + SLOT_BYTES] for start in range(0, taken * SLOT_BYTES, SLOT_BYTES)]
    return [slot[8 : 8 + struct.unpack("<q", slot[:8])[0]] for slot in slots]


def frames_soon(ring: AfXdpRing, count: int) -> list[bytes]:
    found: list[bytes] = []
    give_up = time.monotonic() + 5
    while len(found) < count and time.monotonic() < give_up:
        found += frames_in(ring)
    return found


def template_to(link: Link, port: int, payload: bytes) -> tuple[Array, int]:
    flow = Flow(
        source_mac=link.engine_mac,
        destination_mac=link.exchange_mac,
        source_ip=number_of(link.engine_ip),
        destination_ip=number_of(link.exchange_ip),
        source_port=5555,
        destination_port=port,
    )
    data = array(u8, SLOT_BYTES)
    there = write_udp_frame_header(address_of(data), flow, len(payload))
    ctypes.memmove(there, payload, len(payload))
    return data, UDP_FRAME_HEADER_BYTES + len(payload)


def program_shown(testbed: Testbed) -> bool:
    interface = testbed.links[0].engine_interface
    command = ["ip", "-n", testbed.engine, "-d", "link", "show", interface]
    return "xdp" in subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.mark.parametrize("mode", MODES)
def test_frames_arrive_whole_and_in_order(testbed: Testbed, link: Link, mode: str) -> None:
    count, burst = 4096 + 500, 50
    with (
        opened(testbed, require=mode) as ours,
        udp_socket(testbed.exchange) as sender,
        udp_socket(testbed.engine, (link.engine_ip, OTHER_PORT)) as beside,
    ):
        assert ours.obtained == mode
        assert program_shown(testbed)
        found: list[bytes] = []
        payloads = [struct.pack(">I", number) + bytes(number % 1400) for number in range(count)]
        for start in range(0, count, burst):
            for payload in payloads[start : start + burst]:
                sender.sendto(payload, (link.engine_ip, FEED_PORT))
            found += frames_soon(ours.ring, len(payloads[start : start + burst]))
        sender.sendto(b"for the kernel", (link.engine_ip, OTHER_PORT))
        assert beside.recv(100) == b"for the kernel"
        assert [frame[UDP_FRAME_HEADER_BYTES:] for frame in found] == payloads
        head = link.engine_mac.to_bytes(6, "big") + link.exchange_mac.to_bytes(6, "big") + b"\x08\x00\x45"
        assert all(frame.startswith(head) for frame in found)
        statistics = ours.statistics()
        assert all(statistics[name] == 0 for name in ("rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs"))
        counters = ours.ring.counters
        assert (counters.frames, counters.bytes) == (count, sum(map(len, found)))
        assert counters.empty_polls > 0
        assert next_time_ns(ours.ring) == 0
    assert not program_shown(testbed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("need_wakeup", [True, False])
@pytest.mark.parametrize("batch", [1, 100])
def test_frames_sent_arrive_at_a_kernel_socket(
    testbed: Testbed, link: Link, mode: str, need_wakeup: bool, batch: int
) -> None:
    with (
        opened(testbed, require=mode, need_wakeup=need_wakeup, frames=256) as ours,
        udp_socket(testbed.exchange, (link.exchange_ip, FEED_PORT)) as receiver,
    ):
        template, length = template_to(link, FEED_PORT, bytes(40))
        for _ in range(5):  # several times around the ring of 128
            assert send_copies(ours.ring, address_of(template), length, 100, batch) == 100
            got = [receiver.recv(2048) for _ in range(100)]
            assert got == [struct.pack("<q", number) + bytes(32) for number in range(100)]
        statistics = ours.statistics()
        assert (statistics["tx_invalid_descs"], statistics["send_error"]) == (0, 0)
        assert ours.ring.unsent == 0
        assert reserve(ours.ring, 2048) != 0
        assert reserve(ours.ring, 2049) == 0


def test_a_full_transmit_ring_gives_no_slot(testbed: Testbed, link: Link) -> None:
    with opened(testbed, frames=64) as ours, udp_socket(testbed.exchange, (link.exchange_ip, FEED_PORT)) as receiver:
        template, length = template_to(link, FEED_PORT, bytes(8))
        assert send_copies(ours.ring, address_of(template), length, 100, 1000) == 32  # not flushed before the end
        assert [receiver.recv(100) for _ in range(32)] == [struct.pack("<q", number) for number in range(32)]
        assert send_copies(ours.ring, address_of(template), length, 32, 1) == 32


@pytest.mark.parametrize("mode", MODES)
def test_every_frame_of_a_flood_is_received_or_counted(testbed: Testbed, link: Link, mode: str) -> None:
    flood = 10_000
    with opened(testbed, require=mode) as ours, udp_socket(testbed.exchange) as sender:
        for _ in range(flood):
            sender.sendto(bytes(32), (link.engine_ip, FEED_PORT))
        received = 0
        while frames := frames_in(ours.ring):
            received += len(frames)
        ours.statistics()
        assert received == 2048
        assert received + ours.ring.counters.drops == flood
        sender.sendto(b"after it", (link.engine_ip, FEED_PORT))
        assert [frame[UDP_FRAME_HEADER_BYTES:] for frame in frames_soon(ours.ring, 1)] == [b"after it"]


def test_unsubscribed_messages_are_dropped_and_counted(testbed: Testbed, link: Link) -> None:
    rules = rules_of(link, KeepRule(0, 2, "little", (3,)))
    with opened(testbed, rules=rules) as ours, udp_socket(testbed.exchange) as sender:
        for number in range(100):
            sender.sendto(struct.pack("<H", number % 5), (link.engine_ip, FEED_PORT))
        assert [frame[42:44] for frame in frames_soon(ours.ring, 20)] == [b"\x03\x00"] * 20
        assert frames_in(ours.ring) == []
        assert ours.statistics()["filtered"] == 80


@pytest.mark.parametrize("mode", MODES)
def test_reopening_at_once(testbed: Testbed, link: Link, mode: str) -> None:
    with udp_socket(testbed.exchange) as sender:
        for _ in range(5):
            with opened(testbed, require=mode) as ours:
                sender.sendto(b"hello", (link.engine_ip, FEED_PORT))
                assert len(frames_soon(ours.ring, 1)) == 1


HOLDER = """
import sys, time
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.rings.xdp.program import SteerRules
with in_namespace(sys.argv[1]):
    held = AfXdpSocket(sys.argv[2], 0, SteerRules(udp=((1, 1),)), require=sys.argv[3])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_process_leaves_nothing(testbed: Testbed, link: Link, mode: str) -> None:
    command = [sys.executable, "-c", HOLDER, testbed.engine, link.engine_interface, mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            assert program_shown(testbed)
            with pytest.raises(HostError, match="another XDP program is attached"):
                opened(testbed, require=mode)
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait(10)
    assert not program_shown(testbed)
    with opened(testbed, require=mode):
        assert program_shown(testbed)


def test_refusals_are_one_clear_line(testbed: Testbed, link: Link) -> None:
    refused = f"{link.engine_interface} queue 0: zerocopy AF_XDP: driver veth refused .*require = "
    with pytest.raises(HostError, match=refused):
        opened(testbed, require="zerocopy")
    assert not program_shown(testbed)
    for options, words in (({"frames": 100}, "power of two"), ({"frame_bytes": 1000}, "2048 or 4096")):
        with pytest.raises(HostError, match=words):
            opened(testbed, **options)
    with in_namespace(testbed.engine):
        with pytest.raises(HostError, match="no such interface"):
            AfXdpSocket("nothere0", 0, SteerRules())
        with pytest.raises(HostError, match="no such queue"):
            AfXdpSocket(link.engine_interface, 5, SteerRules())
        with pytest.raises(HostError, match=r"queue 1.*no such queue"):
            open_queues(link.engine_interface, (0, 1), SteerRules())
    assert not program_shown(testbed)


def test_queues_share_one_program(testbed: Testbed, link: Link) -> None:
    with udp_socket(testbed.exchange) as sender, in_namespace(testbed.engine):
        interface = "multi0"
        subprocess.run(
            f"ip link add {interface} numrxqueues 2 numtxqueues 2 type veth peer name multi1 numrxqueues 2 "
            f"numtxqueues 2; ip link set {interface} up; ip link set multi1 up",
            shell=True,
            check=True,
            timeout=10,
        )
        both = open_queues(interface, (0, 1), rules_of(link), require="native", frames=128)
        shown = subprocess.run(["ip", "-d", "link", "show", interface], capture_output=True, text=True, check=True)
        assert "xdp" in shown.stdout
        both[0].close()
        shown = subprocess.run(["ip", "-d", "link", "show", interface], capture_output=True, text=True, check=True)
        assert "xdp" in shown.stdout
        both[1].close()
        shown = subprocess.run(["ip", "-d", "link", "show", interface], capture_output=True, text=True, check=True)
        assert "prog/xdp" not in shown.stdout
        subprocess.run(["ip", "link", "delete", interface], check=True, timeout=10)
        sender.close()
