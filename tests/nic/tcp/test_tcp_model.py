"""The TCP against a simple model of a peer, over a network that loses, copies and reorders: all arrives once.

The model knows nothing of our code: it keeps what it received, acknowledges, and sends its own bytes again when asked
to. hypothesis chooses what happens when; at the end the network is repaired and both directions must come to rest.
"""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import address_of
from crosswire.nic.tcp.state import TcpState
from crosswire.nic.tcp.tcp import copy_output, dispatch, next_timer_ns
from tests.support.tcp_setup import ACK, FIN, PSH, RST, SYN, Client, Seen, build, check_invariants, mss_option

pytestmark = pytest.mark.tcp

IN_FLIGHT_MAX = 40  # frames of one direction in the network
SENT_MAX = 1 << 17  # bytes of one direction in one run

STREAMS = [random.Random(direction).randbytes(4 * SENT_MAX) for direction in range(2)]


def pattern(direction: int, position: int, length: int) -> bytes:
    """The bytes of a direction's stream: each tells where it belongs."""
    assert position + length <= len(STREAMS[direction])
    return STREAMS[direction][position : position + length]


class Peer:
    """A TCP as small as it can be. Positions count from 0."""

    def __init__(self, irs: int, iss: int, window: int) -> None:
        self.irs = irs  # of us, the engine
        self.iss = iss
        self.window = window
        self.early: dict[int, bytes] = {}
        self.received = b""
        self.fin_position = -1  # of ours
        self.got_fin = 0
        self.sent_end = 0
        self.una = 0
        self.closed = 0
        self.edge = 0

    def segment(self, flags: int, position: int, payload: bytes = b"") -> bytes:
        ack = self.irs + 1 + len(self.received) + self.got_fin
        return build(flags, self.iss + 1 + position, ack, payload, self.window)

    def take(self, seen: Seen) -> bytes | None:
        """An arriving segment (numbers relative); the answer, if it wants one."""
        if seen.flags & RST:
            raise AssertionError("reset")
        if seen.flags & SYN:
            return build(SYN | ACK, self.iss, self.irs + 1, window=self.window, options=mss_option(1000))
        assert seen.acknowledgement <= self.sent_end + self.closed, "acknowledges what was never sent"
        if not seen.payload and seen.acknowledgement >= self.una:  # none that was overtaken, or is sent again
            assert seen.acknowledgement + seen.window >= self.edge, "took window back"
            self.edge = seen.acknowledgement + seen.window
        self.una = max(self.una, seen.acknowledgement)
        self.early.update({seen.sequence: seen.payload} if seen.payload else {})
        if seen.flags & FIN:
            self.fin_position = seen.sequence + len(seen.payload)
        before = len(self.received)
        for position in sorted(self.early):
            payload = self.early[position]
            if position <= len(self.received):
                self.received += payload[len(self.received) - position :]
                del self.early[position]
        if self.fin_position == len(self.received):
            self.got_fin = 1
        if seen.payload or seen.flags & FIN or seen.sequence < before:
            return self.segment(ACK, self.sent_end + self.closed)
        return None

    def again(self) -> list[bytes]:
        """What is not acknowledged, in pieces."""
        pieces = []
        position = self.una
        while position < self.sent_end:
            length = min(700, self.sent_end - position)
            pieces.append(self.segment(ACK | PSH, position, pattern(1, position, length)))
            position += length
        if self.closed and self.una <= self.sent_end:
            pieces.append(self.segment(FIN | ACK, self.sent_end))
        return pieces


