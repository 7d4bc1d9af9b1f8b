"""Faults on a ring: the same for the same seed, at the rates asked for, nothing lost that is not counted."""

import os
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crosswire.nic.rings.fault
from crosswire.nic.memory.made import inner_classes
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.fault import (
    HELD_FRAME_BYTES,
    HELD_FRAMES_MAX,
    QUIET_CALLS_MAX,
    FaultRates,
    FaultRing,
    fault_ring_over,
    make_fault_ring,
)
from crosswire.nic.rings.ring import NEVER_NS, Frame, flush, next_time_ns
from crosswire.nic.rings.shared import SharedMemory
from tests.support.ring_cases import BATCH_FRAMES_MAX, make_batch, receive_all, send_all, take, uncompiled

FRAMES = 250  # twice that fits the wire below
ALL = 1_000_000


def wire() -> DelayRing:
    ring = DelayRing()
    set_delay_ring(ring, 0)
    return ring


def frames(count: int = FRAMES, length: int = 64) -> list[bytes]:
    return [number.to_bytes(4, "big") * (length // 4) for number in range(count)]


def drain(ring: Any, jit: bool = True) -> list[bytes]:
    """Everything, what is held back included."""
    batch = make_batch()
    for turn in range(3 * QUIET_CALLS_MAX):
        (take if jit else uncompiled(take))(ring, Frame(), 1 + turn, batch, BATCH_FRAMES_MAX)
    return batch.frames()


def received(
    seed: int, jit: bool = True, sent: list[bytes] | None = None, **rates: int
) -> tuple[list[bytes], FaultRing]:
    inner = wire()
    ring = make_fault_ring(inner, seed, receive=FaultRates(**rates))
    send_all(inner, frames() if sent is None else sent, 1)
    return drain(ring, jit), ring


def transmitted(seed: int, **rates: int) -> tuple[list[bytes], FaultRing]:
    inner = wire()
    ring = make_fault_ring(inner, seed, transmit=FaultRates(**rates))
    assert send_all(ring, frames(), 1) == FRAMES
    for _ in range(QUIET_CALLS_MAX):
        flush(ring)
    return receive_all(inner, 1), ring


MIXED = {
    "drop_ppm": 100_000,
    "duplicate_ppm": 100_000,
    "reorder_ppm": 100_000,
    "corrupt_ppm": 100_000,
    "truncate_ppm": 100_000,
    "reorder_frames": 3,
}


def test_the_seed_decides() -> None:
    first, ring = received(1, **MIXED)
    assert received(1, **MIXED)[0] == first
    assert received(1, jit=False, **MIXED)[0] == first
    assert received(2, **MIXED)[0] != first
    counters = ring.receive.counters
    for name in ("dropped", "duplicated", "reordered", "corrupted", "truncated"):
        assert 5 < getattr(counters, name) < 60, name
    assert len(first) == FRAMES - counters.dropped + counters.duplicated
    assert ring.counters.drops == counters.dropped
    assert ring.counters.frames == len(first)
    assert ring.counters.bytes == sum(map(len, first))


def test_directions_have_draws_of_their_own() -> None:
    lost = [set(frames()) - set(way(7, drop_ppm=200_000)[0]) for way in (received, transmitted)]
    assert lost[0] != lost[1]
    assert all(25 < len(each) < 80 for each in lost)


def test_one_rate_changes_no_other_fault() -> None:
    alone = set(frames()) - set(received(3, drop_ppm=100_000)[0])
    together = set(frames()) - set(received(3, drop_ppm=100_000, reorder_ppm=300_000, reorder_frames=2)[0])
    assert alone == together != set()


@pytest.mark.parametrize("way", [received, transmitted])
def test_drop_all_and_duplicate_all(way: Any) -> None:
    got, ring = way(1, drop_ppm=ALL)
    assert got == []
    assert ring.counters.drops == FRAMES
    assert way(1, duplicate_ppm=ALL)[0] == [frame for frame in frames() for _ in range(2)]


@pytest.mark.parametrize("way", [received, transmitted])
def test_reordered_frames_come_later_and_all_come(way: Any) -> None:
    got, ring = way(5, reorder_ppm=50_000, reorder_frames=3)
    reordered = (ring.receive if way is received else ring.transmit).counters.reordered
    assert got != frames()
    assert sorted(got) == frames()
    overtaken = [frame for index, frame in enumerate(got) if any(frame < before for before in got[:index])]
    assert reordered > 3
    assert reordered - 3 <= len(overtaken) <= reordered  # the last ones have none behind them
    places = {frame: index for index, frame in enumerate(got)}
    assert max(abs(places[frame] - index) for index, frame in enumerate(frames())) <= 3 + HELD_FRAMES_MAX


@pytest.mark.parametrize("way", [received, transmitted])
def test_corrupt_flips_one_bit(way: Any) -> None:
    got, ring = way(5, corrupt_ppm=ALL)
    assert len(got) == FRAMES
    places = Counter()  # type: Counter[int]
    for before, after in zip(frames(), got, strict=True):
        difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
        assert difference.bit_count() == 1
        places[difference.bit_length() // 128] += 1
    assert len(places) >= 4
    assert (ring.receive if way is received else ring.transmit).counters.corrupted == FRAMES


@pytest.mark.parametrize("way", [received, transmitted])
def test_truncate_shortens(way: Any) -> None:
    got, _ = way(5, truncate_ppm=ALL)
    assert all(before.startswith(after) and 14 <= len(after) < 64 for before, after in zip(frames(), got, strict=True))


def test_corruption_spares_the_bytes_of_the_ring_inside() -> None:
    inner = wire()
    ring = make_fault_ring(inner, 1, receive=FaultRates(corrupt_ppm=ALL))
    send_all(inner, [b"x" * 64], 1)
    assert receive_all(ring, 1) != [b"x" * 64]
    assert bytes(inner.frames[0].data)[:64] == b"x" * 64


def test_a_last_frame_held_back_comes_out() -> None:
    inner = wire()
    ring = make_fault_ring(inner, 1, receive=FaultRates(reorder_ppm=ALL, reorder_frames=5))
    send_all(inner, frames(3), 1)
    assert receive_all(ring, 1) == []
    assert next_time_ns(ring) <= 1  # at once: nothing else will come
    assert drain(ring) == frames(3)
    assert next_time_ns(ring) == NEVER_NS


def test_lengths_that_a_fault_can_not_touch() -> None:
    got, ring = received(1, sent=[b"", b"y" * 14], truncate_ppm=ALL, duplicate_ppm=ALL)
    assert got == [b"", b"y" * 14, b"y" * 14]
    assert ring.receive.counters.truncated == 0
    with SharedMemory(f"crosswire-test-{os.getpid()}-long", create=True, frames=4, frame_bytes=4096) as memory:
        every = FaultRates(reorder_ppm=ALL, duplicate_ppm=ALL, corrupt_ppm=ALL, reorder_frames=2)
        ring = make_fault_ring(memory.end(0), 1, receive=every)
        send_all(memory.end(1), [b"z" * (HELD_FRAME_BYTES + 1)], 1)
        assert drain(ring) == [b"z" * (HELD_FRAME_BYTES + 1)]


@given(
    st.integers(-(2**70), 2**70),
    st.fixed_dictionaries({name: st.integers(0, ALL) for name in MIXED if name.endswith("ppm")}),
    st.integers(0, 20),
)
def test_no_frame_goes_uncounted(seed: int, rates: dict[str, int], far: int) -> None:
    sent = frames(60)
    for jit in (True, False):
        got, ring = received(seed, jit, sent, **rates, reorder_frames=far)
        counters = ring.receive.counters
        assert counters.frames == 60
        assert len(got) == 60 - counters.dropped + counters.duplicated
        assert ring.receive.held_count == 0


def test_rates_are_checked() -> None:
    with pytest.raises(ValueError, match="drop_ppm: 1000001, must be 0 to 1000000"):
        make_fault_ring(wire(), 1, receive=FaultRates(drop_ppm=ALL + 1))


def test_classes_are_made_once_and_found_by_name() -> None:
    cls = fault_ring_over(DelayRing)
    assert fault_ring_over(DelayRing) is cls
    twice = fault_ring_over(cls)
    assert pickle.loads(pickle.dumps(twice)) is twice
    data = pickle.dumps(twice)
    name = twice.__qualname__
    delattr(crosswire.nic.rings.fault, name)
    again = pickle.loads(data)  # as in a process that has yet to make it
    assert again.__qualname__ == name
    assert inner_classes(name) == (cls,)
    with pytest.raises(AttributeError):
        _ = crosswire.nic.rings.fault.absent  # type: ignore[attr-defined]
