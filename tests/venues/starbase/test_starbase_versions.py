"""Versions of the schemas after those that we know: what was appended is stepped over, and said once."""

import io
import random
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from crosswire.engine.live.live import LostSessions
from crosswire.engine.live.steady import SteadyConsole
from crosswire.venues.session import SessionState, write_mass_cancel
from crosswire.venues.side import BUY
from crosswire.venues.starbase.adapter import ADAPTER
from crosswire.venues.starbase.orders.state import Refusal
from crosswire.venues.starbase.wire import encoder, market_layout, order_layout
from crosswire.venues.starbase.wire.stream import FrameFault
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_feed_setup import Receiver, Venue, snapshot
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    GTC,
    NULL,
    QUEUED,
    Bench,
    fill,
    placed,
    quantity,
    response,
    result,
    ticks,
)
from tests.support.starbase_wire import GROUP, HEADER, market_layouts, order_layouts

pytestmark = pytest.mark.starbase
LISTED = 22  # the version of order entry that the venue lists


def test_the_versions_that_we_know() -> None:
    assert (order_layout.VERSION, market_layout.VERSION) == (17, 1)


def grown(data: bytes, root_more: bytes, entry_more: bytes, version: int = LISTED) -> bytes:
    """A frame as a later version would have it: bytes appended to its root block and to each entry of its groups."""
    _, flags, length, template, _, *numbers = HEADER.unpack_from(data)
    message = order_layouts().by_template()[template]
    position = HEADER.size + message.size
    body = data[HEADER.size : position] + root_more
    for _ in message.groups:
        stride, count = GROUP.unpack_from(data, position)
        position += GROUP.size
        body += GROUP.pack(stride + len(entry_more), count)
        for _ in range(count):
            body += data[position : position + stride] + entry_more
            position += stride
    body += data[position:length]
    head = HEADER.pack(0xDB, flags, HEADER.size + len(body), template, version, *numbers)
    return head + body + bytes(-len(head + body) % 8)


def everything(bench: Bench) -> list[bytes]:
    """One frame of every kind that we read, but for those of the logon's own."""
    gateway = bench.gateway
    first, second, third = (bench.new(BUY, GTC, 101, 20) for _ in range(3))
    bench.quote((0, 90, 110, 3), (1, 80, 120, 3))
    ids = {"clientOrderId": first, "orderId": 9001, "instrumentId": FIRST_VENUE_ID}
    made = ids | {
        "matchId": 7,
        "side": 1,
        **ticks("price", 101),
        **quantity("fillQty", 5),
        **quantity("totalFilled", 9),
    }
    sizes = quantity("quantity", 20) | quantity("totalFilled", 9)
    frame = gateway.frame
    return [
        frame("NewOrderResponse", response(first, ACTIVE, 20, 4), {"fills": [fill(1, 101, 3), fill(2, 101, 1)]}),
        frame("NewOrderResponse", response(second, QUEUED, 20)),
        frame("NewOrderReject", ids | {"clientOrderId": third, "reason": 8}, texts=(b"it would take",)),
        frame("OrderFilled", {}, {"fills": [made]}),
        frame("OrderPlaced", placed(second, CANCELED, 20, 2, reason=2), {"fills": [fill(3, 101, 2)]}),
        frame("AmendOrderResponse", placed(first, ACTIVE, 20, 10), {"fills": [fill(4, 101, 1)]}),
        frame("AmendOrderReject", ids | {"reason": 34}, texts=(b"",)),
        frame("CancelOrderReject", ids | {"correlationId": first, "reason": 8}, texts=(b"x",)),
        frame("MassQuoteResponse", {"quoteId": 1}, {
            "quotes": [result(0, (71, 3), (72, 8), (90, 110, 3)), result(1, (73, 3), (74, 3), (80, 120, 3))],
            "bidFills": [{"instrumentId": FIRST_VENUE_ID, **fill(5, 90, 1)}],
        }),
        frame("MassQuoteOrdersPlaced", {}, {
            "orders": [{"orderId": 72, "instrumentId": FIRST_VENUE_ID, "side": -1, "status": ACTIVE}],
            "fills": [{"orderId": 72, **fill(6, 110, 1)}],
        }),
        frame("OrdersCanceled", {"flags": 1}, {"orders": [
            {"orderId": one, "instrumentId": FIRST_VENUE_ID, "cancelReason": 4, "flags": 1} for one in (71, 72)
        ]}),
        frame("CancelOrderResponse", ids | sizes),
        frame("MassQuoteReject", {"quoteId": 9, "reason": 6}, texts=(b"rate",)),
        frame("MassCancelResponse", {"correlationId": 1, "totalOrderCount": 2}),
        frame("MassCancelReject", {"correlationId": 1, "reason": 0}, texts=(b"why",)),
        frame("MassQuoteMmpTriggered", {"frozenUntil": 5}),
        frame("OrdersMmpTriggered", {"frozenUntil": 6}),
        frame("MassQuoteMmpUnfrozen", {"correlationId": NULL}),
        frame("OrdersMmpUnfrozen", {"correlationId": NULL}),
        frame("GetMassQuoteMmpStatusResponse"),
        frame("GetMassQuoteMmpStatusReject"),
        frame("GetOrdersMmpStatusResponse"),
        frame("GetOrdersMmpStatusReject"),
        frame("Heartbeat", {"correlationId": 3}),
        frame("TestRequest", {"correlationId": 4}),
        frame("ResendRequest", {"fromSequenceNumber": 2}),
        frame("Reject", {"refSequenceNumber": 1, "reason": 4}, texts=(b"bad",)),
        frame("GapFill", {"newSequenceNumber": gateway.sent_sequence + 5}),
    ]  # fmt: skip


