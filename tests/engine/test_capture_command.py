"""Goal: `crosswire capture` and `crosswire live --capture` record what came, to the byte, or count it as lost."""

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.capture.files import CaptureFiles, TapLane, TapWriter
from crosswire.engine.config import ConfigError
from crosswire.nic.capture.writer import write_record_header
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.rings.delay import DelayRing
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.rings.tap import Direction, copy_frame, make_tap
from crosswire.nic.unit.compile import NO_JIT
from tests.support.live_setup import COMPILE_PATIENCE_S, LEAVING_S, PATIENCE_S, Command, make_config, outcome, started
from tests.support.net import own_testbed

GROUP, PORT = "239.1.1.1", 6200
MB = 1 << 20


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("cc", links=2) as testbed:
        yield testbed


def publisher(testbed: Testbed) -> socket.socket:
    """Sends to groups from the exchange's first interface."""
    with in_namespace(testbed.exchange):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(testbed.links[0].exchange_ip))
    return sender


def payloads(count: int, length: int) -> list[bytes]:
    """All different, hard to compress."""
    return [struct.pack(">I", number) + os.urandom(length - 4) for number in range(count)]


def publish(sender: socket.socket, datagrams: list[bytes], port: int = PORT) -> None:
    for number, payload in enumerate(datagrams):
        sender.sendto(payload, (GROUP, port))
        if number % 64 == 63:
            time.sleep(0.0005)


def payload_of(frame: bytes) -> bytes:
    """Of a UDP datagram without IP options."""
    length = struct.unpack_from(">H", frame, 38)[0]
    return frame[42 : 42 + length - 8]


def arguments(testbed: Testbed, folder: Path, *more: object) -> tuple[object, ...]:
    place = ("--namespace", testbed.engine, "--output", folder / "captured", "--json")
    return (testbed.links[0].engine_interface, "--group", f"{GROUP}:{PORT}", *place, *more)


def end(command: Command, number: int) -> dict[str, Any]:
    """Send the signal; the summary."""
    time.sleep(0.3)
    command.process.send_signal(number)
    summary: dict[str, Any] = json.loads(command.finish(PATIENCE_S).splitlines()[-1])
    return summary


def check_account(summary: dict[str, Any], sent: int) -> None:
    lost = summary["kernel_drops"] + summary["truncated"] + summary["not_written"]
    assert summary["received"] == summary["written"] + lost
    assert summary["received"] + summary["interface_drops"] == sent


@pytest.mark.netns
@pytest.mark.parametrize(("number", "zstd"), [(signal.SIGINT, "--zstd"), (signal.SIGTERM, "--no-zstd")])
def test_what_was_sent_is_in_the_files(testbed: Testbed, tmp_path: Path, number: int, zstd: str) -> None:
    sent = payloads(3_000, 1_200)
    with (
        publisher(testbed) as sender,
        started(tmp_path, "capture", *arguments(testbed, tmp_path, "--rotate-mb", 1, zstd)) as command,
    ):
        command.wait_for("capturing", COMPILE_PATIENCE_S)
        before_ns = time.time_ns()
        publish(sender, sent[:1500])
        publish(sender, sent[:100], PORT + 1)  # nobody asked for these
        time.sleep(1.2)
        publish(sender, sent[1500:])
        command.wait_for("drops", PATIENCE_S)  # the progress line
        summary = end(command, number)
        after_ns = time.time_ns()
    check_account(summary, len(sent))
    assert summary["written"] == len(sent)
    files = [Path(path) for path in summary["files"]]
    assert len(files) >= 2  # of 3.8 MB; each may exceed its 1 MB by one write of up to as much
    suffix = ".pcap.zst" if zstd == "--zstd" else ".pcap"
    name = testbed.links[0].engine_interface
    assert sorted(each.name for each in (tmp_path / "captured").iterdir()) == [
        f"{name}-{file:03}{suffix}" for file in range(len(files))
    ]
    frames = [each for path in files for each in read_frames([path])]
    assert [payload_of(frame) for _, frame in frames] == sent
    assert sum(len(frame) for _, frame in frames) == summary["bytes"]
    times = [time_ns for time_ns, _ in frames]
    assert times == sorted(times)
    assert before_ns <= times[0] <= times[-1] <= after_ns
    assert times[1500] - times[1499] >= NS_PER_S  # the kernel's time, not the writer's
    assert list(read_frames(files)) == frames


