"""The door under those who do not come to ask: thousands of connections, silence, noise, and who never reads."""

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import door
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.door import CONNECTIONS_MAX, WAITING_MAX, Shut
from tests.engine.monitor.support import Monitor, RawClient, serving

pytestmark = pytest.mark.control

# Connects as often as it can until its input ends, in a process of its own: it has other file descriptors than we.
HOLDING = """
import resource, select, socket, sys
path, said = sys.argv[1], bytes.fromhex(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, made = [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    end = socket.socket(socket.AF_UNIX)
    end.setblocking(False)
    try:
        end.connect(path)
        if said:
            end.send(said)
        held.append(end)
        made += 1
    except OSError:
        end.close()
    if len(held) > 15_000:
        held.pop(0).close()
print(made, flush=True)
"""


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    with serving(tmp_path / "m") as started:
        yield started


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("said", ["", "ff00000000000000017f", "474554202f20485454502f312e310d0a0d0a"])
def test_ten_thousand_connections_are_bounded_and_counted_and_clients_served_meanwhile(
    monitor: Monitor, said: str
) -> None:
    before = open_files()
    with monitor.client("vera") as client:
        client.status()
        command = [sys.executable, "-c", HOLDING, str(monitor.folder / "socket"), said]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
            longest_s, most, served = 0.0, 0, 0
            while (monitor.server.door.accepted < 10_000 or served < 10) and flood.poll() is None:
                begun = time.monotonic()
                client.status()
                served += 1
                longest_s = max(longest_s, time.monotonic() - begun)
                most = max(most, open_files())
                time.sleep(0.02)
            begun = time.monotonic()
            with monitor.client("olga") as late:  # who comes now comes in, too
                late.status()
            late_s = time.monotonic() - begun
            made, _ = flood.communicate("end")
    print(f"longest answer {longest_s * 1000:.0f} ms, a new client in {late_s * 1000:.0f} ms")
    assert int(made) >= 10_000
    assert longest_s < 5.0
    assert late_s < 20.0
    assert most - before <= 3 * (WAITING_MAX + CONNECTIONS_MAX)
    shut = monitor.server.door.shut
    assert sum(shut.values()) >= 10_000 - WAITING_MAX
    assert shut[door.Shut.CROWDED] + shut[door.Shut.REJECTED] > 1_000


def test_who_says_nothing_is_sent_away(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_S", 0.3)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(monitor.folder / "socket"))
        silent.settimeout(5)
        while silent.recv(1000):  # the greeting of the protocol, then the end
            pass
    assert monitor.refused("connection_waited") == 1


def test_a_connection_too_many_is_sent_away_and_those_that_are_in_stay(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS_MAX", 2)
    with monitor.client("vera") as vera, monitor.client("olga") as olga:
        vera.status()
        olga.status()
        with socket.socket(socket.AF_UNIX) as third:
            third.connect(str(monitor.folder / "socket"))
            third.settimeout(5)
            assert third.recv(1000) == b""
        assert vera.status().connections == 2
        olga.status()
    assert monitor.refused("connection_full") == 1


@pytest.mark.parametrize(("stalled_s", "counted"), [(1.0, "connection_slow_reader"), (1000.0, "reply_dropped")])
def test_a_slow_reader_costs_its_own_answers_and_then_its_connection(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, stalled_s: float, counted: str
) -> None:
    monkeypatch.setattr(door, "STALLED_S", stalled_s)
    with RawClient(monitor, "olga", rcvhwm=1, rcvbuf=4096) as slow, monitor.client("vera") as vera:
        slow.begin()
        deadline, longest_s = time.monotonic() + 40, 0.0
        while not monitor.refused(counted) and time.monotonic() < deadline:
            for _ in range(5):
                slow.send(slow.envelope(m.GetParameters()))
            begun = time.monotonic()
            vera.status()
            longest_s = max(longest_s, time.monotonic() - begun)
            time.sleep(0.1)
    assert monitor.refused(counted) > 0
    assert longest_s < 5.0


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_door_that_has_failed_ends_the_monitor(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in silence: nobody could come in any more, and an operator would find that out when it counts."""

    def fail(_now_s: float) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(monitor.server.door, "_look_round", fail)
    until(lambda: bool(monitor.server.door.failure))
    with pytest.raises(ControlError, match=r"the door has failed \(RuntimeError: a fault of ours\)"):
        monitor.server.serve_once(0.0)


def test_a_host_without_file_descriptors_costs_that_connection_alone(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = socket.socket

    def none_left(*of: Any, **made: Any) -> socket.socket:
        if not made:  # an accepted one is made of the descriptor that it has
            raise OSError(errno.ENFILE, "Too many open files in system")
        return make(*of, **made)

    with make(socket.AF_UNIX) as knocking:
        monkeypatch.setattr(socket, "socket", none_left)
        knocking.connect(str(monitor.folder / "socket"))
        until(lambda: monitor.server.door.shut[Shut.CROWDED] == 1)
        monkeypatch.undo()
        assert knocking.recv(1) == b""
    with monitor.client("vera") as client:
        assert client.status().name == "synthetic"
