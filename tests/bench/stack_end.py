"""One end of `crosswire bench stack`: a compiled loop over a ring, pinned to a core. The last line is one JSON object.

    python -m tests.bench.stack_end ping|echo|drain|receive|flood RING NAMESPACE INTERFACE CORE PACKETS

The network is the one that `tests.bench.stack` makes for it and for the C programs it is compared with.
"""

import json
import resource
import signal
import sys
import time
from typing import Any

import numpy as np

from crosswire.nic.host.process import pin_thread
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.memory.raw import copy_bytes, cycle_count, load_i64, store_i64
from crosswire.nic.memory.struct import Array, Struct, array, i64, u8
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, write_udp_frame_header
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.rings.sockets.af_packet import AfPacketSocket
from crosswire.nic.rings.sockets.udp import UdpSocket
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules
from crosswire.nic.unit.call import machine_code

PORT = 7000
DRAIN_PORT = 7300
PAYLOAD_BYTES = 32
FRAME_BYTES = UDP_FRAME_HEADER_BYTES + PAYLOAD_BYTES
BURST = 1024
HOSTS = {"kbA": (0x0A630001, 0x020000990001), "kbB": (0x0A630002, 0x020000990002)}
GIVE_UP_CYCLES = 1 << 33  # some 3 s: a lost frame ends the run
FLOOD_NS = 1_000_000_000
QUIET_NS = 300_000_000  # without a frame: the flood has ended
WAIT_NS = 20_000_000_000  # for its first frame


class End(Struct):
    """What one end counts."""

    stop: i64
    frames: i64
    lost: i64
    sink: i64
    frame: Frame


@machine_code
def ping(end: End, ring: Struct, template: int, count: int, cycles: Array) -> int:
    """`count` round trips, one at a time; their cycles. Returns how many came back."""
    for number in range(count):
        begun = cycle_count()
        slot = reserve(ring, FRAME_BYTES)
        if slot == 0:
            return number
        copy_bytes(slot, template, FRAME_BYTES)
        store_i64(slot + UDP_FRAME_HEADER_BYTES, number)
        commit(ring, FRAME_BYTES, 0)
        flush(ring)
        is_back = False
        while not is_back:
            if poll(ring, end.frame, 0):
                is_back = (
                    end.frame.length >= UDP_FRAME_HEADER_BYTES + 8
                    and load_i64(end.frame.address + UDP_FRAME_HEADER_BYTES) == number
                )
                release(ring)
            elif cycle_count() - begun > GIVE_UP_CYCLES:
                end.lost += 1
                return number
        cycles[number] = cycle_count() - begun
    return count


@machine_code
def echo(end: End, ring: Struct, template: int, until_cycles: int) -> None:
    """Send every frame's payload back, until told to stop or until a cycle count."""
    while end.stop == 0 and cycle_count() < until_cycles:
        for _ in range(1024):
            if poll(ring, end.frame, 0):
                slot = reserve(ring, FRAME_BYTES)
                if slot != 0:
                    copy_bytes(slot, template, UDP_FRAME_HEADER_BYTES)
                    copy_bytes(slot + UDP_FRAME_HEADER_BYTES, end.frame.address + UDP_FRAME_HEADER_BYTES, PAYLOAD_BYTES)
                    commit(ring, FRAME_BYTES, 0)
                end.frames += 1
                release(ring)
                flush(ring)


@machine_code
def drain(end: End, ring: Struct) -> int:
    """Take all that is there: the cycles it took. What a frame holds is read once."""
    begun = cycle_count()
    while poll(ring, end.frame, 0):
        end.sink += load_i64(end.frame.address + UDP_FRAME_HEADER_BYTES)
        end.frames += 1
        release(ring)
    return cycle_count() - begun


def open_ring(kind: str, namespace: str, interface: str, port: int) -> Any:
    """The owner of a ring of a kind, which gets the frames for `port`."""
    address = HOSTS[namespace][0]
    with in_namespace(namespace):
        if kind == "sockets":
            return UdpSocket(interface, local=[(address, port)])
        if kind == "af_packet":
            return AfPacketSocket(interface, udp=[(address, port)])
        return AfXdpSocket(interface, 0, SteerRules(udp=((address, port),)), require=kind.removeprefix("af_xdp_"))


def make_template(namespace: str, source_port: int, port: int) -> Array:
    """A frame from this end to the other."""
    peer = "kbB" if namespace == "kbA" else "kbA"
    (source_ip, source_mac), (destination_ip, destination_mac) = HOSTS[namespace], HOSTS[peer]
    template = array(u8, FRAME_BYTES)
    flow = Flow(
        source_mac=source_mac, destination_mac=destination_mac, source_ip=source_ip,
        destination_ip=destination_ip, source_port=source_port, destination_port=port,
    )  # fmt: skip
    write_udp_frame_header(template.address, flow, PAYLOAD_BYTES)
    return template


def cycles_per_ns() -> float:
    """The counter's rate against the monotonic clock, over 0.2 s."""
    cycles, now_ns = cycle_count(), time.perf_counter_ns()
    time.sleep(0.2)
    return (cycle_count() - cycles) / (time.perf_counter_ns() - now_ns)


def switches() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


