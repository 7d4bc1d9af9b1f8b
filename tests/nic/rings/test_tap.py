"""Goal: what passes a tapped ring is in the tap, in order, or counted as lost, and the ring never notices."""

import ctypes

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
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.rings.tap import Direction, drain_tap, make_tap

FRAMES = st.lists(st.binary(min_size=1, max_size=200), max_size=60)


def tapped(capacity=1 << 16, market_only=False):
    wire = DelayRing()
    set_delay_ring(wire, 0)
    return make_tap(wire, capacity, market_only=market_only)


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


def test_a_tap_for_market_data_has_nothing_of_an_order_session():
    tap = tapped(market_only=True)
    room = array(u8, TCP_FRAME_HEADER_BYTES + 8)
    write_tcp_frame_header(room.address, Flow(), 0)
    logon = ctypes.string_at(room.address, seal_tcp_frame(room.address, 8, 0, 0, 0))
    write_udp_frame_header(room.address, Flow(), 8)
    market = ctypes.string_at(room.address, UDP_FRAME_HEADER_BYTES + 8)
    for number, data in enumerate((logon, market)):
        send(tap, data, number)
        receive(tap, number)
    assert [tuple(each) for each in drain_tap(tap)] == [(1, Direction.RECEIVED, market)]
    assert (tap.frames, tap.lost) == (1, 0)
