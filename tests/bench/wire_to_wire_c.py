"""The C program over real wires, for `crosswire bench wire-to-wire`: a process of its own, as the engine is.

    python -m tests.bench.wire_to_wire_c PLAN PATH MESSAGE NAMESPACE CORE INTERFACE INTERFACE

Prints "trading" when its loop is about to turn; on SIGINT it leaves its loop and ends, well only if all that the
exchanges said of its orders added up.
"""

import ctypes
import signal
import socket
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec

from crosswire.nic.host.multicast import Group, Membership, ip_text
from crosswire.nic.host.process import pin_thread, run_first_in_first_out
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, u8
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.sockets.af_packet import AfPacketSocket
from crosswire.nic.rings.sockets.send_slots import SLOT_BYTES
from crosswire.nic.rings.sockets.udp import UdpSocket
from crosswire.nic.rings.xdp.af_xdp import AfXdpRing, AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules, TcpTuple
from tests.bench.order_entry_c import FLAGS, compile_library, declare, order_frame
from tests.bench.order_entry_peer import FIRST_SEQUENCE, last_order
from tests.bench.order_entry_rig import CRig, OurRig
from tests.bench.order_entry_stamps import VENUES
from tests.bench.wire_to_wire_far import (
    C_FIRST_SEQUENCE,
    C_PORT,
    GATEWAY_PORT,
    GROUP_PORT,
    FarPlan,
    gateway_flow,
)

SOURCE = Path(__file__).with_name("wire_to_wire.c")
LOOPS = {"af_xdp": "cw_run_xdp", "af_packet": "cw_run_packet", "sockets": "cw_run_sockets"}
STREAM_BYTES, DATAGRAM_BYTES = 4096, 2048


class Line(Struct):
    """`line_t`."""

    market: i64
    orders: i64
    slots: i64
    slot_mask: i64
    slot_bytes: i64
    next: i64
    sent: i64
    stream: Annotated[Array, u8, TCP_FRAME_HEADER_BYTES + STREAM_BYTES]
    datagram: Annotated[Array, u8, DATAGRAM_BYTES]


class Lines(Struct):
    """Both venues'."""

    items: Annotated[Array, Line, VENUES]
    stop: i64


def ring_addresses(ring: AfXdpRing) -> list[int]:
    """What `cw_set_ring` wants of a live ring, in its order."""
    return [
        ring.umem, ring.receive_descriptors, ring.receive_producer_at, ring.receive_consumer_at, ring.fill_addresses,
        ring.fill_producer_at, ring.transmit_descriptors, ring.transmit_producer_at, ring.transmit_flags_at,
        ring.completion_addresses, ring.completion_producer_at, ring.completion_consumer_at,
        address_of(ring.free_frames),
    ]  # fmt: skip


def any_order() -> bytes:
    """A new order as the engine's session sends it, from a session over memory."""
    rig = OurRig(0)
    rig.send(1, 1)
    return last_order(rig.script.peers[0])[TCP_FRAME_HEADER_BYTES:]


class CTrader:
    """The C engine over one kind of ring."""

    def __init__(
        self, plan: FarPlan, path_name: str, message: bytes, interfaces: list[str], closing: ExitStack
    ) -> None:
        self.plan, self.closing = plan, closing
        self.ring, _, self.mode = path_name.partition(" ")
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        self.library = declare(compile_library(SOURCE, folder / "wire_to_wire.so", FLAGS))
        self.rig = CRig(self.library, message, 0)
        self.lines = Lines()
        assert self.library.cw_line_bytes() == Line.size
        for number, interface in enumerate(interfaces):
            frame = order_frame(gateway_flow(plan, number), message)
            self.rig.engine.set_session(number, frame, C_FIRST_SEQUENCE, FIRST_SEQUENCE)
            self.open_line(number, interface)

    def open_line(self, number: int, interface: str) -> None:
        """Open a venue's sockets in the calling thread's namespace."""
        plan, line = self.plan, self.lines.items[number]
        group = Group(plan.group_ips[number], GROUP_PORT, plan.gateway_ips[number])
        rule = (group.ip, group.port, group.source_ip)
        if self.ring == "sockets":
            owner = self.closing.enter_context(UdpSocket(interface, [group]))
            line.market = owner.ring.ends[0].descriptor
        elif self.ring == "af_packet":
            packets = self.closing.enter_context(AfPacketSocket(interface, udp=[rule]))
            line.slots, line.slot_mask, line.slot_bytes = packets.ring.slots, packets.ring.mask, SLOT_BYTES
        else:
            own = TcpTuple(plan.near_ips[number], C_PORT + number, plan.gateway_ips[number], GATEWAY_PORT)
            rules = SteerRules(udp=(rule,), tcp=(own,))
            xdp = self.closing.enter_context(AfXdpSocket(interface, 0, rules, require=self.mode, frames=8192))
            line.market = xdp.ring.descriptor
            addresses = (ctypes.c_uint64 * 13)(*ring_addresses(xdp.ring))
            sizes = ctypes.c_int64(xdp.ring.mask + 1), ctypes.c_int64(xdp.ring.frame_bytes)
            self.library.cw_set_ring(ctypes.c_void_p(self.rig.engine.address), number, addresses, *sizes)
        if self.ring != "sockets":
            self.closing.enter_context(Membership(interface, [group]))
        if self.ring != "af_xdp":
            line.orders = self.connect(number)

    def connect(self, number: int) -> int:
        """Connect to a gateway by the kernel's TCP; the socket."""
        made = self.closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect((ip_text(self.plan.gateway_ips[number]), GATEWAY_PORT))
        return made.fileno()

    def run(self, core: int) -> None:
        """Turn in a thread of its own until SIGINT."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        loop = getattr(self.library, LOOPS[self.ring])
        self.rig.keep_clock()
        self.rig.start()
        arguments = (self.rig.engine.address, self.lines.address, self.lines.address + Line.size * VENUES)

        def turn() -> None:
            pin_thread(core)
            if self.plan.fifo:
                run_first_in_first_out(50)
            loop(*map(ctypes.c_void_p, arguments))

        thread = threading.Thread(target=turn)
        thread.start()
        print("trading", flush=True)
        signal.sigwait({signal.SIGINT})
        self.lines.stop = 1
        thread.join()

    def check(self) -> None:
        """SystemExit: an order was not filled, or a frame not understood."""
        figures = self.rig.engine.figures()
        wrong = {name: figures[name] for name in ("unexplained", "gaps", "rejects", "vetoed") if figures[name]}
        if wrong or figures["fills"] != VENUES * figures["triggers"]:
            raise SystemExit(f"C: {figures}")


def main() -> None:
    text, path_name, message, namespace, core, *interfaces = sys.argv[1:]
    plan = msgspec.json.decode(text, type=FarPlan)
    with ExitStack() as closing:
        with in_namespace(namespace):
            trader = CTrader(plan, path_name, bytes.fromhex(message), interfaces, closing)
        trader.run(int(core))
        trader.check()


if __name__ == "__main__":
    main()
