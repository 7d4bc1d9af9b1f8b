"""The socket rings under a library that replaces socket calls, as OpenOnload and VMA do: LD_PRELOAD sees every one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Counts the calls of each function and passes them on; what it counted goes into the file CALLS when the process ends.
COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define COUNTED(result, name, parameters, arguments)                        \
  static long name##_calls;                                                 \
  result name parameters {                                                  \
    static result (*next) parameters;                                       \
    if (!next) next = (result (*) parameters)dlsym(RTLD_NEXT, #name);       \
    ++name##_calls;                                                         \
    return next arguments;                                                  \
  }

COUNTED(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
COUNTED(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
COUNTED(int, sendmmsg, (int fd, struct mmsghdr *all, unsigned count, int flags), (fd, all, count, flags))
COUNTED(int, recvmmsg, (int fd, struct mmsghdr *all, unsigned count, int flags, struct timespec *time),
        (fd, all, count, flags, time))
COUNTED(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
COUNTED(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
COUNTED(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
COUNTED(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
        (fd, level, name, value, size))

__attribute__((destructor)) static void report(void) {
  FILE *file = fopen(getenv("CALLS"), "w");
  fprintf(file, "send %ld\nrecv %ld\nsendmmsg %ld\nrecvmmsg %ld\nsocket %ld\nbind %ld\nconnect %ld\nsetsockopt %ld\n",
          send_calls, recv_calls, sendmmsg_calls, recvmmsg_calls, socket_calls, bind_calls, connect_calls,
          setsockopt_calls);
  fclose(file);
}
"""

# One datagram and one segment each way through the rings, driven by compiled code, the peers' ends included: a
# Python socket would add calls of its own. Its last line is what the rings say of their calls.
TRADE = """
import socket
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES, UDP_FRAME_HEADER_BYTES, Flow, write_udp_frame_header
from crosswire.nic.rings.sockets.tcp import TcpSocket
from crosswire.nic.rings.sockets.udp import UdpSocket
from crosswire.nic.memory.struct import array, u8
from tests.support.ring_cases import LOOPBACK_IP, driver_of, payload_of

def udp_frame(owner, payload):
    port = owner._sockets[0].getsockname()[1]
    room = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(room.address, Flow(destination_ip=LOOPBACK_IP, destination_port=port), len(payload))
    return bytes(room) + payload

def pass_on(source, target, frame, payload):
    sender, receiver = (driver_of(each.ring, True) for each in (source, target))
    assert sender.send([frame]) == 1
    assert [payload_of(got) for got in receiver.receive(1)] == [payload]
    return source.ring.counters.wakeups, receiver.received.count

near, far = (UdpSocket("lo", local=[(LOOPBACK_IP, 0)]) for _ in range(2))
pass_on(near, far, udp_frame(far, b"tick"), b"tick")
pass_on(far, near, udp_frame(near, b"tock"), b"tock")
server = socket.create_server(("127.0.0.1", 0))
client = TcpSocket.connect((LOOPBACK_IP, server.getsockname()[1]), Flow())
exchange = TcpSocket.unconnected(Flow())
exchange.attach(server.accept()[0])
pass_on(client, exchange, bytes(TCP_FRAME_HEADER_BYTES) + b"order", b"order")
pass_on(exchange, client, bytes(TCP_FRAME_HEADER_BYTES) + b"fill", b"fill")
sums = [sum(each.ring.counters.empty_polls for each in pair) for pair in ((near, far), (client, exchange))]
print(*sums)
"""


@pytest.mark.parametrize("no_jit", ["", "1"], ids=["compiled", "python"])
def test_a_preloaded_library_sees_every_call(tmp_path: Path, no_jit: str) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have gcc: it compiles the library that is preloaded")
        pytest.skip("needs gcc: compiles the library that is preloaded")
    source, library, calls = tmp_path / "counter.c", tmp_path / "counter.so", tmp_path / "calls"
    source.write_text(COUNTER)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    environment = {**os.environ, "LD_PRELOAD": str(library), "CALLS": str(calls), "CROSSWIRE_NO_JIT": no_jit}
    command = [sys.executable, "-c", TRADE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    udp_empty, tcp_empty = map(int, done.stdout.split())
    seen = {name: int(count) for name, count in map(str.split, calls.read_text().splitlines())}
    assert seen["sendmmsg"] == 2
    assert seen["recvmmsg"] == 2 + udp_empty  # one socket a ring, so one call a poll
    assert seen["send"] == 2
    assert seen["recv"] == 2 + tcp_empty
    # What makes and sets up a socket must be seen as well, or such a library would not know it as one of its own.
    assert seen["socket"] >= 4
    assert seen["bind"] >= 3
    assert seen["connect"] >= 1
    assert seen["setsockopt"] >= 6
