"""The far end of `crosswire bench wire-to-wire`: the exchanges of `bench order-entry` behind real wires.

    python -m tests.bench.wire_to_wire_far PLAN    (JSON: see `FarPlan`)

Peers and script are those that stand in the engine's own thread in `bench order-entry`, over the same beds. Here the
other end of a bed is not an engine but a packet socket on the far interface of a veth pair: what a peer says is carried
to it, and what comes from it to the peer. The peers' address is on no interface, so this side's kernel answers nothing.
A trigger's frame has TRIGGER_ID in its IP header, by which the observer knows it.

Steps are made at a rate: `calm_ns` apart for the first half of the triggers, a tenth of that for the second. Lines on
standard output: "ready", "connected", "calm", "burst", "done"; then peers answer on until standard input is closed.

An engine that a busy machine keeps from its core finds a trigger at one venue before the last trade's fill at the
other, and may not act on it. The script waits for orders, so a trigger without any is given up after MISSED_S, and
counted.
"""

import os
import select
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec

from crosswire.engine.build.run import build_core
from crosswire.engine.config import load_config
from crosswire.nic.clock import ClockKeeper, LiveClock, time_at
from crosswire.nic.host.multicast import multicast_mac
from crosswire.nic.host.process import pin_thread, run_first_in_first_out
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.memory.raw import copy_bytes, cycle_count
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, one, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHERNET_HEADER_BYTES,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    Flow,
    HalfWord,
    Ipv4Header,
    Word,
    fold_checksum,
    internet_sum,
    reverse_flow,
)
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.rings.sockets.af_packet import AfPacketRing, AfPacketSocket
from crosswire.nic.rings.sockets.packet_socket import (
    JUMP_EQUAL,
    LOAD_BYTE,
    LOAD_HALF,
    REJECT_ALL,
    RETURN,
    SOL_PACKET,
    WHOLE_FRAME,
    attach_filter,
    instruction,
)
from crosswire.nic.rings.xdp.af_xdp import AfXdpRing
from crosswire.nic.unit.compile import compiled
from tests.bench.order_entry_bed import connect_ring, make_bed
from tests.bench.order_entry_peer import FIRST_SEQUENCE, serve, set_connection, set_peer
from tests.bench.order_entry_stamps import DONE, FAILED, FILLING, LEGS, OPENING, VENUES, Script, step
from tests.bench.stack_end import cycles_per_ns
from tests.bench.tick_to_trade import compiled_for

GATEWAY_PORT = 4210
GROUP_PORT = 4230
TRIGGER_ID = 0x7716
C_PORT = 41_000  # and the next: the C program's own ends of its connections over AF_XDP
C_FIRST_SEQUENCE = 77_000
BURST_TIMES = 10  # as many steps a second in the second half
QUIET_STEPS_MAX = 16  # before a trigger; each gives both venues a frame
SLICE_NS = 20_000_000  # of the script, between two looks at how it goes
ANSWER_NS, IDLE_S = 200_000, 0.001  # while there is no script to be run
FIFO_PRIORITY = 50
MISSED_S = 0.1  # after which a trigger without an order is given up
OPENING_S = 10.0
KEEP_CLOCK_S = 0.5
_PACKET_QDISC_BYPASS = 20


class FarPlan(msgspec.Struct, frozen=True):
    """What the far end is told."""

    config: str  # file of the engine's run: the instruments
    namespace: str
    interfaces: list[str]
    near_macs: list[int]
    far_macs: list[int]
    near_ips: list[int]
    gateway_ips: list[int]  # of the peers, on no interface
    group_ips: list[int]
    triggers: int  # of both halves
    calm_ns: int
    core: int
    fifo: bool
    missed_max: int  # triggers that may be given up
    is_c: bool  # the C program: books are told order by order, nobody logs on, "go" on standard input begins
    has_kernel_tcp: bool  # at the near end; otherwise the C program's connections are there from the beginning


class Wire(Struct):
    """One venue's way from its bed to its interface."""

    bed_end: AfXdpRing  # the engine's end of the bed
    interface: Annotated[Pointer, AfPacketRing]
    near_mac: i64
    lost: i64  # frames that one side had no room for
    frame: Frame


class Far(Struct):
    """All of it."""

    script: Annotated[Pointer, Script]
    wires: Annotated[Array, Wire, VENUES]
    step_cycles: i64  # from one step to the next
    next_cycles: i64  # when the next step is due


