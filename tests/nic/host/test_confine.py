"""What a confined process can't do any more, in each of its threads, and what it still can."""

import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.nic.host import confine as confining
from crosswire.nic.host.confine import confine
from crosswire.nic.host.landlock import Places
from crosswire.nic.host.process import HostError
from crosswire.nic.host.seccomp import BPF, CLONE, CLONE3, REFUSED, make_filter
from tests.support.net import needs_root
from tests.support.paths import ROOT

# Prints what each attempt gave, in the main thread, in one that was there before and in one that is started afterwards.
ATTEMPTS = """
import ctypes, errno, os, socket, sys, threading
from pathlib import Path

import numpy  # starts threads of its own
from crosswire.nic.host.confine import confine, thread_facts
from crosswire.nic.host.landlock import Places

folder = Path(sys.argv[1])
port, other_port = int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "")


def kill_parent():
    os.kill(os.getppid(), 0)


ATTEMPTS = {
    "read elsewhere": lambda: (folder / "elsewhere" / "file").read_text(),
    "write elsewhere": lambda: (folder / "elsewhere" / "file").write_text("x"),
    "make elsewhere": lambda: (folder / "elsewhere" / "new").touch(),
    "rename out": lambda: (folder / "write" / "in").rename(folder / "elsewhere" / "in"),
    "through a link": lambda: (folder / "write" / "link").read_text(),
    "write what may be read": lambda: (folder / "read" / "file").write_text("x"),
    "write to /proc": lambda: Path("/proc/self/comm").write_text("x"),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "fork": lambda: os.fork() or os._exit(0),
    "ptrace": lambda: call(101, 16, os.getppid(), 0, 0),
    "read another's memory": lambda: call(310, os.getppid(), 0, 0, 0, 0, 0),
    "unshare": lambda: call(272, 0),
    "load a program into the kernel": lambda: call(321, 5, 0, 0),
    "keys": lambda: call(250, 0, 0, 0, 0, 0),
    "a module": lambda: call(313, -1, 0, 0),
    "chmod": lambda: os.chmod(folder / "write" / "in", 0o600),
    "connect elsewhere": lambda: socket.create_connection(("127.0.0.1", other_port)),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "signal others": kill_parent,
    "read what may be read": lambda: (folder / "read" / "file").read_text(),
    "list what may be read": lambda: os.listdir(folder / "read"),
    "make and rename and remove": lambda: (
        (folder / "write" / "a").write_text("x"),
        (folder / "write" / "a").rename(folder / "write" / "b"),
        (folder / "write" / "b").unlink(),
    ),
    "connect": lambda: socket.create_connection(("127.0.0.1", port)).close(),
    "read /proc": lambda: Path("/proc/self/status").read_text(),
    "import": lambda: __import__("wave"),
    "throw away": lambda: open("/dev/null", "w").write("x"),
    "look up a map": lambda: call(321, 1, 0, 0),
}


def attempt():
    for name, act in ATTEMPTS.items():
        try:
            act()
            said = "done"
        except OSError as error:
            said = errno.errorcode[error.errno]
        print(threading.current_thread().name, name, said, sep="|")


go = threading.Event()
before = threading.Thread(target=lambda: (go.wait(), attempt()), name="before", daemon=True)
before.start()
print(confine(Places((folder / "read",), (folder / "write",), (port,)), []), file=sys.stderr)
for facts in thread_facts().values():
    print("status", facts["CapEff"], facts["NoNewPrivs"] + facts["Seccomp"], sep="|")
attempt()
go.set()
before.join()
after = threading.Thread(target=attempt, name="after")
after.start()
after.join()
"""
BY_LANDLOCK, BY_SECCOMP, BY_CAPABILITIES = "EACCES", "EPERM", "EPERM"
EXPECTED = {
    **dict.fromkeys(
        (
            "read elsewhere",
            "write elsewhere",
            "make elsewhere",
            "through a link",
            "rename out",
            "write what may be read",
            "write to /proc",
            "connect elsewhere",
            "listen",
        ),
        BY_LANDLOCK,
    ),
    **dict.fromkeys(
        (
            "execute",
            "fork",
            "ptrace",
            "read another's memory",
            "unshare",
            "load a program into the kernel",
            "keys",
            "a module",
            "chmod",
        ),
        BY_SECCOMP,
    ),
    "a raw socket": BY_CAPABILITIES,
    "signal others": "EPERM",  # Landlock's
    "look up a map": "EINVAL",  # it is tried, and there is no map
    **dict.fromkeys(
        (
            "read what may be read",
            "list what may be read",
            "make and rename and remove",
            "connect",
            "read /proc",
            "import",
            "throw away",
        ),
        "done",
    ),
}


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for name in ("read", "write", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("read/file", "elsewhere/file", "write/in"):
        (tmp_path / name).write_text("x")
    (tmp_path / "write" / "link").symlink_to(tmp_path / "elsewhere" / "file")
    return tmp_path


def test_every_thread_is_held_to_what_was_named(places: Path) -> None:
    import socket

    needs_root()
    with socket.create_server(("127.0.0.1", 0)) as wanted, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(each.getsockname()[1]) for each in (wanted, other)]
        done = subprocess.run(
            [sys.executable, "-c", ATTEMPTS, str(places), *ports],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "capabilities none; Landlock" in done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    for _, capabilities, rest in (line for line in lines if line[0] == "status"):
        assert (int(capabilities, 16), rest) == (0, "12")
    said = {(thread, name): result for thread, name, result in lines if thread != "status"}
    threads = {thread for thread, _ in said}
    assert threads == {"MainThread", "before", "after"}
    for thread in threads:
        assert {name: result for (who, name), result in said.items() if who == thread} == EXPECTED, thread
    assert (places / "elsewhere" / "file").read_text() == "x"


INSTALLED = """
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

from crosswire.nic.host.confine import confine
from crosswire.nic.host.landlock import Places

confine(Places((), (), ()), [])
import acme

offered = [each.value for each in entry_points(group="crosswire.venues") if each.name == "acme"]
print(version("acme"), acme.HELD, offered)
try:
    print(Path(sys.argv[1], "file").read_text())
except PermissionError:
    print("out of reach")
"""


def test_what_is_installed_elsewhere_than_with_python_stays_in_reach(places: Path) -> None:
    """A package in a folder of the user's or of PYTHONPATH is imported late, and says its version: no other file is."""
    needs_root()
    package, info = places / "packages", places / "packages" / "acme-2.5.dist-info"
    info.mkdir(parents=True)
    (package / "acme.py").write_text("HELD = 7\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[crosswire.venues]\nacme = acme:VENUE\n")
    path = ":".join((str(package), str(places / "elsewhere"), str(ROOT / "src")))
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, str(places / "elsewhere")],
        cwd=ROOT, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["2.5 7 ['acme:VENUE']", "out of reach"]