def state_of(bench: Bench) -> tuple[Any, ...]:
    session, link = bench.session, bench.session.links[0]
    counts = [
        getattr(session, name) for name in ("unknown", "bad_frames", "mass_cancels_done", "mmp_triggered", "keep_due")
    ]
    return (*counts, link.state, link.stream.receive_sequence, link.gap_fill_from, link.answer_correlation_id,
            list(link.rejects), list(link.stream.faults))  # fmt: skip


@pytest.mark.parametrize("root_bytes", [0, 1, 2, 8, 13, 64])
@pytest.mark.parametrize("entry_bytes", [0, 4, 9])
@pytest.mark.parametrize("kind", ["zeros", "ones", "random"])
def test_longer_root_blocks_and_entries_are_stepped_over(root_bytes: int, entry_bytes: int, kind: str) -> None:
    draw = random.Random(f"{root_bytes} {entry_bytes}")
    content = {"zeros": bytes, "ones": lambda count: b"\1" * count, "random": draw.randbytes}[kind]
    plain, later = Bench(), Bench()
    plain.log_on()
    later.log_on()
    pairs = list(zip(everything(plain), everything(later), strict=True))
    known = {message.template for message in order_layouts().messages.values() if not message.name.endswith("Request")}
    assert {HEADER.unpack_from(data)[3] for data, _ in pairs} >= known - {1, 2, 4, 5, 9999}
    for data, same in pairs:
        more = grown(same, content(root_bytes), content(entry_bytes))
        assert later.hear(more) == plain.hear(data), order_layouts().by_template()[HEADER.unpack_from(data)[3]].name
    assert state_of(later) == state_of(plain)
    assert later.session.links[0].state == SessionState.READY
    assert (plain.session.links[0].version_read, later.session.links[0].version_read) == (17, LISTED)


@pytest.mark.parametrize("root_more", [b"", bytes(2), bytes(8)])
def test_logon_and_goodbye_may_be_longer_too(root_more: bytes) -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    bench.hear(grown(bench.conf(bench.gateway, heartbeat_s=7, schema=LISTED), root_more, b""))
    link = bench.session.links[0]
    assert (link.state, link.schema_version) == (SessionState.READY, LISTED)
    assert link.heartbeat_interval_ns == 7_000_000_000
    bench.hear(grown(bench.gateway.frame("LoggedOut", texts=(b"displaced",)), root_more, b""))
    assert bytes(link.reason)[: link.reason_length] == b"displaced"


def test_groups_that_can_not_be_found_end_the_link(bench: Bench) -> None:
    """Nothing is guessed: a fill read from the wrong place would be booked."""
    order_id = bench.new(BUY, GTC, 101, 20)
    frame = grown(
        bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 3), {"fills": [fill(1, 101, 3)]}),
        bytes(65), b"",
    )  # fmt: skip
    heard = bench.hear(frame)
    assert not any(report["qty_lots"] for report in heard)
    link = bench.session.links[0]
    assert (link.refusal, link.stream.faults[FrameFault.BAD_GROUP]) == (Refusal.BAD_FRAME, 1)