@compiled
def carry_in(far: Far) -> None:
    """Hand the peers what came from the engine."""
    for number in range(VENUES):
        wire = far.wires[number]
        interface = wire.interface[0]
        while poll(interface, wire.frame, 0):
            slot = reserve(wire.bed_end, wire.frame.length)
            if slot == 0:
                wire.lost += 1
            else:
                copy_bytes(slot, wire.frame.address, wire.frame.length)
                commit(wire.bed_end, wire.frame.length, 0)
            release(interface)
        flush(wire.bed_end)


@compiled
def carry_out(far: Far, moving: int) -> None:
    """Send what the peers said; the frame of peer `moving` is a trigger's (-1: none is)."""
    for number in range(VENUES):
        wire = far.wires[number]
        interface = wire.interface[0]
        while poll(wire.bed_end, wire.frame, 0):
            slot = reserve(interface, wire.frame.length)
            if slot == 0:
                wire.lost += 1
            else:
                copy_bytes(slot, wire.frame.address, wire.frame.length)
                address_frame(slot, wire.near_mac, number == moving)
                commit(interface, wire.frame.length, 0)
            release(wire.bed_end)
        flush(interface)


@compiled
def address_frame(address: int, near_mac: int, is_trigger: bool) -> None:
    """Give a segment the engine's own MAC, a trigger its mark."""
    ip = view(Ipv4Header, address + ETHERNET_HEADER_BYTES)
    if ip.protocol == PROTOCOL_TCP:
        view(HalfWord, address).value = near_mac >> 32
        view(Word, address + 2).value = near_mac & 0xFFFF_FFFF
    elif is_trigger:
        ip.identification = TRIGGER_ID
        ip.checksum = 0
        ip.checksum = fold_checksum(internet_sum(address_of(ip), IPV4_HEADER_BYTES, 0))


def answer(far: Far, clock: LiveClock, until_cycles: int) -> int:
    """Answer the engine, and no more; how many sessions are on."""
    script = far.script[0]
    while cycle_count() < until_cycles:
        carry_in(far)
        for number in range(VENUES):
            serve(script.peers[number], time_at(clock, cycle_count()))
        carry_out(far, -1)
    return script.peers[0].logged_on + script.peers[1].logged_on


def run_script(far: Far, clock: LiveClock, until_cycles: int) -> int:
    """Go on with the script for a while; its phase."""
    script = far.script[0]
    now = cycle_count()
    while now < until_cycles and script.phase != DONE and script.phase != FAILED:
        carry_in(far)
        if script.phase == FILLING or now >= far.next_cycles:
            far.next_cycles = now + far.step_cycles
            script.waited = 0  # patience is the caller's: turns here are no measure of time
            is_trigger = step(script, time_at(clock, now))
            carry_out(far, script.moving if is_trigger else -1)
        now = cycle_count()
    return script.phase


def segments_filter() -> bytes:
    """Let in TCP to the gateways' port, and nothing else."""
    checks = ((LOAD_HALF, 12, ETHER_TYPE_IPV4), (LOAD_BYTE, 23, PROTOCOL_TCP), (LOAD_HALF, 36, GATEWAY_PORT))
    program = b""
    for number, (code, offset, value) in enumerate(checks):
        program += instruction(code, offset)
        program += instruction(JUMP_EQUAL, value, 0, 2 * (len(checks) - number - 1) + 1)
    return program + instruction(RETURN, WHOLE_FRAME) + REJECT_ALL


def open_interface(name: str) -> AfPacketSocket:
    """A packet socket whose frames an observer sees leave: those that go past the queueing discipline are not shown."""
    owner = AfPacketSocket(name, frames=4096)
    with socket.socket(fileno=os.dup(owner.ring.descriptor)) as same:
        attach_filter(same, segments_filter())
        same.setsockopt(SOL_PACKET, _PACKET_QDISC_BYPASS, 0)
    return owner


def gateway_flow(plan: FarPlan, number: int) -> Flow:
    """The C program's connection to a venue, from its end."""
    return Flow(
        source_mac=plan.near_macs[number], destination_mac=plan.far_macs[number], source_ip=plan.near_ips[number],
        destination_ip=plan.gateway_ips[number], source_port=C_PORT + number, destination_port=GATEWAY_PORT,
    )  # fmt: skip


def feed_flow(plan: FarPlan, number: int) -> Flow:
    """A venue's market data."""
    group = plan.group_ips[number]
    return Flow(
        source_mac=plan.far_macs[number], destination_mac=multicast_mac(group),
        source_ip=plan.gateway_ips[number], destination_ip=group, source_port=GROUP_PORT, destination_port=GROUP_PORT,
    )  # fmt: skip


