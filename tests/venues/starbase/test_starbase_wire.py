"""Orders to a simulated Starbase over our own TCP: logon to logout, bad wires, gateways that die."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.rings.connection import connection_of
from crosswire.nic.rings.fault import FaultRates
from crosswire.venues.order import (
    OrderState,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.starbase.exchange.state import session_number
from crosswire.venues.starbase.orders.state import Refusal
from tests.support.net import lossy_testbed
from tests.support.starbase_exchange_client import KEYS
from tests.support.starbase_wire import pack_frame
from tests.support.starbase_wire_setup import (
    GATEWAY_PORT,
    MEMBER,
    MS,
    Client,
    InMemory,
    S,
    Venue,
    make_driver,
)
from tests.support.wire_remarks import needs_tshark, read_segments, recorded, unexplained

pytestmark = [pytest.mark.starbase, pytest.mark.tcp]

BACKOFF = {"backoff_min_ns": 20 * MS, "backoff_max_ns": 500 * MS}
KILLS = 20
BAD_WIRE_ORDERS = {0.1: 4_000, 1.0: 10_000, 10.0: 1_000}  # by percent; at 10 % a retransmission timer a few orders


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with lossy_testbed("sw") as network:
        yield network


def shown(capture: Path, *more: str) -> list[str]:
    """What tshark prints of it, checksums verified."""
    command = ["tshark", "-r", str(capture), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", *more]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.netns
def test_logon_to_logout_leaves_nothing_to_remark(testbed: Testbed, tmp_path: Path) -> None:
    """Logon, orders, fills as taker and maker, cancels, amends, logout, FIN; tshark finds fault with nothing.

    Where our loop stood still for so long that the kernel's timer fired, its copy and our ACK of it are no fault.
    """
    needs_tshark()
    capture = tmp_path / "clean.pcapng"
    driver = make_driver(1, 500, interval_ns=200_000)
    try:
        with Venue(testbed) as venue, Client(testbed, venue, driver, tail_probe_floor_ns=S) as client:
            with recorded(testbed, capture):
                client.start()
                assert client.sent(500), client.describe()
                client.settle()
                client.finish()
            sent = [client.ring.connections[gateway].tcp.counters.segments for gateway in range(2)]
        assert driver.fills > driver.maker_fills > 0
        assert min(driver.bumped, driver.converted, driver.amended, driver.ended[OrderState.REJECTED]) > 0
        assert driver.lost == driver.not_sent == 0
        assert len(shown(capture, "-Y", "tcp.len > 0 && tcp.dstport >= 9000 && tcp.dstport <= 9001")) == sum(sent)
        assert len(shown(capture, "-Y", "tcp.flags.fin == 1")) == 4
        odd = "tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.flags.reset == 1 || _ws.malformed"
        assert shown(capture, "-Y", odd) == []
        segments = read_segments(capture)
        assert len(segments) == len(shown(capture, "-Y", "tcp"))
        assert unexplained(segments, testbed.links[0].exchange_ip) == []
    finally:
        capture.unlink(missing_ok=True)


def rates(percent: float) -> FaultRates:
    ppm = int(percent * 10_000)
    return FaultRates(drop_ppm=ppm, duplicate_ppm=ppm, reorder_ppm=ppm, corrupt_ppm=ppm, reorder_frames=3)


@pytest.mark.netns
@pytest.mark.parametrize("percent", BAD_WIRE_ORDERS)
def test_bad_wire(testbed: Testbed, percent: float) -> None:
    """Frames lost, copied, reordered, corrupted both ways: each order arrives once, each fill is counted once."""
    orders = int(os.environ.get("CROSSWIRE_FAULT_ORDERS", BAD_WIRE_ORDERS[percent]))
    driver = make_driver(int(percent * 10), orders)
    faults = {"receive": rates(percent), "transmit": rates(percent), "seed": int(percent * 10)}
    with Venue(testbed) as venue, Client(testbed, venue, driver, **faults, **BACKOFF) as client:
        client.start()
        begun = time.monotonic()
        assert client.run_until(lambda: client.session.orders_sent >= orders, 400), client.describe()
        client.settle()
        seconds = time.monotonic() - begun
        counters = client.ring.connections[0].tcp.counters
        print(
            f"\n{percent} %: {orders} orders in {seconds:.1f} s, {orders / seconds:.0f} a second; "
            f"{driver.fills} fills, {counters.retransmits} retransmits ({counters.timeouts} by timeout, "
            f"{counters.fast_retransmits} fast, {counters.tail_probes} probes), losses "
            f"{[link.losses for link in client.session.links]}, lost {driver.lost}, "
            f"faults {client.faults.transmit.counters} {client.faults.receive.counters}"
        )
        assert driver.fills > orders // 10
        assert client.faults.transmit.counters.dropped > 0
        assert client.faults.receive.counters.corrupted > 0


@pytest.mark.netns
@pytest.mark.parametrize("percent", [0.0, 1.0])
def test_gateways_are_killed(testbed: Testbed, percent: float) -> None:
    """Again and again, with orders in flight: what was lost is known, what was said is heard, and books are equal."""
    random = Random(4)
    driver = make_driver(5, 1_000_000, interval_ns=50_000)
    faults = {"receive": rates(percent), "transmit": rates(percent)}
    with Venue(testbed) as venue, Client(testbed, venue, driver, **faults, **BACKOFF) as client:
        client.start()
        begun = time.monotonic()
        for number in range(KILLS):
            client.run_for(random.uniform(0.02, 0.1))
            gateway = random.choice((0, 0, 1))
            logons = client.session.links[gateway].logons
            client.wait_for(venue.kill(gateway))
            assert client.run_until(
                lambda gateway=gateway, logons=logons: (
                    client.session.links[gateway].logons > logons and client.is_ready(0) and client.is_ready(1)
                )
            ), client.describe()
            if number % 4 == 3:
                client.run_for(0.05)
                client.settle()
                client.resume()
        client.settle()
        print(
            f"\n{KILLS} kills in {time.monotonic() - begun:.1f} s: {client.session.orders_sent} orders sent, "
            f"{driver.lost} lost, {client.exchange.gateways.resent} messages resent"
        )
        assert driver.lost > 0
        assert client.exchange.gateways.resent > 0
        client.finish()


@pytest.mark.netns
def test_one_gateway_is_gone_for_a_while(testbed: Testbed) -> None:
    """A dies: orders go on over B; A comes back: orders go over A."""
    driver = make_driver(6, 1_000_000, open_max=500, interval_ns=200_000)
    with Venue(testbed) as venue, Client(testbed, venue, driver, **BACKOFF) as client:
        client.start()
        assert client.sent(100)
        client.wait_for(venue.kill(0, is_back=False))
        assert client.run_until(lambda: not client.is_ready(0))
        sent = client.session.orders_sent
        over_b = client.session.links[1].stream.send_sequence
        client.run_for(0.3)
        assert client.session.state == SessionState.READY
        assert client.session.orders_sent > sent + 100, client.describe()
        assert client.session.links[1].stream.send_sequence > over_b + 100
        venue.come_back(0)
        assert client.run_until(lambda: client.is_ready(0)), client.describe()
        over_b = client.session.links[1].stream.send_sequence
        client.run_for(0.1)
        assert client.session.links[1].stream.send_sequence < over_b + 50
        client.settle()
        assert {each.session for each in venue.exchange.matching.orders} >= {session_number(0, 0)}
        client.finish()


@pytest.mark.netns
def test_displaced(testbed: Testbed) -> None:
    """Somebody logs on with our key: we are logged out there, stay out, and our orders there are cancelled."""
    # Room for more orders than can be in flight at A when it goes: they have no end while it stays away.
    driver = make_driver(7, 1_000_000, open_max=1_000, interval_ns=200_000)
    with Venue(testbed) as venue, Client(testbed, venue, driver, **BACKOFF) as client:
        client.start()
        assert client.sent(200)
        assert client.run_until(lambda: driver.table[0].count > 3)
        with in_namespace(testbed.engine):
            other = socket.create_connection((testbed.links[0].exchange_ip, GATEWAY_PORT), 5)
        with other:
            logon = {
                "clientId": KEYS[0].client_id.encode(), "secret": KEYS[0].secret, "schemaVersion": 17,
                "resetSeqNum": 1,
            }  # fmt: skip
            other.sendall(pack_frame("Logon", logon, sequence=1, time_ns=time.time_ns()))
            link = client.session.links[0]
            assert client.run_until(lambda: link.refusal == Refusal.LOGGED_OUT), client.describe()
            sent = client.session.orders_sent
            client.run_for(1.0)
            assert (link.state, connection_of(client.ring, 0), link.logons) == (SessionState.LOST, 0, 1)
            assert client.session.state == SessionState.READY
            assert client.session.orders_sent > sent
        gateways = venue.exchange.gateways
        assert gateways.sessions[session_number(0, 0)].displaced == 1
        orders = venue.exchange.matching.orders.numpy(1 << 14)
        rest = orders[(orders["place"] != 0) & (orders["member"] == MEMBER)]
        assert set(rest["session"].tolist()) <= {session_number(0, 1)}


@pytest.mark.netns
def test_exchange_falls_silent(testbed: Testbed) -> None:
    """For more than two heartbeat intervals: the session is given up, opened anew, and recovers."""
    driver = make_driver(8, 1_000_000, interval_ns=1_000_000)
    with Venue(testbed, heartbeat_s=1) as venue, Client(testbed, venue, driver, **BACKOFF) as client:
        client.start()
        assert client.sent(100)
        silence = venue.freeze(2.6)
        links = list(client.session.links)
        assert client.run_until(lambda: all(link.losses == 1 for link in links)), client.describe()
        assert not silence.done()
        client.wait_for(silence)
        assert client.run_until(lambda: client.is_ready(0) and client.is_ready(1)), client.describe()
        sent = client.session.orders_sent
        assert client.sent(sent + 50)
        client.settle()
        assert all(link.logons == 2 for link in links)
        client.finish()


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 30), kills=st.lists(st.tuples(st.integers(10, 3000), st.integers(0, 1)), max_size=8))
def test_killed_in_memory(seed: int, kills: list[tuple[int, int]]) -> None:
    """The same without a wire, in virtual time: gateways die at any moment."""
    trader = InMemory(make_driver(seed, 400, interval_ns=20_000), seed % 1000)
    for after_us, gateway in kills:
        trader.slice(after_us * 1000)
        trader.kill(gateway)
    trader.run_until(lambda: trader.session.orders_sent >= 400, 20)
    trader.settle()
