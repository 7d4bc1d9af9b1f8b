"""DPDK ports: what they lose and count, what they refuse and how they say so. test_ring_conformance.py has the rest."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import crosswire.nic.rings.dpdk.abi
import crosswire.nic.rings.dpdk.dpdk
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.struct import view
from crosswire.nic.rings.dpdk.abi import LAYOUTS, Libraries, PacketBuffer, check_table
from crosswire.nic.rings.dpdk.dpdk import BURST_FRAMES, DpdkPort, DpdkRing, known_to_dpdk
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.unit.compile import compiled
from tests.support.net import needs_root
from tests.support.paths import ROOT
from tests.support.ring_cases import Network, NetworkBed, receive_all, send_all
from tests.support.ring_cases_dpdk import DpdkPacketBed, needs_dpdk

NULL_FRAME_BYTES = 64  # net_null's


@pytest.fixture
def dpdk() -> None:
    needs_dpdk()


@pytest.fixture
def ring_port(dpdk: None) -> Iterator[DpdkPort]:
    with DpdkPort("net_ring0", frames=64, transmit_frames=64, huge="off") as port:
        yield port


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    needs_root()
    yield Network.up()
    Network.down()


@pytest.fixture
def packet_bed(dpdk: None, testbed: Testbed, tmp_path: Path) -> Iterator[DpdkPacketBed]:
    bed = DpdkPacketBed(tmp_path)
    yield bed
    bed.close()


def made(count: int, length: int = 60) -> list[bytes]:
    return [number.to_bytes(4, "big") * (length // 4) for number in range(count)]


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process whose EAL has not been started."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env={**os.environ, **environment}
    )


@compiled
def receive_so_many(ring: DpdkRing, frame: Frame, count: int) -> int:
    """Receive from a port that always has frames; returns their bytes."""
    total = 0
    while count > 0:
        if poll(ring, frame, 1):
            total += frame.length
            release(ring)
            count -= 1
    return total


@compiled
def send_so_many(ring: DpdkRing, count: int) -> int:
    """Send frames without content; returns how many found a slot."""
    given = 0
    for _ in range(count):
        if reserve(ring, NULL_FRAME_BYTES) != 0:
            commit(ring, NULL_FRAME_BYTES, 1)
            given += 1
        flush(ring)
    return given


def test_a_packet_buffer_is_laid_out_as_dpdk_has_it() -> None:
    """struct rte_mbuf: two cache lines."""
    offsets = {name: field.offset for name, field in PacketBuffer.fields.items()}
    expected = {
        "buffer": 0, "data_offset": 16, "references": 18, "segments": 20, "flags": 24, "packet_length": 36,
        "data_length": 40, "buffer_length": 54, "pool": 56, "next": 64,
    }  # fmt: skip
    assert {name: offsets[name] for name in expected} == expected
    assert PacketBuffer.size == 128


@pytest.mark.parametrize("device", ["eth0", "net_ring", "", "0000:00:00", "net_ring0 -c", "net_ringé0", "NET_ring0"])
def test_a_name_that_is_no_device(device: str) -> None:
    with pytest.raises(HostError, match=r"must be|one word"):
        DpdkPort(device)


@pytest.mark.parametrize("frames", [0, 32, 100, 1 << 15])
def test_frames_out_of_bounds(frames: int) -> None:
    with pytest.raises(HostError, match=r"power of two, 64 to 16384"):
        DpdkPort("net_ring0", frames=frames)
    with pytest.raises(HostError, match=r"power of two, 64 to 16384"):
        DpdkPort("net_ring0", transmit_frames=frames)


def test_a_pci_device_must_be_there_and_free_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosswire.nic.rings.dpdk.dpdk, "_PCI_DEVICES", tmp_path)
    with pytest.raises(HostError, match="no such PCI device"):
        DpdkPort("0000:3b:00.0")
    device = tmp_path / "0000:3b:00.0"
    device.mkdir()
    with pytest.raises(HostError, match="its driver is none; bind it to vfio-pci"):
        DpdkPort("0000:3b:00.0")
    (tmp_path / "ixgbe").mkdir()
    (device / "driver").symlink_to(tmp_path / "ixgbe")
    with pytest.raises(HostError, match="its driver is ixgbe; bind it to vfio-pci"):
        DpdkPort("0000:3b:00.0")


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosswire.nic.rings.dpdk.abi, "_LIBRARY_FOLDERS", (tmp_path,))
    with pytest.raises(HostError, match="apt-get install librte-eal23 librte-ethdev23"):
        Libraries({99: LAYOUTS[23]})


def test_an_unknown_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosswire.nic.rings.dpdk.abi, "_LIBRARY_FOLDERS", (tmp_path,))
    (tmp_path / "librte_ethdev.so.27").touch()
    with pytest.raises(HostError, match=r"librte_ethdev.so.27 found; known are .so.98 to .so.99"):
        Libraries({98: LAYOUTS[23], 99: LAYOUTS[23]})


def test_a_table_laid_out_differently_is_refused(ring_port: DpdkPort) -> None:
    libraries = Libraries()
    check_table(libraries, ring_port.port)
    libraries.layout = next(layout for layout in LAYOUTS.values() if layout != libraries.layout)
    with pytest.raises(HostError, match="not laid out"):
        check_table(libraries, ring_port.port)


def test_what_a_port_says_of_itself(ring_port: DpdkPort) -> None:
    assert ring_port.obtained.endswith("net_ring, no huge pages")
    assert ring_port.obtained.startswith("DPDK ")
    assert set(ring_port.statistics().values()) == {0}


def test_an_absent_driver_and_bad_arguments_are_refused_and_harmless(dpdk: None) -> None:
    with pytest.raises(HostError, match=r"no driver has that name; is librte-net-nonsense\d\d installed"):
        DpdkPort("net_nonsense0", huge="off")
    with pytest.raises(HostError, match="No such device"):
        DpdkPort("net_af_packet0,iface=cwnothing", huge="off")
    with pytest.raises(HostError, match="refused"):
        DpdkPort("net_af_packet0,nonsense=1", huge="off")
    with DpdkPort("net_ring0", huge="off") as port:
        assert send_all(port.ring, made(3), 1) == 3


def test_a_device_is_opened_once(ring_port: DpdkPort) -> None:
    with pytest.raises(HostError, match="net_ring0 is open in this process already"):
        DpdkPort("net_ring0", huge="off")
    frames = made(5)
    assert send_all(ring_port.ring, frames, 1) == 5
    assert receive_all(ring_port.ring, 2) == frames


def test_two_ports_do_not_mix(ring_port: DpdkPort) -> None:
    frames = made(20)
    with DpdkPort("net_ring1", frames=64, transmit_frames=64, huge="off") as other:
        assert send_all(ring_port.ring, frames, 1) == 20
        assert send_all(other.ring, frames[:7], 1) == 7
        assert receive_all(other.ring, 2) == frames[:7]
    assert receive_all(ring_port.ring, 2) == frames


def test_ports_give_everything_back(dpdk: None) -> None:
    """Many times the memory that there is, and frames left behind in a ring that outlives its device."""
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        with DpdkPort("net_ring0", frames=4096, transmit_frames=4096, huge="off") as port:
            assert receive_all(port.ring, 1) == []
            assert send_all(port.ring, made(50), 1) == 50
            assert poll(port.ring, Frame(), 2)
        port.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_what_the_driver_refuses_waits(dpdk: None) -> None:
    """net_ring holds 1,023 frames; the others stay, in order, until there is room; `reserve` says when all is full."""
    with DpdkPort("net_ring0", frames=64, transmit_frames=1024, huge="off") as port:
        frames = made(3000)
        assert send_all(port.ring, frames, 1) == 2048
        assert port.ring.committed - port.ring.sent == 2048 - 1023
        got = receive_all(port.ring, 2)
        assert got == frames[:1023]
        flush(port.ring)
        got += receive_all(port.ring, 2)
        flush(port.ring)
        got += receive_all(port.ring, 2)
        assert got == frames[:2048]
        assert port.ring.committed == port.ring.sent == 2048


def test_a_frame_in_several_buffers_is_dropped_and_counted(ring_port: DpdkPort) -> None:
    frames = made(3)
    ring = ring_port.ring
    assert send_all(ring, frames, 1) == 3
    first, second, spare = (view(PacketBuffer, ring.transmit[index]) for index in (0, 1, 5))
    second.segments, second.next = 2, spare.address
    spare.references = 2
    assert receive_all(ring, 2) == [frames[0], frames[2]]
    assert ring_port.statistics()["segmented"] == ring.segmented == ring.counters.drops == 1
    assert (first.references, second.references, spare.references) == (1, 1, 1)
    assert send_all(ring, made(128), 3) == 128
    assert receive_all(ring, 4) == made(128)


def test_all_buffers_come_back(dpdk: None) -> None:
    """Compiled: far more frames than there are buffers and pool, on a device that always has one and takes any."""
    with DpdkPort(f"net_null0,size={NULL_FRAME_BYTES}", frames=64, transmit_frames=64, huge="off") as port:
        assert receive_so_many(port.ring, Frame(), 100_000) == 100_000 * NULL_FRAME_BYTES
        assert send_so_many(port.ring, 100_000) == 100_000
        assert (port.ring.counters.frames, port.ring.sent, port.ring.counters.empty_polls) == (100_000, 100_000, 0)
        buffers = [view(PacketBuffer, port.ring.transmit[index]) for index in range(port.ring.transmit_mask + 1)]
        assert {buffer.references for buffer in buffers} == {1}
        assert port.statistics()["no_buffer"] == 0


def test_a_thread_of_its_own(ring_port: DpdkPort) -> None:
    frames, got = made(BURST_FRAMES + 5), []

    def run() -> None:
        with known_to_dpdk(), known_to_dpdk():  # the inner one has nothing to do
            send_all(ring_port.ring, frames, 1)
            got.extend(receive_all(ring_port.ring, 2))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert got == frames


def test_starting_changes_nothing_of_the_process_and_says_nothing(dpdk: None) -> None:
    code = """
