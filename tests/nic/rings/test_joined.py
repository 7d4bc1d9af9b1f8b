"""Several rings as one: fair turns, answers first, each frame released where it came from."""

import ctypes
import pickle
from typing import Any

import pytest

import crosswire.nic.rings.joined
from crosswire.nic.memory.made import inner_classes
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.fault import fault_ring_over, make_fault_ring
from crosswire.nic.rings.joined import LINES_MAX, ORDERS_IN_A_ROW_MAX, joined_ring_over, make_joined_ring
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release, reserve
from tests.support.ring_cases import make_batch, receive_all, send_all, take, uncompiled


def wire(latency_ns: int = 0) -> DelayRing:
    ring = DelayRing()
    set_delay_ring(ring, latency_ns)
    return ring


def numbered(line: int, count: int) -> list[bytes]:
    return [bytes([line, number]) * 30 for number in range(count)]


def taken(ring: Any, jit: bool) -> list[tuple[int, int]]:
    """(line, number) of all frames."""
    batch = make_batch()
    (take if jit else uncompiled(take))(ring, Frame(), 1, batch, 10_000)
    return [(frame[0], frame[1]) for frame in batch.frames()]


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("lines", range(LINES_MAX + 1))
def test_lines_take_turns(lines: int, jit: bool) -> None:
    rings = tuple(wire() for _ in range(lines))
    ring = make_joined_ring(wire(), rings)
    for line, each in enumerate(rings):
        send_all(each, numbered(line, 20 + line), 1)
    got = taken(ring, jit)
    assert got[: 20 * lines] == [(line, number) for number in range(20) for line in range(lines)]
    assert len(got) == sum(20 + line for line in range(lines))
    assert all(each.received == each.sent for each in rings)
    assert ring.counters.frames == len(got)
    assert ring.counters.bytes == 60 * len(got)
    assert ring.counters.empty_polls == 1


@pytest.mark.parametrize("jit", [True, False])
def test_answers_come_first_but_starve_nobody(jit: bool) -> None:
    orders, line = wire(), wire()
    ring = make_joined_ring(orders, (line,))
    send_all(line, numbered(0, 5), 1)
    send_all(orders, numbered(9, 100), 1)
    got = taken(ring, jit)
    assert got[:ORDERS_IN_A_ROW_MAX] == [(9, number) for number in range(ORDERS_IN_A_ROW_MAX)]
    assert [place for place, (source, _) in enumerate(got) if source == 0] == [
        ORDERS_IN_A_ROW_MAX + number * (ORDERS_IN_A_ROW_MAX + 1) for number in range(5)
    ]
    assert [number for source, number in got if source == 9] == list(range(100))


def test_a_busy_line_does_not_delay_answers_by_more_than_a_frame() -> None:
    orders, busy, quiet = wire(), wire(), wire()
    ring, frame = make_joined_ring(orders, (busy, quiet)), Frame()
    send_all(busy, numbered(0, 200), 1)
    for turn in range(20):
        send_all(quiet if turn % 2 else orders, numbered(5, 1), 1)
        sources = []
        for _ in range(2):
            assert poll(ring, frame, 1)
            sources.append(ctypes.string_at(frame.address, 1))
            release(ring)
        assert b"\x05" in sources


def test_orders_go_out_on_their_own_ring_and_drops_are_summed() -> None:
    orders, lines = wire(), (wire(), wire())
    ring = make_joined_ring(orders, lines)
    assert send_all(ring, numbered(1, 3), 1) == 3
    assert orders.sent == 3
    assert receive_all(orders, 1) == numbered(1, 3)
    assert reserve(ring, 1 << 20) == 0
    for each in lines:
        reserve(each, 1 << 20)
        each.counters.wakeups = 2
    receive_all(ring, 1)
    assert (ring.counters.drops, ring.counters.wakeups) == (3, 4)


def test_next_time_is_the_earliest() -> None:
    orders, lines = wire(700), (wire(300), wire(500))
    ring = make_joined_ring(orders, lines)
    assert next_time_ns(ring) == NEVER_NS
    send_all(orders, [b"a" * 60], 1000)
    assert next_time_ns(ring) == 1700
    send_all(lines[1], [b"b" * 60], 1000)
    assert next_time_ns(ring) == 1500
    send_all(lines[0], [b"c" * 60], 1000)
    assert next_time_ns(ring) == 1300


def test_rings_of_different_classes() -> None:
    plain, faulty = wire(), wire()
    ring = make_joined_ring(wire(), (plain, make_fault_ring(faulty, 1)))
    send_all(plain, numbered(0, 3), 1)
    send_all(faulty, numbered(1, 3), 1)
    assert taken(ring, True) == [(line, number) for number in range(3) for line in range(2)]


def test_classes_are_made_once_and_found_by_name() -> None:
    faulty = fault_ring_over(joined_ring_over(DelayRing, (DelayRing, DelayRing)))
    cls = joined_ring_over(DelayRing, (faulty, DelayRing))
    assert joined_ring_over(DelayRing, (faulty, DelayRing)) is cls
    assert inner_classes(cls.__qualname__) == (DelayRing, faulty, DelayRing)
    data = pickle.dumps(cls)
    assert pickle.loads(data) is cls
    delattr(crosswire.nic.rings.joined, cls.__qualname__)
    assert pickle.loads(data).__qualname__ == cls.__qualname__


def test_a_line_has_at_most_four_rings() -> None:
    with pytest.raises(ValueError, match="5 receive rings"):
        joined_ring_over(DelayRing, (DelayRing,) * 5)
