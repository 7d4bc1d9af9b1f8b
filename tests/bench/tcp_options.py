"""`crosswire bench tcp-options`: what selective acknowledgements, timestamps and window scaling would give our orders.

    crosswire bench tcp-options [--orders 2000] [--rounds 3] [--rates 0.1 1 3 10]

Orders of 96 bytes leave three at a time, every 2 ms; the gateway answers each with a report of 192 bytes. What is
measured is the time from when an order was to leave until its report is there, on a wire that loses a share of all
segments each way. The gateway is Linux, at the other end of a veth pair. The client is

    crosswire      our own TCP over AF_XDP, with what it has: SACK of what it receives
    linux          Linux itself with one or more of the three options, both ends alike

Linux's own implementations are the yardstick for what each option can give: they are complete, and take one switch.
Without SACK Linux has neither tail loss probes nor RACK, which need no such option here. Figures are medians over the
rounds, each with losses of its own. `--one-way`: no report is lost. The last line is one JSON object.
"""

import argparse
import json
import os
import random
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.host.process import run_first_in_first_out
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.rings.fault import MILLION, FaultRates
from crosswire.nic.rings.sockets.packet_socket import (
    LOAD_WORD,
    REJECT_ALL,
    RETURN,
    WHOLE_FRAME,
    attach_filter,
    instruction,
)
from tests.bench.tick_to_trade import compiled_for, percentiles
from tests.support.tcp_kernel_setup import Rig, make_talk, turns

ORDER_BYTES, REPORT_BYTES = 96, 192
BURST, PERIOD_S = 3, 0.002
PATIENCE_S = 60.0
IDLE_S = 0.00005
TURNS = 16  # of our TCP, each time that it is asked
FIFO_PRIORITY = 50
LATE_MS = 1
COLUMNS = ("p50", "p90", "p99", "p99.9", "max")
SWITCHES = ("tcp_sack", "tcp_timestamps", "tcp_window_scaling")
VARIANTS: dict[str, tuple[str, ...]] = {  # of Linux: the switches that are on
    "linux, none": (),
    "linux, SACK": ("tcp_sack",),
    "linux, SACK and timestamps": ("tcp_sack", "tcp_timestamps"),
    "linux, SACK and window scaling": ("tcp_sack", "tcp_window_scaling"),
    "linux, all three": SWITCHES,
}
_JUMP_GREATER = 0x25
_RANDOM = 0xFFFF_F000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM (linux/filter.h): a random word in place of the packet's bytes


class Client(Protocol):
    """What sends orders."""

    def send(self, orders: int) -> None: ...

    def received(self) -> int:
        """Bytes of reports, so far."""


def lose(receiver: socket.socket, share: float) -> None:
    """Have the kernel drop this share of what comes for a connection, before TCP sees it."""
    bound = round((1 - share) * 0xFFFF_FFFF)
    program = instruction(LOAD_WORD, _RANDOM) + instruction(_JUMP_GREATER, bound, 1, 0)
    attach_filter(receiver, program + instruction(RETURN, WHOLE_FRAME) + REJECT_ALL)


class LinuxClient:
    """A socket."""

    def __init__(self, own: socket.socket) -> None:
        self.own = own
        self.bytes = 0

    def send(self, orders: int) -> None:
        self.own.setblocking(True)
        for _ in range(orders):
            self.own.sendall(bytes(ORDER_BYTES))
        self.own.setblocking(False)

    def received(self) -> int:
        with suppress(BlockingIOError):
            self.bytes += len(self.own.recv(1 << 16))
        return self.bytes


class OwnClient:
    """Our TCP, turned by hand."""

    def __init__(self, rig: Rig, orders: int) -> None:
        self.rig = rig
        self.talk = make_talk(bytes(orders * ORDER_BYTES), orders * REPORT_BYTES, ORDER_BYTES)
        self.talk.to_send = 0
        self.talk.first_sent = rig.tcp.send.end
        self.talk.first_received = rig.tcp.receive.delivered
        self.turns = compiled_for(turns, rig.ring, self.talk, 0, TURNS)

    def send(self, orders: int) -> None:
        self.talk.to_send += orders * ORDER_BYTES

    def received(self) -> int:
        self.turns(self.rig.ring, self.talk, time.time_ns(), TURNS)
        if self.talk.bad or self.talk.ends:
            sys.exit(f"bench tcp-options: {self.rig.describe(self.talk)}")
        return int(self.talk.received)


