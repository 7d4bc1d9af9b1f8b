"""Goal: the loop that trades on a wire is the loop that backtested.

Method: tap a backtest, so that every frame that its engine received and sent is known. Play the received ones over veth
pairs into AF_XDP rings under the same loop, each with its time in a trailer, and compare what comes out of the wire at
the other end with what the backtest sent: byte for byte, sequence numbers, time stamps and checksums included.
"""

import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from crosswire.engine.build.run import Run, build_core, build_run
from crosswire.engine.build.venue import make_parts, order_flow
from crosswire.engine.config import load_config
from crosswire.engine.loop import Status
from crosswire.nic.clock import ReplayClock
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.rings.tap import Direction, drain_tap, make_tap
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules, TcpTuple
from tests.support.net import needs_root, own_testbed
from tests.support.paths import ROOT
from tests.support.short_run import two_seconds
from tests.support.timed_ring import timed_ring

EXAMPLES = ROOT / "examples"
MTU = 1600  # room for the trailers behind full frames
AHEAD_MAX = 256  # frames on the wire that the loop has not read: well below the ring's
PATIENCE_S = 120.0
GROUPS = {"deribit": (0xEF6F6F01, (6100, 6101)), "bridge": (0xEF010101, (6200,))}
PACKET_OUTGOING = 4  # a frame that this host sent, in a packet socket's address


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_seconds(tmp_path_factory.mktemp("parity"), seed=3)


def tapped_backtest(config_path: Path) -> list[list[tuple[int, int, bytes]]]:
    """Every frame that passed each venue's ring: (time, direction, bytes)."""
    whole = build_run(load_config(config_path), config_path)
    taps = [make_tap(part.ring) for part in whole.parts]
    parts = tuple(part._replace(ring=tap) for part, tap in zip(whole.parts, taps, strict=True))
    backtest = Run(whole.config, config_path, whole.core, parts, whole.clock, whole.replays)
    backtest.load()
    kept = MemoryJournal(backtest.engine.journal)
    seen: list[list[tuple[int, int, bytes]]] = [[] for _ in taps]
    status = Status.STARVED
    while status != Status.FINISHED:
        status = backtest.turn()
        backtest.refill()
        if status == Status.JOURNAL:
            kept.take()
        for frames, tap in zip(seen, taps, strict=True):
            frames += [tuple(each) for each in drain_tap(tap)]
    assert all(tap.lost == 0 for tap in taps)
    backtest.close()
    return seen


class Peer(threading.Thread):
    """The other end of one wire: plays the frames, never more than AHEAD_MAX ahead, and keeps what comes back."""

    def __init__(self, namespace: str, interface: str, frames: list[tuple[int, bytes]], ring: object) -> None:
        super().__init__(daemon=True)
        with in_namespace(namespace):
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.wire.bind((interface, 0))
        self.wire.setblocking(False)
        self.frames = [*frames, (NEVER_NS, bytes(60))]
        self.ring = ring
        self.received: list[bytes] = []

    def run(self) -> None:
        for sent, (time_ns, data) in enumerate(self.frames):
            while sent - self.ring.taken > AHEAD_MAX:
                self.listen()
            if time_ns == NEVER_NS:
                data = self.last_frame(data)
            self.wire.send(data + struct.pack("<q", time_ns))
            self.listen()

    def last_frame(self, _data: bytes) -> bytes:
        """A steered frame for the last trailer to ride on."""
        return next(data for _, data in self.frames if data[23] == socket.IPPROTO_UDP)

    def listen(self) -> None:
        while True:
            try:
                data, address = self.wire.recvfrom(2048)
            except BlockingIOError:
                return
            if address[2] != PACKET_OUTGOING:
                self.received.append(data)


@pytest.mark.netns
@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("require", ["generic", "native"])
def test_orders_on_the_wire_are_the_backtests(config_path: Path, require: str) -> None:
    needs_root()
    seen = tapped_backtest(config_path)
    wanted = [[data for _, direction, data in frames if direction == Direction.SENT] for frames in seen]
    assert all(len(frames) > 10 for frames in wanted)
    config = load_config(config_path)
    core = build_core(config, config_path)
    with own_testbed("cp", links=len(seen)) as testbed:
        owners, parts, peers = [], [], []
        for number, (venue, link) in enumerate(zip(config.venue, testbed.links, strict=True)):
            for namespace, interface in (
                (testbed.engine, link.engine_interface),
                (testbed.exchange, link.exchange_interface),
            ):
                subprocess.run(["ip", "-n", namespace, "link", "set", interface, "mtu", str(MTU)], check=True)
            flow = order_flow(venue.name)
            group, ports = GROUPS[venue.name]
            rules = SteerRules(
                udp=tuple((group, port) for port in ports),
                tcp=(TcpTuple(flow.source_ip, flow.source_port, flow.destination_ip, flow.destination_port),),
            )
            with in_namespace(testbed.engine):
                owner = AfXdpSocket(link.engine_interface, 0, rules, require=require)
            owners.append(owner)
            ring = timed_ring(owner.ring)
            frames = [(time_ns, data) for time_ns, direction, data in seen[number] if direction == Direction.RECEIVED]
            peers.append(Peer(testbed.exchange, link.exchange_interface, frames, ring))
            parts.append(make_parts(number, config, core.engine.market, config_path, ring))
        run = Run(config, config_path, core, tuple(parts), ReplayClock(), [])
        run.load()
        kept = MemoryJournal(run.engine.journal)
        for peer in peers:
            peer.start()
        begun = time.monotonic()
        status = Status.STARVED
        while status != Status.FINISHED:
            assert time.monotonic() - begun < PATIENCE_S, "the wire fell silent"
            status = run.turn()
            if status == Status.JOURNAL:
                kept.take()
        for peer in peers:
            peer.join(PATIENCE_S)
            peer.listen()
        for owner in owners:
            owner.close()
    for peer, frames in zip(peers, wanted, strict=True):
        assert peer.received == frames
