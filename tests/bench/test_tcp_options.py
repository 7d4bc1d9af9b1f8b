"""`crosswire bench tcp-options`: what it loses is the share that it says, and every order has a report."""

import socket
from contextlib import ExitStack

import pytest

from tests.bench.tcp_options import BURST, LinuxClient, lose, trade

DATAGRAMS = 4_000


@pytest.mark.parametrize("share", [0.0, 0.03, 0.25, 1.0])
def test_the_share_that_is_said_is_lost(share: float) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        lose(receiver, share)
        got = 0
        for _ in range(DATAGRAMS):
            sender.sendto(b"x", receiver.getsockname())
            try:
                got += len(receiver.recv(8))
            except BlockingIOError:
                continue
    # Six standard deviations: one run in a billion is outside.
    spread = 6 * (DATAGRAMS * share * (1 - share)) ** 0.5
    assert abs(DATAGRAMS - got - DATAGRAMS * share) <= spread


def test_every_order_has_a_report_and_none_comes_before_it_was_to_leave() -> None:
    with ExitStack() as closing:
        server = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = closing.enter_context(socket.create_connection(server.getsockname()))
        gateway = closing.enter_context(server.accept()[0])
        latencies = trade(LinuxClient(client), gateway, 10 * BURST)
    assert len(latencies) == 10 * BURST
    assert min(latencies) > 0
