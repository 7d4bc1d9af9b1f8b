"""A venue's market data rings from its configuration: each gives the same packets, of the sources that it names."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Literal

import pytest

from crosswire.engine.config import ConfigError, LiveVenueConfig, VenueConfig
from crosswire.engine.live.rings import open_market, parse_group
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.nic.rings.receive_times import Source
from tests.support.net import own_testbed
from tests.support.ring_cases import driver_of
from tests.support.ring_cases_dpdk import needs_dpdk

pytestmark = pytest.mark.netns

GROUP = "239.1.1.1"
PORT = 6200
SOURCE, SECOND_SOURCE, STRANGER = "10.98.0.2", "10.98.0.3", "10.98.0.4"

RingName = Literal["af_xdp", "af_packet", "sockets", "dpdk"]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with own_testbed("rg") as network:
        interface = network.links[0].exchange_interface
        for address in (SECOND_SOURCE, STRANGER):
            add = ["ip", "-n", network.exchange, "address", "add", f"{address}/24", "dev", interface]
            subprocess.run(add, check=True, timeout=10)
        yield network


def venue_of(testbed: Testbed, ring: RingName, groups: list[str], **options: Any) -> VenueConfig:
    unused: Any = None
    live = LiveVenueConfig(
        ring=ring, interface=testbed.links[0].engine_interface, groups=groups, gateway="10.98.0.2:9000", **options
    )
    return VenueConfig(name="x", feed="bridge", captures=[], instrument=[], limits=unused, simulation=unused, live=live)


def payloads_from(
    testbed: Testbed, venue: VenueConfig, sent: list[tuple[str, bytes]]
) -> tuple[list[bytes], list[bytes]]:
    """What of (source, payload) the venue's ring got, and what an ordinary socket that joined the group for all got."""
    assert venue.live is not None
    groups = [parse_group(text, "groups") for text in venue.live.groups]
    with ExitStack() as closing:
        with in_namespace(testbed.engine):
            market, _ = open_market(venue, groups, closing)
            kernel = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kernel.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton(GROUP) + socket.inet_aton(testbed.links[0].engine_ip),
        )
        kernel.bind((GROUP, PORT))
        kernel.setblocking(False)
        for source, payload in sent:
            with in_namespace(testbed.exchange), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as publisher:
                publisher.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
                publisher.bind((source, 0))
                publisher.sendto(payload, (GROUP, PORT))
        driver = driver_of(market.ring, True)
        # Before the clock runs: the first call compiles.
        by_ring = [frame[UDP_FRAME_HEADER_BYTES:] for frame in driver.receive_all()]
        by_kernel: list[bytes] = []
        give_up = quiet_until = time.monotonic() + 5
        while time.monotonic() < min(give_up, quiet_until):
            before = len(by_ring) + len(by_kernel)
            by_ring += [frame[UDP_FRAME_HEADER_BYTES:] for frame in driver.receive_all()]
            with suppress(BlockingIOError):
                by_kernel.append(kernel.recv(100))
            if len(by_ring) + len(by_kernel) > max(before, len(sent) - 1):
                quiet_until = time.monotonic() + 0.05
        return by_ring, by_kernel


RINGS: list[tuple[RingName, dict[str, Any]]] = [
    ("af_xdp", {"require": "generic"}),
    ("af_xdp", {"require": "native"}),
    ("af_packet", {}),
    ("sockets", {}),
    ("dpdk", {}),
]


@pytest.mark.parametrize(("ring", "options"), RINGS, ids=["generic", "native", "af_packet", "sockets", "dpdk"])
def test_every_ring_filters_by_source(testbed: Testbed, ring: RingName, options: dict[str, Any]) -> None:
    if ring == "dpdk":
        needs_dpdk()
        options = {"device": f"net_af_packet7,iface={testbed.links[0].engine_interface}"}
    sources = (SOURCE, STRANGER, SECOND_SOURCE)
    sent = [(source, f"{source} {number}".encode()) for number in range(5) for source in sources]
    for named in ([SOURCE], [SOURCE, SECOND_SOURCE], []):
        groups = [f"{source}@{GROUP}:{PORT}" for source in named] or [f"{GROUP}:{PORT}"]
        got, by_kernel = payloads_from(testbed, venue_of(testbed, ring, groups, **options), sent)
        wanted = [payload for source, payload in sent if source in (named or sources)]
        if ring == "sockets":  # its sockets are asked in turn
            assert sorted(got) == sorted(wanted)
        else:
            assert got == wanted
        if ring == "af_xdp":  # what is not wanted goes to the kernel, as if nobody were there
            assert by_kernel == [payload for _, payload in sent if payload not in wanted]
        else:
            assert by_kernel == [payload for _, payload in sent]


@pytest.mark.parametrize("ring", ["af_packet", "sockets"])
def test_frames_have_the_kernels_times_where_that_is_configured(testbed: Testbed, ring: RingName) -> None:
    venue = venue_of(testbed, ring, [f"{SOURCE}@{GROUP}:{PORT}"], timestamps="software")
    with in_namespace(testbed.engine), ExitStack() as closing:
        assert venue.live is not None
        market, obtained = open_market(venue, [parse_group(text, "groups") for text in venue.live.groups], closing)
        assert obtained == ring
        assert market.ring.times.source == Source.KERNEL


@pytest.mark.parametrize("ring", ["af_packet", "sockets"])
def test_a_card_that_does_not_stamp_is_refused(testbed: Testbed, ring: RingName) -> None:
    venue = venue_of(testbed, ring, [f"{SOURCE}@{GROUP}:{PORT}"], timestamps="hardware")
    with in_namespace(testbed.engine), ExitStack() as closing:
        assert venue.live is not None
        with pytest.raises(HostError, match=f'{venue.live.interface}: hardware timestamps: no clock.*to "software"'):
            open_market(venue, [parse_group(text, "groups") for text in venue.live.groups], closing)


def test_a_ring_that_the_kernel_does_not_stamp_is_refused(testbed: Testbed) -> None:
    venue = venue_of(testbed, "af_xdp", [f"{SOURCE}@{GROUP}:{PORT}"], require="generic", timestamps="software")
    with in_namespace(testbed.engine), ExitStack() as closing:
        assert venue.live is not None
        with pytest.raises(ConfigError, match='timestamps = "software": af_xdp takes frames before the kernel'):
            open_market(venue, [parse_group(text, "groups") for text in venue.live.groups], closing)