def test_a_root_block_that_could_be_of_two_lengths_is_not_believed(bench: Bench) -> None:
    """One group alone: its header, told twice, ends with the message both times."""
    entry = {"clientOrderId": 1, "orderId": 2, "instrumentId": FIRST_VENUE_ID}
    data = bench.gateway.frame("OrdersCanceled", {}, {"orders": [entry]})
    first = GROUP.pack(35 + 4, 1)  # an entry of 39 bytes, of which 4 are the other header
    assert bench.hear(grown(data, first, b"")) == []
    assert bench.session.links[0].refusal == Refusal.BAD_FRAME


def test_a_higher_version_is_said_once() -> None:
    bench = Bench(links=2)
    notices = ADAPTER.order_entries["starbase"].notices
    bench.session.started = 1
    bench.keep()
    for gateway, schema in zip(bench.gateways, (LISTED, 17), strict=True):
        bench.hear(bench.conf(gateway, schema=schema), gateway)
    assert bench.session.state == SessionState.READY
    [notice] = notices(bench.session)
    assert notice == (
        "gateway A speaks version 22 of the order schema, we know 17: fields that came later are stepped over"
    )
    assert ADAPTER.order_entries["starbase"].explain(bench.session) == ""
    out = io.StringIO()
    venue: Any = SimpleNamespace(name="deribit", order_entry=ADAPTER.order_entries["starbase"])
    engine = SimpleNamespace(venues=[SimpleNamespace(is_lost=0, losses=0)])
    run: Any = SimpleNamespace(
        parts=[SimpleNamespace(session=bench.session)], config=SimpleNamespace(venue=[venue]), engine=engine
    )
    lost = LostSessions(run, SteadyConsole(Console(file=out, width=200)))
    for _ in range(3):
        lost.tell()
    assert out.getvalue() == f"deribit: {notice}\n"
    write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.hear(bench.gateway.frame("MassCancelReject", {"correlationId": 1}))
    for _ in range(3):
        lost.tell()
    assert out.getvalue().splitlines()[1:] == [
        "deribit: gateway A refused a mass cancel, which is sent again until it does not"
    ]


def grown_packet(data: bytes, root_more: bytes, entry_more: bytes) -> bytes:
    """A packet of market data as a later version would have it."""
    position, body = 24, b""
    while position < len(data):
        length, template, _, flags, time_ns = struct.unpack_from("<HHHHq", data, position)
        message = market_layouts().by_template()[template]
        inner = position + 16 + message.size
        made = data[position + 16 : inner] + root_more
        for _ in message.groups:
            stride, count = GROUP.unpack_from(data, inner)
            inner += GROUP.size
            made += GROUP.pack(stride + len(entry_more), count)
            for _ in range(count):
                made += data[inner : inner + stride] + entry_more
                inner += stride
        made += bytes(-len(made) % 8)
        body += struct.pack("<HHHHq", 16 + len(made), template, 2, flags, time_ns) + made
        position += length
    return data[:24] + body


@pytest.mark.parametrize("root_bytes", [0, 1, 8, 11, 64])
@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_longer_market_data_builds_the_same_books(root_bytes: int, kind: str) -> None:
    draw = random.Random(root_bytes)
    content = draw.randbytes if kind == "random" else bytes
    venue = Venue(7)
    plain, later = Receiver(), Receiver()

    def both(packets: list[bytes]) -> None:
        for packet in packets:
            assert later.receive(grown_packet(packet, content(root_bytes), content(5))) == plain.receive(packet)

    both([venue.heartbeat()])
    for _ in range(4):
        both(venue.incremental.write([venue.transaction() for _ in range(60)], lambda: True))
        rows = [snapshot(index, venue.books[index], venue.number - 1) for index in range(2)]
        both(venue.snapshots.write([*rows, [(encoder.add_end_of_cycle, 2)]], lambda: True))
    assert venue.check(later) == venue.check(plain) == [True, True]
    assert list(later.feed.rejects) == list(plain.feed.rejects)  # changes before the definitions, in both
    assert (plain.feed.version_read, later.feed.version_read) == (1, 2)
