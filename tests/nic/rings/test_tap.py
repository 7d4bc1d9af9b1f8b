"""Goal: what passes a tapped ring is in the tap, in order, or counted as lost, and the ring never notices."""

import ctypes
import os

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    TCP_FRAME_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    seal_tcp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.ring import Frame, Watch, commit, flush, is_quiet, poll, release, reserve
from crosswire.nic.rings.shared import SharedMemory
from crosswire.nic.rings.tap import (
    Direction,
    Note,
    PcapRecords,
    drain_tap,
    make_tap,
    read_note,
    show_sent,
    take_records,
)
from tests.support.ring_cases import look_ahead

FRAMES = st.lists(st.binary(min_size=1, max_size=200), max_size=60)


def tapped(capacity=1 << 16, tells_orders=False):
    wire = DelayRing()
    set_delay_ring(wire, 0)
    return make_tap(wire, capacity, tells_orders=tells_orders)


def send(tap, data, time_ns):
    slot = reserve(tap, len(data))
    assert slot != 0
    ctypes.memmove(slot, data, len(data))
    commit(tap, len(data), time_ns)
    flush(tap)


def receive(tap, now_ns):
    frame = Frame()
    assert poll(tap, frame, now_ns)
    data = ctypes.string_at(frame.address, frame.length)
    release(tap)
    return data


@given(FRAMES, st.integers(min_value=1, max_value=9))
def test_all_that_passes_is_in_the_tap(frames, drain_every):
    tap = tapped(1024)
    seen = []
    for number, data in enumerate(frames):
        send(tap, data, number)
        assert receive(tap, number) == data
        if number % drain_every == 0:
            seen += drain_tap(tap)
    seen += drain_tap(tap)
    assert tap.frames == 2 * len(frames) == len(seen) + tap.lost
    if drain_every == 1:
        assert tap.lost == 0
    if tap.lost == 0:
        wanted = [
            (number, direction, data)
            for number, data in enumerate(frames)
            for direction in (Direction.SENT, Direction.RECEIVED)
        ]
        assert [tuple(each) for each in seen] == wanted


def test_a_full_tap_loses_its_own_copy_only():
    tap = tapped(256)
    for number in range(20):
        send(tap, bytes([number]) * 50, number)
        assert receive(tap, number) == bytes([number]) * 50
    kept = list(drain_tap(tap))
    assert tap.lost > 0
    assert len(kept) + tap.lost == 40
    send(tap, b"again", 99)
    assert [each.data for each in drain_tap(tap)] == [b"again"]


def frames_of_both():
    """Make a segment of the order session and a packet of market data."""
    room = array(u8, TCP_FRAME_HEADER_BYTES + 8)
    write_tcp_frame_header(room.address, Flow(), 0)
    segment = ctypes.string_at(room.address, seal_tcp_frame(room.address, 8, 0, 0, 0))
    write_udp_frame_header(room.address, Flow(), 8)
    return segment, ctypes.string_at(room.address, UDP_FRAME_HEADER_BYTES + 8)


def test_a_tap_that_tells_orders_keeps_no_frame_that_may_hold_a_secret():
    tap = tapped(tells_orders=True)
    logon, market = frames_of_both()
    order = logon[:-1] + b"o"
    send(tap, logon, 0)
    show_sent(tap, 1)
    send(tap, order, 1)
    show_sent(tap, 0)
    send(tap, logon, 2)
    send(tap, market, 3)
    for number in range(4):
        receive(tap, 4 + number)
    kept = list(drain_tap(tap))
    assert [each.data for each in kept if each.direction == Direction.SENT] == [order]
    received = [each.data for each in kept if each.direction == Direction.RECEIVED]
    assert received == [logon, order, logon, market]
    places = [read_note(each.data) for each in kept if each.direction == Direction.NOTE]
    assert places == [(Note.PLACE, place, place) for place in range(3)]


def test_what_a_tap_had_no_room_for_is_noted_by_its_place():
    tap = tapped(1024, tells_orders=True)
    _, market = frames_of_both()
    for number in range(40):
        send(tap, market, number)
        receive(tap, number)
    first = len(list(drain_tap(tap)))
    assert 0 < first < 40
    for number in range(40, 42):
        send(tap, market, number)
        receive(tap, number)
    kept = list(drain_tap(tap))
    assert read_note(kept[0].data) == (Note.LOST, first, 40)
    assert [each.data for each in kept[1:]] == [market, market]


def test_records_go_apart():
    tap = tapped(tells_orders=True)
    segment, market = frames_of_both()
    for number, data in enumerate((market, segment, market)):
        send(tap, data, number)
        receive(tap, number)
    records, orders = PcapRecords(), PcapRecords()
    assert take_records(tap, records, orders) == 4
    assert (records.frames, orders.frames) == (2, 2)


def test_a_tapped_ring_is_quiet_when_the_ring_inside_is():
    with SharedMemory(f"crosswire-test-tap-{os.getpid()}", create=True, frames=4) as memory:
        tap, peer, watch = make_tap(memory.end(0), 1 << 16), memory.end(1), Watch()
        for number in range(10):
            assert look_ahead(tap, watch, 0) == 1
            send(peer, b"frame", number)
            assert not is_quiet(watch, 0)
            assert receive(tap, number) == b"frame"
    wire = tapped()
    assert look_ahead(wire, watch, 0) == 0