class FarEnd:
    """The far end in its namespace."""

    def __init__(self, plan: FarPlan, closing: ExitStack) -> None:
        self.plan = plan
        path = Path(plan.config)
        self.core = build_core(load_config(path), path)
        self.script = Script(triggers=plan.triggers, leg=1, is_snapshot=int(not plan.is_c), quiet_max=QUIET_STEPS_MAX)
        self.script.latencies = array(i64, 1)
        self.script.rows = array(i64, 1)
        self.far = Far(script=one(self.script))
        self.kept: list[object] = []
        for number, peer in enumerate(self.script.peers):
            bed = make_bed()
            set_peer(peer, number, bed, self.core.engine.market.instruments[number], feed_flow(plan, number))
            if plan.is_c and not plan.has_kernel_tcp:
                set_connection(peer, reverse_flow(gateway_flow(plan, number)), FIRST_SEQUENCE, C_FIRST_SEQUENCE)
            with in_namespace(plan.namespace):
                owner = closing.enter_context(open_interface(plan.interfaces[number]))
            wire = self.far.wires[number]
            connect_ring(bed, wire.bed_end)
            wire.interface = one(owner.ring)
            wire.near_mac = plan.near_macs[number]
            self.kept += [bed, owner]
        self.clock = LiveClock()
        self.answer = compiled_for(answer, self.far, self.clock, 0)
        self.run_script = compiled_for(run_script, self.far, self.clock, 0)
        self.rate = cycles_per_ns()
        self.keeper = ClockKeeper(self.clock)
        self.kept_s = time.monotonic()

    def answer_now(self) -> int:
        """Answer what there is, and leave the core to others for a while; how many sessions are on."""
        time.sleep(IDLE_S)
        self.keep_clock()
        return self.answer(self.far, self.clock, cycle_count() + int(self.rate * ANSWER_NS))

    def slice_end(self) -> int:
        """Keep the clock; when the next slice ends."""
        self.keep_clock()
        return cycle_count() + int(self.rate * SLICE_NS)

    def keep_clock(self) -> None:
        if time.monotonic() - self.kept_s > KEEP_CLOCK_S:
            self.keeper.keep(KEEP_CLOCK_S)
            self.kept_s = time.monotonic()

    def connect(self) -> None:
        """Answer until both sessions are on; the C program's, until it is said."""
        while True:
            logged_on = self.answer_now()
            if logged_on == VENUES or (self.plan.is_c and is_told()):
                return

    def run(self) -> None:
        """The whole script, calm and in a burst. SystemExit if it stands still."""
        self.far.step_cycles = int(self.rate * self.plan.calm_ns)
        begun, done, phase, missed = time.monotonic(), 0, 0, 0
        say("calm")
        is_calm = True
        while phase != DONE:
            phase = self.run_script(self.far, self.clock, self.slice_end())
            if self.script.done != done:
                begun, done = time.monotonic(), self.script.done
            elif self.script.phase == FILLING and time.monotonic() - begun > MISSED_S:
                missed += 1
                if missed > self.plan.missed_max:
                    raise SystemExit(f"far end: {missed} of {done} triggers made no orders")
                self.script.held_trades -= self.script.direction
                self.script.filled = LEGS
            elif self.script.phase == OPENING and time.monotonic() - begun > OPENING_S:
                raise SystemExit(f"far end: {self.script.opened} levels told, and no more")
            if is_calm and done >= self.plan.triggers // 2:
                is_calm = False
                say("burst")
                self.far.step_cycles //= BURST_TIMES
        lost = [wire.lost for wire in self.far.wires]
        bad = [peer.bad_checksums + peer.out_of_order + peer.full for peer in self.script.peers]
        if any(lost) or any(bad):
            raise SystemExit(f"far end: frames lost {lost}, segments that were wrong {bad}")


def say(line: str) -> None:
    print(line, flush=True)


def is_told() -> bool:
    """Whether there is something to read on standard input, its end included."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=FarPlan)
    pin_thread(plan.core)
    with ExitStack() as closing:
        end = FarEnd(plan, closing)
        say("ready")
        end.connect()
        if plan.is_c:
            sys.stdin.readline()
        say("connected")
        if plan.fifo:
            run_first_in_first_out(FIFO_PRIORITY)
        end.run()
        say("done")
        while not is_told():
            end.answer_now()


if __name__ == "__main__":
    main()
