"""`crosswire bench order-entry` measures what it says: the engine and the C program send the same orders."""

import numpy as np
import pytest

from crosswire.nic.memory.raw import load_u32_acquire
from crosswire.nic.memory.struct import view
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.venues.starbase.wire.order_codes import WireSide, WireTimeInForce
from crosswire.venues.starbase.wire.order_layout import FrameHeader, NewOrderRequest
from tests.bench.order_entry import Bench, figures_of, parse_options
from tests.bench.order_entry_bed import SLOTS, deliver, give_back, make_bed, slot_to_fill, take_sent
from tests.bench.order_entry_c import load_library, why_not
from tests.bench.order_entry_peer import ORDER_FRAME_BYTES, last_order
from tests.bench.order_entry_rig import CRig, OurRig
from tests.bench.order_entry_stamps import LEGS, VENUES

TRIGGERS = 60
ORDERS = 40
# What may differ: sequence numbers, times and ids, and the checksums over them.
FREE = (
    range(24, 26), range(34, 46), range(48, 52),  # IP checksum; ports, numbers; window, TCP checksum
    *(range(TCP_FRAME_HEADER_BYTES + start, TCP_FRAME_HEADER_BYTES + end) for start, end in ((8, 32), (32, 48))),
)  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if why_not():
        pytest.skip(why_not())
    return load_library(tmp_path_factory.mktemp("order_entry"))


def fixed(frame: bytes) -> bytes:
    return bytes(byte for place, byte in enumerate(frame) if not any(place in part for part in FREE))


def test_the_bed_gives_back_what_it_takes():
    bed = make_bed()
    for _ in range(SLOTS):
        assert slot_to_fill(bed) != 0
        deliver(bed, 60)
    assert slot_to_fill(bed) == 0
    assert load_u32_acquire(bed.receive_producer.address) == SLOTS
    assert take_sent(bed) == 0
    bed.transmit.items[0].address, bed.transmit.items[0].length = 4096, 77
    bed.transmit_producer.value = 1
    assert take_sent(bed) == bed.umem + 4096
    assert bed.sent_length == 77
    give_back(bed)
    assert (bed.completion_producer.value, bed.completion.items[0]) == (1, 4096)


def test_each_send_is_one_order_frame_with_right_checksums(library):
    ours = OurRig(0)
    cycles, sent = ours.send(1, ORDERS)
    assert (sent, ours.peer_problems(ORDERS)) == (ORDERS, [])
    assert (cycles > 0).all()
    frame = last_order(ours.script.peers[0])
    assert len(frame) == ORDER_FRAME_BYTES
    theirs = CRig(library, frame[TCP_FRAME_HEADER_BYTES:], 0)
    cycles, sent = theirs.send(1, ORDERS)
    assert (sent, theirs.peer_problems(ORDERS)) == (ORDERS, [])
    assert (cycles > 0).all()
    other = last_order(theirs.script.peers[0])
    theirs.close()
    assert fixed(frame) == fixed(other)
    # The ids are chosen by the bench here, so they agree, too.
    ids = slice(TCP_FRAME_HEADER_BYTES + 32, TCP_FRAME_HEADER_BYTES + 48)
    assert frame[ids] == other[ids]


def test_every_trigger_is_measured_and_both_send_the_same_orders(library):
    ours = OurRig(TRIGGERS)
    ours.run()
    assert ours.problems() == []
    message = last_order(ours.script.peers[0])[TCP_FRAME_HEADER_BYTES:]
    theirs = CRig(library, message, TRIGGERS)
    theirs.run()
    assert theirs.problems() == []
    for number in range(VENUES):
        frames = [last_order(rig.script.peers[number]) for rig in (ours, theirs)]
        assert fixed(frames[0]) == fixed(frames[1])
        request = view(NewOrderRequest, ours.script.peers[number].last_order.address + 54 + FrameHeader.size)
        assert (request.time_in_force, abs(request.side)) == (WireTimeInForce.IOC, WireSide.BUY)
    figures = theirs.engine.figures()
    positions = [ours.core.engine.seats[0].desk.positions[number].position_lots for number in range(VENUES)]
    assert positions == [figures["first_position"], figures["second_position"]]
    for rig in (ours, theirs):
        assert (rig.script.latencies.numpy() > 0).all()
        assert sum(peer.orders for peer in rig.script.peers) == LEGS * TRIGGERS
    theirs.close()


def test_figures_leave_out_the_first_tenth():
    rig = OurRig(0)
    rig.clock.calibrations[0].rate = 1 << 26
    found = figures_of(np.array([10_000] * 10 + list(range(1, 91))), rig)
    assert (found["p50"], found["p90"], found["p99"]) == (45, 81, 90)


def test_options_are_those_of_the_document():
    options = parse_options(["--orders", "80", "--triggers", "20", "--rounds", "1", "--no-c"])
    assert not options.with_c
    assert Bench(options, None).libraries == {}