class TcpMachine(RuleBasedStateMachine):
    """What may happen to a connection."""

    @initialize(
        iss=st.sampled_from((1, 0xFFFFFFF0, 0xFFFFFFFF - 5000, 0x7FFFFF00)),
        irs=st.sampled_from((1, 0xFFFFFFFF, 0xFFFFFFFF - 3000, 0x7FFFFF00)),
        window=st.sampled_from((65535, 3000, 1000)),
    )
    def connect(self, iss: int, irs: int, window: int) -> None:
        self.client = Client(iss, irs)
        self.peer = Peer(iss, irs, window)
        self.outward: list[bytes] = []
        self.inward: list[bytes] = []
        self.written = 0
        self.closed = 0
        self.client.open()
        self.outward.clear()
        answer = self.peer.take(Seen(SYN, -1, 0, 65535, b"", b"", (0, 0)))
        assert answer is not None
        self.client.feed(answer)
        self.pump()

    def pump(self) -> None:
        """Our output goes into the network."""
        client = self.client
        for _ in range(200):
            if not dispatch(client.tcp, client.now_ns):
                return
            copy_output(client.tcp, address_of(client.room))
            frame = bytes(client.room.numpy()[: client.tcp.output.length])
            if len(self.outward) < IN_FLIGHT_MAX:
                self.outward.append(frame)

    def deliver_outward(self, index: int) -> None:
        answer = self.peer.take(self.client.relative(self.outward.pop(index)))
        if answer is not None and len(self.inward) < IN_FLIGHT_MAX:
            self.inward.append(answer)

    def deliver_inward(self, index: int) -> None:
        self.client.feed(self.inward.pop(index))

    @precondition(lambda self: not self.closed and self.written < SENT_MAX)
    @rule(length=st.integers(1, 1000), now=st.booleans())
    def write(self, length: int, now: bool) -> None:
        if self.client.write(pattern(0, self.written, length)):
            self.written += length
        if now:
            self.pump()

    @precondition(
        lambda self: (
            not self.peer.closed and self.peer.sent_end - self.peer.una < 60000 and self.peer.sent_end < SENT_MAX
        )
    )
    @rule(length=st.integers(1, 4000))
    def peer_writes(self, length: int) -> None:
        peer = self.peer
        peer.sent_end += length
        for frame in peer.again()[-(length // 700 + 1) :]:
            if len(self.inward) < IN_FLIGHT_MAX:
                self.inward.append(frame)

    @rule()
    def peer_sends_again(self) -> None:
        self.inward += self.peer.again()[: IN_FLIGHT_MAX - len(self.inward)]

    @precondition(lambda self: self.outward)
    @rule(data=st.data(), copies=st.sampled_from((1, 1, 1, 2)))
    def arrives_outward(self, data: st.DataObject, copies: int) -> None:
        index = data.draw(st.sampled_from((0, 0, 0, len(self.outward) - 1)))
        if copies == 2:
            self.outward.append(self.outward[index])
        self.deliver_outward(index)

    @precondition(lambda self: self.inward)
    @rule(data=st.data(), copies=st.sampled_from((1, 1, 1, 2)))
    def arrives_inward(self, data: st.DataObject, copies: int) -> None:
        index = data.draw(st.sampled_from((0, 0, 0, len(self.inward) - 1)))
        if copies == 2:
            self.inward.append(self.inward[index])
        self.deliver_inward(index)

    @precondition(lambda self: self.outward)
    @rule()
    def lost_outward(self) -> None:
        self.outward.pop(0)

    @precondition(lambda self: self.inward)
    @rule()
    def lost_inward(self) -> None:
        self.inward.pop(0)

    @precondition(lambda self: self.inward)
    @rule(bit=st.integers(14 * 8, 54 * 8 - 1))
    def spoiled_inward(self, bit: int) -> None:
        frame = bytearray(self.inward.pop(0))
        frame[bit // 8] ^= 1 << bit % 8
        self.client.feed(bytes(frame))

    @rule(ms=st.sampled_from((0, 1, 5, 10, 40, 200)))
    def time_passes(self, ms: int) -> None:
        self.client.now_ns += ms * NS_PER_MS
        self.pump()

    @rule(window=st.sampled_from((0, 500, 3000, 65535)))
    def peer_changes_window(self, window: int) -> None:
        # It never takes window back: what it gave before is kept by a bigger one only.
        if window >= self.peer.window:
            self.peer.window = window
            self.inward.append(self.peer.segment(ACK, self.peer.sent_end + self.peer.closed))

    @precondition(lambda self: not self.closed)
    @rule(really=st.sampled_from((False, False, False, True)))
    def close(self, really: bool) -> None:
        if really:
            self.closed = 1
            self.client.close()

    @precondition(lambda self: not self.peer.closed)
    @rule(really=st.sampled_from((False, False, False, True)))
    def peer_closes(self, really: bool) -> None:
        if really:
            self.peer.closed = 1
            self.inward += self.peer.again()[-1:]

    @invariant()
    def nothing_wrong(self) -> None:
        if not hasattr(self, "client"):
            return
        check_invariants(self.client.tcp)
        assert self.client.state != TcpState.CLOSED or self.client.tcp.end in (1, 6)
        assert self.peer.received == pattern(0, 0, len(self.peer.received))
        assert self.client.delivered == pattern(1, 0, len(self.client.delivered))

    def teardown(self) -> None:
        """The network is well again: both streams arrive whole, and the states are those of the ends."""
        if not hasattr(self, "client"):
            return
        client, peer = self.client, self.peer
        for turn in range(600):
            self.pump()
            while self.outward:
                self.deliver_outward(0)
            while self.inward:
                self.deliver_inward(0)
            done_out = len(peer.received) == self.written and peer.got_fin == self.closed
            done_in = len(client.delivered) == peer.sent_end and client.tcp.receive.fin_received == peer.closed
            idle = client.tcp.send.una >= self.written
            if done_out and done_in and idle and turn > 2:
                break
            self.inward += peer.again()[:IN_FLIGHT_MAX]
            client.now_ns = max(client.now_ns, min(next_timer_ns(client.tcp), client.now_ns + 1000 * NS_PER_MS))
        assert peer.received == pattern(0, 0, self.written)
        assert client.delivered == pattern(1, 0, peer.sent_end)
        assert peer.got_fin == self.closed
        assert client.tcp.receive.fin_received == peer.closed
        expected = {
            (0, 0): (TcpState.ESTABLISHED,),
            (1, 0): (TcpState.FIN_WAIT_2, TcpState.FIN_WAIT_1),
            (0, 1): (TcpState.CLOSE_WAIT,),
            (1, 1): (TcpState.TIME_WAIT, TcpState.CLOSED, TcpState.LAST_ACK, TcpState.CLOSING),
        }
        assert client.state in expected[self.closed, peer.closed]
        assert client.tcp.store.begin == client.tcp.store.end


TestTcpModel = TcpMachine.TestCase
TestTcpModel.settings = settings(max_examples=20, stateful_step_count=60)
