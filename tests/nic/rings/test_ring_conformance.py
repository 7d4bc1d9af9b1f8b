"""The ring contract as numbered cases that every backend must pass, driven by compiled code and by plain Python."""

import ctypes
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tests.support.ring_cases_dpdk  # noqa: F401 - enters its beds
from crosswire.nic.rings.ring import NEVER_NS, Frame, commit, flush, is_quiet, next_time_ns, poll, release, reserve
from tests.support.net import needs_root
from tests.support.ring_cases import (
    BEDS,
    FRAME_BYTES_MAX,
    FRAME_BYTES_MIN,
    KERNEL_BEDS,
    NETNS_BEDS,
    PAYLOAD_BYTES_MIN,
    WAIT_S,
    Bed,
    Driver,
    Network,
    payload_of,
)

NAMES = [pytest.param(name, marks=pytest.mark.netns) if name in NETNS_BEDS else name for name in BEDS]
IN_PROCESS = [name for name in BEDS if name not in NETNS_BEDS | KERNEL_BEDS]
ROUNDS = 10  # times its own size that frames go through a ring


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    yield
    Network.down()


@pytest.fixture(params=NAMES)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    if request.param in NETNS_BEDS:
        needs_root()
    with BEDS[request.param](tmp_path) as bed:
        yield bed


@pytest.fixture(params=["compiled", "python"])
def driver(request: pytest.FixtureRequest, bed: Bed) -> Driver:
    return Driver(bed, request.param == "compiled")


@pytest.fixture
def sender(driver: Driver) -> Driver:
    if driver.bed.receive_only:
        pytest.skip("receive only")
    return driver


def payload(number: int, length: int = 100) -> bytes:
    """Bytes that differ by number and by place."""
    pattern = (number * 7919 + 1).to_bytes(8, "little")
    return bytes((pattern[place & 7] + place * 31) & 0xFF for place in range(length))


def inward(bed: Bed, count: int, first: int = 0, length: int = 100) -> list[bytes]:
    return [bed.framed(payload(number, length)) for number in range(first, first + count)]


def outward(bed: Bed, count: int, first: int = 0, length: int = 100) -> list[bytes]:
    return [bed.framed(payload(number, length), inward=False) for number in range(first, first + count)]


def payload_bytes(frames: list[bytes]) -> int:
    return sum(len(payload_of(frame)) for frame in frames)


def arrived(driver: Driver, sent: list[bytes]) -> list[bytes]:
    """What the ring gives of frames that were sent, as far as they can be compared."""
    bed = driver.bed
    if bed.bounded_frames:
        return bed.seen(driver.receive(len(sent)))
    return bed.seen(driver.receive_bytes(payload_bytes(sent)))


def at_peer(driver: Driver, sent: list[bytes]) -> list[bytes]:
    """What the peer gets of frames that the ring sent."""
    return driver.bed.seen(driver.peer_receive(payload_bytes(sent)))


def test_rc_01_an_empty_ring_gives_nothing_and_counts_that(driver: Driver) -> None:
    """RC-01: poll of an empty ring is False and counts an empty poll; no frame is counted."""
    bed = driver.bed
    assert driver.receive_all() == []
    before = bed.ring.counters.empty_polls
    assert driver.take(bed.ring, driver.frame, bed.now_ns, driver.received, 1) == 0
    assert bed.ring.counters.empty_polls == before + 1 >= 1
    assert (bed.ring.counters.frames, bed.ring.counters.bytes) == (0, 0)


def test_rc_02_received_bytes_and_order(driver: Driver) -> None:
    """RC-02: frames are received in the order sent, every byte as sent."""
    sent = inward(driver.bed, 32)
    assert driver.bed.peer_send(sent) == 32
    assert arrived(driver, sent) == driver.bed.seen(sent)
    assert driver.receive_all() == []


def test_rc_03_received_lengths(driver: Driver) -> None:
    """RC-03: the smallest and largest frame of Ethernet, odd lengths and those around a cache line arrive whole."""
    lengths = [FRAME_BYTES_MIN, 61, 63, 64, 65, 127, 128, 129, 591, 1024, 1513, FRAME_BYTES_MAX]
    sizes = [length - FRAME_BYTES_MIN + PAYLOAD_BYTES_MIN for length in lengths]
    sent = [
        driver.bed.framed(payload(number, min(size, driver.bed.payload_bytes_max))) for number, size in enumerate(sizes)
    ]
    driver.bed.peer_send(sent)
    assert arrived(driver, sent) == driver.bed.seen(sent)


