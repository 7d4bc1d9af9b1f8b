"""Which of tshark's remarks count as our lateness, and which never do."""

from dataclasses import replace

import pytest

from tests.support.wire_remarks import Segment, analysis_names, unexplained

pytestmark = pytest.mark.tcp

PEER, OURS = "10.98.0.2", "10.98.0.1"
RETRANSMISSION = frozenset({"tcp.analysis.retransmission"})
DUPLICATE_ACK = frozenset({"tcp.analysis.duplicate_ack"})


def late() -> list[Segment]:
    """Two segments of the peer, a copy of the second by its tail probe, our late ACK, our ACK of the copy."""
    return [
        Segment(1, 0.0000, PEER, 0, 1, 1, 100),
        Segment(2, 0.0001, PEER, 0, 101, 1, 100),
        Segment(3, 0.0090, PEER, 0, 101, 1, 100, RETRANSMISSION),
        Segment(4, 0.0100, OURS, 0, 1, 201, 0),
        Segment(5, 0.0101, OURS, 0, 1, 201, 0, DUPLICATE_ACK),
    ]


def changed(place: int, **values: object) -> list[Segment]:
    segments = late()
    segments[place] = replace(segments[place], **values)  # type: ignore[arg-type]
    return sorted(segments, key=lambda each: each.time_s)


def test_late_ack_explains_the_copy_and_its_ack() -> None:
    assert unexplained(late(), PEER) == []


def test_ack_that_crosses_the_copy() -> None:
    """It left when the timer could have fired."""
    segments = late()
    segments[2], segments[3] = replace(segments[3], number=3, time_s=0.0089), replace(segments[2], number=4)
    assert unexplained(segments, PEER) == []


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (2, {"source": OURS}),  # we sent it again
        (2, {"flags": RETRANSMISSION | {"tcp.analysis.lost_segment"}}),
        (2, {"flags": frozenset({"tcp.analysis.out_of_order"})}),
        (2, {"time_s": 0.0015}),  # before its timer could fire
        (2, {"sequence": 201}),  # of what was never sent
        (2, {"length": 0}),
        (4, {"acknowledgement": 101}),
        (4, {"stream": 1}),
        (4, {"length": 5}),
        (4, {"flags": DUPLICATE_ACK | {"tcp.analysis.window_update"}}),
        (1, {"flags": frozenset({"tcp.analysis.zero_window"})}),
    ],
)
def test_what_our_lateness_does_not_explain(place: int, values: dict[str, object]) -> None:
    assert unexplained(changed(place, **values), PEER)


def test_what_is_never_acknowledged_is_not_late() -> None:
    assert [each.number for each in unexplained(late()[:3], PEER)] == [3]


def test_ack_in_time_explains_nothing() -> None:
    segments = late()
    segments.insert(2, Segment(3, 0.0003, OURS, 0, 1, 201, 0))
    segments[3:] = [replace(each, number=each.number + 1) for each in segments[3:]]
    assert [each.number for each in unexplained(segments, PEER)] == [4, 6]


def test_a_lone_segment_s_ack_may_be_delayed() -> None:
    """40 ms are our own choice, and less than its timer's 200 ms."""
    original = Segment(1, 0.0, PEER, 0, 1, 1, 100)
    for copied_s, acked_s, is_late in ((0.21, 0.22, True), (0.03, 0.04, False), (0.03, 0.3, False)):
        copy = Segment(2, copied_s, PEER, 0, 1, 1, 100, RETRANSMISSION)
        answer = Segment(3, acked_s, OURS, 0, 1, 101, 0)
        assert (unexplained([original, copy, answer], PEER) == []) == is_late


def test_names_of_remarks() -> None:
    """As tshark writes them, with and without an explanation, one or several."""
    copy = {"_ws.expert": {"tcp.analysis.retransmission": "", "_ws.expert.group": "1"}, "tcp.analysis.rto": "0.2"}
    assert analysis_names(copy) == ["tcp.analysis.retransmission"]
    assert analysis_names({"tcp.analysis.duplicate_ack": ""}) == ["tcp.analysis.duplicate_ack"]
    both = [{"tcp.analysis.lost_segment": ""}, {"tcp.analysis.retransmission": ""}]
    assert analysis_names({"_ws.expert": both}) == ["tcp.analysis.lost_segment", "tcp.analysis.retransmission"]
    assert analysis_names({}) == []
    named, unnamed = {"tcp.analysis.retransmission": ""}, {"_ws.expert.group": "1"}
    for unknown in ({"_ws.expert": unnamed, "tcp.analysis.rto": "0.2"}, {"_ws.expert": [named, unnamed]}):
        with pytest.raises(AssertionError):
            analysis_names(unknown)


def test_one_ack_of_each_copy() -> None:
    segments = late()
    again = replace(segments[4], number=6, time_s=0.0102)
    assert unexplained([*segments, again], PEER) == [again]