@pytest.mark.netns
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same(testbed: Testbed, tmp_path: Path) -> None:
    sent = payloads(200, 60)
    with (
        publisher(testbed) as sender,
        started(tmp_path, "capture", *arguments(testbed, tmp_path, "--no-zstd")) as command,
    ):
        command.wait_for("capturing", COMPILE_PATIENCE_S)
        publish(sender, sent)
        summary = end(command, signal.SIGINT)
    [path] = summary["files"]
    fields = ("-e", "frame.time_epoch", "-e", "udp.payload", "-e", "ip.checksum.status")
    told = subprocess.run(
        ["tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-T", "fields", *fields],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    rows = [line.split("\t") for line in told]
    assert [bytes.fromhex(payload) for _, payload, _ in rows] == sent
    seconds = [(text.partition(".")[0], text.partition(".")[2].ljust(9, "0")) for text, _, _ in rows]
    assert [int(whole) * NS_PER_S + int(rest) for whole, rest in seconds] == [
        time_ns for time_ns, _ in read_frames([path])
    ]


@pytest.mark.netns
def test_a_stopped_receiver_loses_only_what_it_counts(testbed: Testbed, tmp_path: Path) -> None:
    """While the process does not run, the ring overflows; every frame is written or counted."""
    sent = payloads(60_000, 20)
    with (
        publisher(testbed) as sender,
        started(tmp_path, "capture", *arguments(testbed, tmp_path)) as command,
    ):
        command.wait_for("capturing", COMPILE_PATIENCE_S)
        command.process.send_signal(signal.SIGSTOP)
        publish(sender, sent[:50_000])
        command.process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        publish(sender, sent[50_000:])
        summary = end(command, signal.SIGTERM)
    check_account(summary, len(sent))
    assert summary["kernel_drops"] > 0
    frames = [payload_of(frame) for _, frame in read_frames(summary["files"])]
    assert len(frames) == summary["written"]
    assert frames == sorted(frames)
    assert set(frames) <= set(sent)
    if not NO_JIT:  # uncompiled it may not be through with the first ones yet
        assert frames[-10_000:] == sent[50_000:]


@pytest.mark.netns
def test_errors_are_one_line(testbed: Testbed, tmp_path: Path) -> None:
    name, group = testbed.links[0].engine_interface, ("--group", f"{GROUP}:{PORT}")
    place = ("--namespace", testbed.engine, "--output")
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / f"{name}-000.pcap.zst").touch()
    cases = [
        (("nowhere0", *group, *place, tmp_path), "nowhere0: no such interface"),
        ((name, *place, tmp_path), "no group; name at least one"),
        ((name, "--group", "10.0.0.1:6200", *place, tmp_path), "is not a multicast address"),
        ((name, "--group", "nonsense", *place, tmp_path), "must be an IPv4 address and a port"),
        ((name, *group, *place, tmp_path / "file" / "below"), "nothing can be written there: Not a directory"),
        ((name, *group, *place, tmp_path / "taken"), "is there already"),
        ((name, *group, *place, tmp_path, "--rotate-mb", 0), "must be at least 1"),
        ((name, *group, "--namespace", "none", "--output", tmp_path), "network namespace none: No such file"),
    ]
    for given, wanted in cases:
        with started(tmp_path, "capture", *given) as command:
            assert command.process.wait(PATIENCE_S) == 1, command.text()
            assert wanted in command.text()
            assert len(command.text().splitlines()) == 1, command.text()
    without = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--reuid=65534", "--clear-groups")
    program = [
        *without,
        sys.executable,
        "-m",
        "crosswire.engine.cli",
        "capture",
        "lo",
        *group,
        "--output",
        "/tmp/never",
    ]
    refused = subprocess.run(program, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert refused.returncode == 1
    assert "CAP_NET_RAW" in refused.stderr, refused.stderr


def records(count: int, length: int, first: int = 0) -> memoryview:
    """Formatted pcap records of `count` frames."""
    buffer = array(u8, count * (16 + length))
    address = buffer.address
    for number in range(count):
        address = write_record_header(address, first + number, length) + length
    return buffer.numpy().data


def test_files_rotate_and_take_no_ones_place(tmp_path: Path) -> None:
    files = CaptureFiles(tmp_path, "venue", rotate_mb=1, compress=False)
    for turn in range(5):
        files.write(records(500, 1000, turn * 500), 500)
        done = [path for path in tmp_path.iterdir() if not path.name.endswith(".partial")]
        assert sorted(done) == files.paths
    files.close()
    assert [path.name for path in files.paths] == [f"venue-{number:03}.pcap" for number in range(2)]
    assert files.bytes == sum(path.stat().st_size for path in files.paths)
    assert [time_ns for time_ns, _ in read_frames(files.paths)] == list(range(2500))
    assert files.frames == 2500
    with pytest.raises(ConfigError, match=r"venue-000\.pcap: is there already"):
        CaptureFiles(tmp_path, "venue")
    CaptureFiles(tmp_path, "ven")
    with pytest.raises(ConfigError, match="name of a file"):
        CaptureFiles(tmp_path, "a/b")


def test_a_full_disk_ends_the_capture_and_nothing_else(tmp_path: Path) -> None:
    """As /dev/full refuses: what is in a complete file stays, all else is counted as lost."""
    files = CaptureFiles(tmp_path, "venue", rotate_mb=1, compress=False)
    files.write(records(2000, 1000), 2000)
    assert len(files.paths) == 1
    files.write(records(10, 100), 10)
    writer = files._writer
    assert writer is not None
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), writer._file.fileno())
    files.write(records(4000, 1000), 4000)
    files.write(records(7, 100), 7)
    files.close()
    assert "venue-001.pcap: No space left on device" in files.failure
    assert (files.frames, files.lost) == (2000, 4017)
    assert list(tmp_path.iterdir()) == files.paths