def test_rc_04_times_do_not_run_backwards(driver: Driver) -> None:
    """RC-04: every frame has a time, none earlier than the frame's before."""
    sent = inward(driver.bed, 16)
    driver.bed.peer_send(sent)
    arrived(driver, sent)
    assert driver.received.count >= 1
    assert driver.received.backward == 0
    assert driver.received.last_time_ns > 0


def test_rc_05_release_makes_room(driver: Driver) -> None:
    """RC-05: many times the ring's size goes through it, in chunks of what it holds, without a loss."""
    bed = driver.bed
    chunk = max(1, min(bed.receive_capacity, 256) * 3 // 4)
    for turn in range(max(3, ROUNDS * bed.receive_capacity // chunk if bed.in_process else ROUNDS)):
        sent = inward(bed, chunk, turn * chunk, 64)
        assert bed.peer_send(sent) == chunk
        assert arrived(driver, sent) == bed.seen(sent)
    assert bed.lost() == 0


def test_rc_06_bytes_stay_until_release(driver: Driver) -> None:
    """RC-06: a polled frame's address and bytes do not change while the peer sends more; release takes it alone."""
    bed = driver.bed
    first, later = inward(bed, 1), inward(bed, 8, 1)
    bed.peer_send(first)
    frame = driver.frame
    for _ in range(200_000):
        if poll(bed.ring, frame, bed.now_ns):
            break
        bed.advance()
    ring = bed.ring
    address, before = frame.address, ctypes.string_at(frame.address, frame.length)
    bed.peer_send(later)
    assert frame.address == address
    assert ctypes.string_at(address, len(before)) == before
    release(ring)
    assert bed.seen([before]) == bed.seen(first)
    assert arrived(driver, later) == bed.seen(later)


def test_rc_07_counters_add_up(driver: Driver) -> None:
    """RC-07: `frames` and `bytes` are those that poll gave."""
    sent = inward(driver.bed, 20, length=333)
    driver.bed.peer_send(sent)
    arrived(driver, sent)
    counters = driver.bed.ring.counters
    assert counters.frames == driver.received.count
    assert counters.bytes == driver.received.bytes
    if driver.bed.bounded_frames:
        assert counters.frames == 20
    assert driver.bed.lost() == 0


def test_rc_08_overflow_is_counted(driver: Driver) -> None:
    """RC-08: of more than fits, what arrives is whole and in order, sent = received + drops, and it works again."""
    bed = driver.bed
    if not bed.overflow_frames:
        pytest.skip("no bound to overflow")
    sent = inward(bed, bed.overflow_frames)
    bed.peer_send(sent)
    got = bed.seen(driver.receive_all())
    assert 0 < len(got) < len(sent)
    left = iter(bed.seen(sent))
    assert all(frame in left for frame in got)  # in order: each is searched for after the last
    assert len(got) + bed.lost() == len(sent)
    again = inward(bed, 8, 10_000)
    bed.peer_send(again)
    assert arrived(driver, again) == bed.seen(again)


def test_rc_09_transmitted_bytes_and_order(sender: Driver) -> None:
    """RC-09: committed frames, of all lengths, reach the peer in order, every byte as written."""
    bed = sender.bed
    lengths = [PAYLOAD_BYTES_MIN, 19, 21, 22, 23, 85, 549, min(1471, bed.payload_bytes_max), bed.payload_bytes_max]
    sent = [bed.framed(payload(number, length), inward=False) for number, length in enumerate(lengths)]
    assert sender.send(sent) == len(sent)
    assert at_peer(sender, sent) == bed.seen(sent)


def test_rc_10_several_commits_before_one_flush(sender: Driver) -> None:
    """RC-10: frames committed one after another are all sent by one flush."""
    sent = outward(sender.bed, 16)
    assert sender.send(sent, flush_each=False) == 16
    assert at_peer(sender, sent) == sender.bed.seen(sent)


def test_rc_11_a_full_ring_refuses_and_recovers(sender: Driver) -> None:
    """RC-11: reserve gives 0 when the ring is full and counts a drop; once drained it takes frames again."""
    bed = sender.bed
    if not bed.transmit_capacity:
        pytest.skip("no bound of its own")
    room = bed.transmit_capacity
    sent = outward(bed, room + 5, length=64)
    drops = bed.ring.counters.drops
    assert sender.send(sent, flush_each=False) == room
    assert bed.ring.counters.drops == drops + (1 if bed.counts_refusals else 0)
    assert at_peer(sender, sent[:room]) == bed.seen(sent[:room])
    again = outward(bed, room, 10_000, 64)
    assert sender.send(again, flush_each=False) == room
    assert at_peer(sender, again) == bed.seen(again)


def test_rc_12_a_frame_too_long_finds_no_slot(sender: Driver) -> None:
    """RC-12: reserve of more than a slot holds gives 0, and the ring goes on."""
    assert reserve(sender.bed.ring, 1 << 20) == 0
    sent = outward(sender.bed, 3)
    assert sender.send(sent) == 3
    assert at_peer(sender, sent) == sender.bed.seen(sent)


def test_rc_13_reserve_alone_sends_nothing_and_costs_nothing(sender: Driver) -> None:
    """RC-13: a slot that is reserved and never committed is neither sent nor lost."""
    bed = sender.bed
    for _ in range(3 * max(bed.transmit_capacity, 64)):
        assert reserve(bed.ring, 200) != 0
    flush(bed.ring)
    sent = outward(bed, 4)
    assert sender.send(sent) == 4
    assert at_peer(sender, sent) == bed.seen(sent)
    assert bed.peer_receive() == []


def test_rc_14_next_time(driver: Driver) -> None:
    """RC-14: a live ring may have something at any time (0); a simulated one names the time of its next frame."""
    bed = driver.bed
    if bed.live:
        assert next_time_ns(bed.ring) == 0
        bed.peer_send(inward(bed, 1))
        assert next_time_ns(bed.ring) == 0
        return
    driver.receive_all()
    assert next_time_ns(bed.ring) == NEVER_NS
    sent = inward(bed, 1)
    bed.peer_send(sent)
    if next_time_ns(bed.ring) < 0:  # only Python can read on
        bed.advance()
    due_ns = next_time_ns(bed.ring)
    assert 0 < due_ns < NEVER_NS
    assert not poll(bed.ring, driver.frame, due_ns - 1)
    assert poll(bed.ring, driver.frame, due_ns)
    assert driver.frame.time_ns == due_ns
    release(bed.ring)
    assert next_time_ns(bed.ring) == NEVER_NS


def test_rc_15_both_directions_interleaved(sender: Driver) -> None:
    """RC-15: receiving and sending by turns, a frame polled while another is sent: neither disturbs the other."""
    bed = sender.bed
    if bed.half_duplex:
        pytest.skip("one wire for both")
    got: list[bytes] = []
    gone: list[bytes] = []
    sent_in, sent_out = inward(bed, 30), outward(bed, 30, 500)
    for there, back in zip(sent_in, sent_out, strict=True):
        bed.peer_send([there])
        for _ in range(200_000):
            if poll(bed.ring, sender.frame, bed.now_ns):
                break
            bed.advance()
        assert sender.send([back]) == 1
        got.append(ctypes.string_at(sender.frame.address, sender.frame.length))
        release(bed.ring)
        gone += at_peer(sender, [back])
    assert bed.seen(got) == bed.seen(sent_in)
    assert (gone if bed.bounded_frames else [b"".join(gone)]) == bed.seen(sent_out)


def test_rc_16_flush_of_nothing(sender: Driver) -> None:
    """RC-16: flush with nothing committed sends nothing, any number of times."""
    for _ in range(10):
        flush(sender.bed.ring)
    assert sender.bed.peer_receive() == []
    sent = outward(sender.bed, 2)
    assert sender.send(sent) == 2
    assert at_peer(sender, sent) == sender.bed.seen(sent)


@pytest.mark.parametrize("name", IN_PROCESS)
def test_rc_17_compiled_and_plain_python_agree(name: str, tmp_path: Path) -> None:
    """RC-17: the same work done by compiled code and by the interpreter leaves the same frames and counters."""
    results = []
    for jit in (True, False):
        folder = tmp_path / str(jit)
        folder.mkdir()
        with BEDS[name](folder) as bed:
            driver = Driver(bed, jit)
            got = driver.receive_all()
            for turn in range(4):
                bed.peer_send(inward(bed, 20, 20 * turn, 70 + turn))
                got += driver.receive(7)
                got += driver.receive_all()
                if not bed.receive_only:
                    driver.send(outward(bed, 10, turn))
                    got += bed.peer_receive()
            results.append((got, bytes(bed.ring.counters)))
    assert results[0] == results[1]
    assert len(results[0][0]) >= 80


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("peer sends"), st.integers(1, 40)),
        st.tuples(st.just("ring receives"), st.integers(1, 40)),
        st.tuples(st.just("ring sends"), st.integers(1, 40)),
        st.tuples(st.just("peer receives"), st.just(0)),
        st.tuples(st.just("ring reserves"), st.integers(1, 3)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("name", [name for name in IN_PROCESS if "shared" in name])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=OPERATIONS, jit=st.booleans())
def test_rc_18_against_a_queue(name: str, tmp_path: Path, operations: list[tuple[str, int]], jit: bool) -> None:
    """RC-18: under any sequence of operations the ring is two bounded queues, one for each direction."""
    with BEDS[name](tmp_path) as bed:
        driver = Driver(bed, jit)
        to_ring: deque[bytes] = deque()
        to_peer: deque[bytes] = deque()
        number = 0
        for operation, count in operations:
            frames = (inward if operation == "peer sends" else outward)(bed, count, number, 30 + number % 50)
            number += count
            if operation == "peer sends":
                room = bed.receive_capacity - len(to_ring)
                assert bed.peer_send(frames) == min(count, room)
                to_ring += frames[:room]
            elif operation == "ring sends":
                room = bed.transmit_capacity - len(to_peer)
                assert driver.send(frames) == min(count, room)
                to_peer += frames[:room]
            elif operation == "ring receives":
                expected = [to_ring.popleft() for _ in range(min(count, len(to_ring)))]
                assert driver.receive(count) == expected
            elif operation == "peer receives":
                assert bed.peer_receive() == list(to_peer)
                to_peer.clear()
            else:
                full = len(to_peer) == bed.transmit_capacity
                assert (reserve(bed.ring, 100) == 0) == full


def test_rc_19_one_frame_at_a_time(driver: Driver) -> None:
    """RC-19: with one frame sent and taken at a time nothing is left over, and an empty poll lies between."""
    bed = driver.bed
    for number in range(20):
        sent = inward(bed, 1, number)
        bed.peer_send(sent)
        assert arrived(driver, sent) == bed.seen(sent)
        assert not poll(bed.ring, Frame(), bed.now_ns)


def test_rc_20_the_shortest_commit(sender: Driver) -> None:
    """RC-20: less may be committed than was reserved; only that is sent."""
    bed = sender.bed
    sent = outward(bed, 1, length=PAYLOAD_BYTES_MIN)
    address = reserve(bed.ring, len(bed.framed(payload(0, bed.payload_bytes_max))))
    assert address != 0
    ctypes.memmove(address, sent[0], len(sent[0]))
    commit(bed.ring, len(sent[0]), bed.now_ns)
    flush(bed.ring)
    assert at_peer(sender, sent) == bed.seen(sent)


def ends(is_so: Callable[[], bool], patience_s: float = WAIT_S) -> bool:
    """Wait until something is no longer so; False if it still is after `patience_s`."""
    deadline_s = time.monotonic() + patience_s
    while is_so():
        if time.monotonic() > deadline_s:
            return False
    return True


def test_rc_21_a_quiet_ring_has_no_frame(driver: Driver) -> None:
    """RC-21: a ring is quiet when all is taken, once around it and more, and not from when a frame is there."""
    bed = driver.bed
    driver.receive_all()
    assert driver.is_quiet() == bed.shows_frames
    if not bed.shows_frames:
        return
    for number in range(2 * bed.receive_capacity + 3):
        assert driver.is_quiet()
        assert not poll(bed.ring, driver.frame, bed.now_ns)
        # The watch is the one that was looked at before the frame came, as the loop's is.
        bed.peer_send(inward(bed, 1, number))
        assert ends(lambda: is_quiet(driver.watch, bed.now_ns))
        assert not driver.is_quiet()
        assert poll(bed.ring, driver.frame, bed.now_ns)
        assert not driver.is_quiet()  # until it is given back
        release(bed.ring)


def test_rc_22_a_ring_is_not_quiet_before_its_last_frame_is_taken(driver: Driver) -> None:
    """RC-22: of several frames each one shows when those before it are taken."""
    bed = driver.bed
    driver.receive_all()
    if not bed.shows_frames:
        assert not driver.is_quiet()
        return
    for turn in range(10):
        sent = inward(bed, 7, 10 * turn)
        bed.peer_send(sent)
        for left in range(len(sent), 0, -1):
            assert ends(driver.is_quiet, 0.0 if bed.in_process else WAIT_S), f"{left} frames are left"
            assert poll(bed.ring, driver.frame, bed.now_ns)
            release(bed.ring)
        assert driver.is_quiet()