import os, signal
from crosswire.nic.rings.dpdk.dpdk import DpdkPort
before = os.sched_getaffinity(0), signal.pthread_sigmask(signal.SIG_BLOCK, ())
with DpdkPort("net_ring0", huge="off"):
    pass
assert before == (os.sched_getaffinity(0), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    done = in_new_process(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_start_that_failed_is_not_tried_again(dpdk: None) -> None:
    """And what can be known before is refused before: that leaves the start untried."""
    code = """
import crosswire.nic.rings.dpdk.dpdk
from crosswire.nic.rings.dpdk.dpdk import DpdkPort
from crosswire.nic.host.process import HostError
crosswire.nic.rings.dpdk.dpdk.free_huge_bytes = lambda: 0
def refused(**options):
    try:
        DpdkPort("net_ring0", **options)
    except HostError as error:
        print(error)
refused(huge="on")
assert crosswire.nic.rings.dpdk.dpdk.Environment.failure == ""
crosswire.nic.rings.dpdk.dpdk._NO_DEVICE = "nonsense"
refused()
refused(huge="off")
"""
    done = in_new_process(code)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("DPDK")]
    assert lines[0] == "DPDK: 0 MB of huge pages free; `sysctl vm.nr_hugepages=4`"
    assert lines[1].startswith("DPDK could not start: ")
    assert lines[2] == f"{lines[1]}; start the process anew"


def test_huge_pages_are_decided_by_the_first_port(ring_port: DpdkPort) -> None:
    with pytest.raises(HostError, match="DPDK runs without them"):
        DpdkPort("net_ring1", huge="on")


def test_without_compilation(dpdk: None) -> None:
    code = """
from crosswire.nic.rings.dpdk.dpdk import DpdkPort
from tests.support.ring_cases import receive_all, send_all
with DpdkPort("net_ring0", frames=64, transmit_frames=64, huge="off") as port:
    frames = [bytes([number]) * 70 for number in range(100)]
    for _ in range(5):
        assert send_all(port.ring, frames, 1) == 100
        assert receive_all(port.ring, 2) == frames
    assert port.ring.counters.frames == 500
"""
    done = in_new_process(code, CROSSWIRE_NO_JIT="1")
    assert done.returncode == 0, done.stderr


@pytest.mark.netns
def test_the_kernels_drops_are_counted(packet_bed: DpdkPacketBed) -> None:
    """DPDK itself counts none of them."""
    sent = [packet_bed.framed(bytes(100)) for _ in range(200)]
    packet_bed.peer_send(sent)
    got = receive_all(packet_bed.ring, 1)
    statistics = packet_bed.port.statistics()
    assert 0 < len(got) < 200
    assert statistics["missed"] == 0
    assert statistics["kernel_drops"] == packet_bed.ring.counters.drops == 200 - len(got)


@pytest.mark.netns
def test_the_port_knows_its_address_and_longest_frame(packet_bed: DpdkPacketBed) -> None:
    assert packet_bed.port.mac == packet_bed.link.engine_mac
    assert reserve(packet_bed.ring, 1514) != 0
    assert reserve(packet_bed.ring, 1518) != 0
    assert reserve(packet_bed.ring, 1519) == 0


@pytest.mark.netns
def test_tags_stay_in_frames(packet_bed: DpdkPacketBed) -> None:
    """The kernel takes them out; DPDK's device puts them back."""
    frame = packet_bed.framed(bytes(80))
    tagged = frame[:12] + bytes.fromhex("8100 2064") + frame[12:]
    packet_bed.peer_send([tagged])
    assert receive_all(packet_bed.ring, 1) == [tagged]


@pytest.mark.netns
def test_what_the_kernel_itself_sends_is_not_received(packet_bed: DpdkPacketBed) -> None:
    """An AF_PACKET socket gets outgoing frames as well, unless it is told otherwise."""
    packet_bed.holders[0].sendto(b"from the kernel", (packet_bed.link.exchange_ip, packet_bed.inward.source_port))
    NetworkBed.peer_send(packet_bed, [packet_bed.framed(b"from the exchange")])
    got = [frame for frame in receive_all(packet_bed.ring, 1) if frame[12:14] == b"\x08\x00"]  # and no ARP
    assert [frame[42:59] for frame in got] == [b"from the exchange"]


@pytest.mark.netns
def test_what_the_kernel_sends_while_a_port_opens_is_not_received(packet_bed: DpdkPacketBed) -> None:
    """The device's socket is bound before it can be told what to leave out."""
    packet_bed.port.close()
    sender, here = packet_bed.holders[0], threading.Event()
    far = (packet_bed.link.exchange_ip, packet_bed.inward.source_port)

    def send() -> None:
        while not here.wait(0.0001):
            sender.sendto(b"from the kernel", far)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(5):
            with in_namespace(packet_bed.engine_namespace):
                port = DpdkPort(f"net_af_packet0,iface={packet_bed.link.engine_interface}", frames=64, huge="off")
            got = receive_all(port.ring, 1)
            port.close()
            assert [frame for frame in got if frame[12:14] == b"\x08\x00"] == []
    finally:
        here.set()
        thread.join()