def run_ping(end: End, ring: Any, namespace: str, packets: int, rate: float) -> dict[str, Any]:
    template = make_template(namespace, PORT + 1, PORT)
    cycles = array(i64, packets)
    ping(end, ring, template.address, packets // 10, cycles)
    before, calls = switches(), ring.counters.wakeups
    done = ping(end, ring, template.address, packets, cycles)
    times_us = np.sort(cycles.numpy()[:done]) / rate / 1000
    if done == 0:
        raise SystemExit("no frame came back")
    p50, p90, p99, p999 = np.percentile(times_us, [50, 90, 99, 99.9])
    return {
        "n": done, "lost": end.lost, "p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": times_us[-1],
        "jitter": float(np.std(times_us)), "switches": (switches() - before) / done,
        "calls": (ring.counters.wakeups - calls) / done,
        "quantiles": [float(value) for value in np.percentile(times_us, np.linspace(0, 99.9, 200))],
    }  # fmt: skip


@machine_code
def send_burst(ring: Struct, template: int, count: int) -> None:
    """`count` frames, by as few system calls as the ring needs: the caches stay the receiver's."""
    for _ in range(count):
        slot = reserve(ring, FRAME_BYTES)
        if slot != 0:
            copy_bytes(slot, template, FRAME_BYTES)
            commit(ring, FRAME_BYTES, 0)
    flush(ring)


def run_drain(end: End, ring: Any, bursts: int, rate: float) -> dict[str, Any]:
    template = make_template("kbA", DRAIN_PORT + 1, DRAIN_PORT)
    costs = []
    with in_namespace("kbA"), UdpSocket("kbva") as sender:
        send_burst(sender.ring, template.address, 0)
        for _ in range(bursts):
            send_burst(sender.ring, template.address, BURST)
            before = end.frames
            cycles = drain(end, ring)
            if end.frames > before:
                costs.append(cycles / rate / (end.frames - before))
    return {
        "ns": float(np.median(costs)), "p10_ns": float(np.percentile(costs, 10)), "got": end.frames / BURST / bursts
    }  # fmt: skip


@machine_code
def receive(end: End, ring: Struct, until_cycles: int) -> int:
    """Take what comes until a cycle count; when the last frame came, 0 if none did."""
    last = 0
    now = cycle_count()
    while now < until_cycles:
        while poll(ring, end.frame, 0):
            end.sink += load_i64(end.frame.address + UDP_FRAME_HEADER_BYTES)
            end.frames += 1
            release(ring)
            last = now
        now = cycle_count()
    return last


def run_receive(end: End, owner: Any, rate: float) -> dict[str, Any]:
    """From a flood's first frame to its last, some 10 ms exact."""
    receive(end, owner.ring, 0)
    end.frames = 0
    print("ready", flush=True)
    slice_cycles = int(rate * 1e7)
    give_up = cycle_count() + int(rate * WAIT_NS)
    while end.frames == 0 and cycle_count() < give_up:
        begun, before, calls = cycle_count(), switches(), owner.ring.counters.wakeups
        last = receive(end, owner.ring, begun + slice_cycles)
    if end.frames == 0:
        raise SystemExit("no frame of the flood came")
    while cycle_count() - last < int(rate * QUIET_NS):
        last = receive(end, owner.ring, cycle_count() + slice_cycles) or last
    owner.statistics()
    return {
        "received": end.frames, "seconds": (last - begun) / rate / 1e9, "drops": owner.ring.counters.drops,
        "switches": (switches() - before) / end.frames,
        "calls": (owner.ring.counters.wakeups - calls) / end.frames,
    }  # fmt: skip


def run_flood(ring: Any) -> dict[str, Any]:
    """Datagrams for about a second, as fast as the kernel takes them. Counts those that it took."""
    template = make_template("kbA", DRAIN_PORT + 1, DRAIN_PORT)
    send_burst(ring, template.address, 0)
    begun = time.perf_counter_ns()
    while time.perf_counter_ns() - begun < FLOOD_NS:
        send_burst(ring, template.address, 64)
    while ring.committed != ring.sent:
        send_burst(ring, template.address, 0)
    return {"sent": ring.sent - ring.refused, "seconds": (time.perf_counter_ns() - begun) / 1e9}


def main() -> None:
    role, kind, namespace, interface, core, packets = sys.argv[1:]
    pin_thread(int(core))
    end = End()
    if role == "flood":
        with in_namespace(namespace), UdpSocket(interface) as sender:
            print(json.dumps(run_flood(sender.ring)))
        return
    owner = open_ring(kind, namespace, interface, {"ping": PORT + 1, "echo": PORT}.get(role, DRAIN_PORT))
    rate = cycles_per_ns()
    if role == "drain":
        drain(end, owner.ring)
        print(json.dumps(run_drain(end, owner.ring, int(packets), rate)))
    elif role == "receive":
        print(json.dumps(run_receive(end, owner, rate)))
    elif role == "ping":
        ping(end, owner.ring, 0, 0, array(i64, 1))
        time.sleep(0.2)
        print(json.dumps(run_ping(end, owner.ring, namespace, int(packets), rate)))
    else:
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
        template = make_template(namespace, PORT, PORT + 1)
        echo(end, owner.ring, template.address, 0)
        print("ready", flush=True)
        before = switches()
        while not stopped:
            echo(end, owner.ring, template.address, cycle_count() + int(rate * 5e7))
        print(json.dumps({"frames": end.frames, "switches": (switches() - before) / max(1, end.frames)}))
    owner.close()


if __name__ == "__main__":
    main()