def evaluate(number: int, first: int = 0, architecture: int = 0xC000_003E) -> int:
    """What the filter gives for a call, as linux/filter.h says it is run."""
    import struct

    words = {0: number, 4: architecture, 16: first & 0xFFFF_FFFF}
    program = list(struct.iter_unpack("<HBBI", make_filter()))
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        if code == 0x06:
            return int(constant)
        if code == 0x20:
            accumulator = words[constant]
            continue
        met = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: accumulator & constant != 0}[code]
        at += if_true if met else if_false


ALLOW, EPERM, ENOSYS = 0x7FFF_0000, 0x0005_0001, 0x0005_0026


def test_the_filter_refuses_what_is_listed_and_nothing_else() -> None:
    special = {CLONE, CLONE3, BPF}
    for number in range(500):
        if number not in special:
            assert evaluate(number) == (EPERM if number in REFUSED.values() else ALLOW), number
    assert evaluate(CLONE3) == ENOSYS
    assert evaluate(CLONE, 0x3D0F00) == ALLOW  # as pthread_create calls it
    assert evaluate(CLONE, 0x01200011) == EPERM  # as fork does
    assert [evaluate(BPF, command) for command in range(4)] == [EPERM, ALLOW, EPERM, EPERM]
    assert evaluate(0x4000_0000 | 1) == EPERM  # x32's write
    assert evaluate(1, architecture=0x4000_0003) == EPERM  # i386's exit
    assert len(set(REFUSED.values())) == len(REFUSED)


def test_a_kernel_without_them_is_said(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "landlock_abi", lambda: 0)
    monkeypatch.setattr(confining, "has_seccomp", lambda: False)
    for name in ("call_in_other_threads", "call_here"):
        monkeypatch.setattr(confining, name, lambda calls: [0] * len(calls))
    monkeypatch.setattr(
        confining, "thread_facts", lambda: {1: {"Name": "x", "CapPrm": "0", "CapEff": "0", "NoNewPrivs": "1"}}
    )
    said = confine(Places(), ())
    assert said.endswith(
        "capabilities none; no Landlock: this kernel has none, all files are in reach; "
        "no seccomp: this kernel has none, every system call can be made"
    )


def test_a_thread_that_keeps_more_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confining, "landlock_abi", lambda: 0)
    monkeypatch.setattr(confining, "has_seccomp", lambda: False)
    for name in ("call_in_other_threads", "call_here"):
        monkeypatch.setattr(confining, name, lambda calls: [0] * len(calls))
    facts = {1: {"Name": "odd", "CapPrm": "3", "CapEff": "2", "NoNewPrivs": "1"}}
    monkeypatch.setattr(confining, "thread_facts", lambda: facts)
    with pytest.raises(HostError, match=r"^thread odd of this process keeps capabilities 2$"):
        confine(Places(), ())
    monkeypatch.setattr(confining, "call_in_other_threads", lambda calls: [0, 1])
    with pytest.raises(
        HostError, match=r"^a thread of this process can't give up what it may do: Operation not permitted"
    ):
        confine(Places(), ())
