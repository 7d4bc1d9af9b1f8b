"""Beds of DPDK ports for the ring conformance suite: a ring in memory, and an AF_PACKET device on a veth pair."""

import os
import socket
from pathlib import Path
from typing import ClassVar

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.rings.dpdk.abi import Libraries
from crosswire.nic.rings.dpdk.dpdk import DpdkPort
from tests.support.ring_cases import Bed, Network, NetworkBed, add_bed, add_network_bed, receive_all, send_all


def needs_dpdk() -> None:
    """Skip without DPDK's libraries; in CI, which installs them, that is a failure."""
    try:
        Libraries()
    except HostError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must install DPDK: {error}")
        pytest.skip(str(error))


class DpdkRingBed(Bed):
    """DPDK's ring in memory, whose far end is its near end."""

    half_duplex = True
    in_process = True
    receive_capacity = 64
    transmit_capacity = 128  # twice the descriptors: that many buffers there are
    overflow_frames = 200
    counts_refusals = False

    def __init__(self, _folder: Path) -> None:
        needs_dpdk()
        super().__init__()
        self.port = DpdkPort("net_ring0", frames=64, transmit_frames=64, huge="off")
        self.ring = self.port.ring
        self.refused = 0

    def peer_send(self, frames: list[bytes]) -> int:
        sent = send_all(self.ring, frames, self.now_ns)
        self.refused += len(frames) - sent
        return sent

    def peer_receive(self) -> list[bytes]:
        return receive_all(self.ring, self.now_ns)

    def lost(self) -> int:
        self.port.statistics()
        return super().lost() + self.refused

    def close(self) -> None:
        self.port.close()


def hold_port(namespace: str, ip: str, port: int) -> socket.socket:
    """A UDP socket that has the port, and is never read."""
    with in_namespace(namespace):
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind((ip, port))
    return holder


class DpdkPacketBed(NetworkBed):
    """DPDK's AF_PACKET device on the engine's interface, with 64 frames in the kernel."""

    receive_capacity = 64
    overflow_frames = 150
    arguments: ClassVar[str] = "framecnt=64,qdisc_bypass=1"

    def __init__(self, _folder: Path) -> None:
        needs_dpdk()
        super().__init__()
        interface = self.link.engine_interface
        with in_namespace(self.engine_namespace):
            self.port = DpdkPort(f"net_af_packet0,iface={interface},{self.arguments}", frames=64, huge="off")
        self.ring = self.port.ring
        # Ports that nobody has would make the kernels at both ends answer "unreachable", and the ring gets all frames.
        self.holders = [
            hold_port(self.engine_namespace, self.link.engine_ip, self.inward.destination_port),
            hold_port(Network.up().exchange, self.link.exchange_ip, self.inward.source_port),
        ]

    def lost(self) -> int:
        self.port.statistics()
        return super().lost()

    def close(self) -> None:
        self.port.close()
        for holder in self.holders:
            holder.close()
        super().close()


add_bed("dpdk ring", DpdkRingBed)
add_network_bed("dpdk af_packet", DpdkPacketBed)