def trade(client: Client, gateway: socket.socket, orders: int) -> list[int]:
    """Send the orders and answer them; ns from when each was to leave until its report was there."""
    gateway.setblocking(False)
    begun = time.perf_counter()
    due, latencies = [], []
    taken = answered = 0  # bytes
    last = begun
    while len(latencies) < orders:
        now = time.perf_counter()
        while len(due) < orders and now >= begun + len(due) // BURST * PERIOD_S:
            due += [begun + len(due) // BURST * PERIOD_S] * BURST
            client.send(BURST)
        try:
            taken += len(gateway.recv(1 << 16))
        except BlockingIOError:
            time.sleep(IDLE_S)
        waiting = taken // ORDER_BYTES * REPORT_BYTES - answered
        if waiting > 0:
            with suppress(BlockingIOError):  # the gateway's own congestion window is shut
                answered += gateway.send(bytes(waiting))
        done = client.received() // REPORT_BYTES
        now = time.perf_counter()
        while len(latencies) < done:
            latencies.append(round((now - due[len(latencies)]) * 1e9))
            last = now
        if now - last > PATIENCE_S:
            sys.exit(f"bench tcp-options: nothing more in {PATIENCE_S} s after {len(latencies)} reports")
    return latencies


def switch(network: Testbed, on: tuple[str, ...]) -> None:
    """Set the options of both ends' kernels."""
    for namespace in (network.engine, network.exchange):
        with in_namespace(namespace):
            for name in SWITCHES:
                Path(f"/proc/sys/net/ipv4/{name}").write_text(f"{int(name in on)}\n")


@contextmanager
def linux_pair(network: Testbed) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection between both ends: client, gateway."""
    with ExitStack() as closing:
        with in_namespace(network.exchange):
            server = closing.enter_context(socket.create_server((network.links[0].exchange_ip, 0)))
        with in_namespace(network.engine):
            client = closing.enter_context(socket.create_connection(server.getsockname()))
        gateway, _ = server.accept()
        closing.enter_context(gateway)
        for each in (client, gateway):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        yield client, gateway


def sent_again(end: socket.socket) -> int:
    """Segments that a kernel sent more than once (struct tcp_info, tcpi_total_retrans)."""
    return int(struct.unpack_from("=I", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0])


def measure(network: Testbed, name: str, share: float, reports_share: float, orders: int) -> dict[str, float]:
    """One variant at one rate: percentiles in ms; of 100 orders, those late by LATE_MS, and segments sent again."""
    if name == "crosswire":
        switch(network, SWITCHES)  # the gateway's: it offers all, and we take what we have
        rates = FaultRates(drop_ppm=round(reports_share * MILLION))
        with Rig(network, receive=rates, seed=random.randrange(1 << 30)) as rig:
            rig.connect()
            assert rig.peer is not None
            lose(rig.peer, share)
            latencies = trade(OwnClient(rig, orders), rig.peer, orders)
            again = rig.tcp.counters.retransmits + sent_again(rig.peer)
    else:
        switch(network, VARIANTS[name])
        with linux_pair(network) as (client, gateway):
            lose(client, reports_share)
            lose(gateway, share)
            latencies = trade(LinuxClient(client), gateway, orders)
            again = sent_again(client) + sent_again(gateway)
    late = sum(each > LATE_MS * NS_PER_MS for each in latencies)
    counts = {"late": 100 * late / orders, "sent again": 100 * again / orders}
    return {key: ns / NS_PER_MS for key, ns in percentiles(latencies).items()} | counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench tcp-options", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-way", action="store_true", help="lose orders, and acknowledgements of reports, only")
    parser.add_argument("--only", nargs="+", choices=("crosswire", *VARIANTS))
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 1, 3, 10], help="percent lost each way")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench tcp-options: needs root: it makes network namespaces")
    run_first_in_first_out(FIFO_PRIORITY)  # it sleeps most of the time, and must not be late for others' sake
    orders = -(-options.orders // BURST) * BURST
    results: dict[str, dict[str, dict[str, float]]] = {}
    with Testbed(f"cwt{os.getpid() % 100_000}") as network:
        with in_namespace(network.exchange):
            setting = Path("/proc/sys/net/ipv4/tcp_rto_max_ms")
            if setting.exists():
                setting.write_text("1000")
        for rate in options.rates:
            for name in options.only or ("crosswire", *VARIANTS):
                shares = (rate / 100, 0 if options.one_way else rate / 100)
                rounds = [measure(network, name, *shares, orders) for _ in range(options.rounds)]
                middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
                results.setdefault(f"{rate:g} %", {})[name] = middle
    table = Table(title=f"order to report, ms, {orders:,} orders; of 100 orders, late by 1 ms, and segments sent again")
    columns = (*COLUMNS, "late", "sent again")
    for column in ("lost", "client", *columns):
        table.add_column(column, justify="right" if column in columns else "left")
    for lost, rows in results.items():
        for name, figures in rows.items():
            table.add_row(lost, name, *(f"{figures[column]:,.2f}" for column in columns))
        table.add_section()
    Console(width=120).print(table)
    print(json.dumps({"name": "tcp-options", "orders": orders, "results": results}))


if __name__ == "__main__":
    main()