def test_taps_are_emptied_into_files_or_count(tmp_path: Path) -> None:
    """Nothing waits for the files: what the tap has no room for is lost to the capture alone; times never fall."""
    tap = make_tap(DelayRing(), 4096)
    lane = TapLane(tap, CaptureFiles(tmp_path, "venue"))
    writer = TapWriter([lane], core=0)
    passed = [os.urandom(60) for _ in range(300)]
    for number, data in enumerate(passed):
        held = ctypes.create_string_buffer(data, len(data))
        copy_frame(tap, Direction.RECEIVED, ctypes.addressof(held), len(data), 999 - number)
        if number % 100 == 99:
            if number == 99:
                assert tap.lost > 0
                writer.start()
            while lane.tap.taken != lane.tap.written:
                time.sleep(0.001)
    writer.stop()
    frames = list(read_frames(lane.files.paths))
    assert len(frames) == lane.files.frames == len(passed) - lane.lost
    kept = {data for _, data in frames}
    assert [data for _, data in frames] == [data for data in passed if data in kept]
    assert {time_ns for time_ns, _ in frames} == {999}
    assert lane.records.raised == len(frames) - 1


@pytest.mark.netns
def test_a_live_run_captures_what_its_loop_sees(testbed: Testbed, tmp_path: Path) -> None:
    config = make_config(tmp_path, testbed, seconds=9, **{'"af_xdp"': '"sockets"'})
    more = ("--output", tmp_path / "runs", "--seconds", 5 + LEAVING_S, "--capture", tmp_path / "captured")
    with started(tmp_path, "exchange", config, "--wait", "--seconds", 5) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, *more) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            live.process.wait(5 + LEAVING_S + PATIENCE_S)
            seen = outcome(exchanges, live, tmp_path)
    assert [(row, at_exchange) for *row, at_exchange, _ in seen.rows()] == [
        (row, in_engine) for *row, _, in_engine in seen.rows()
    ]
    for name in seen.exchanges:
        own = seen.of_venue(name)
        files = sorted((tmp_path / "captured").glob(f"{name}-*.pcap.zst"))
        assert own["capture drops"] == 0
        assert own["market data frames"] == own["capture frames"] == len(list(read_frames(files))) > 1000
