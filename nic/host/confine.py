"""Giving up what a process that trades does not need, once all that it needs is open: no way leads back.

    capabilities   all but those named, in every thread
    no_new_privs   what is executed gains nothing (prctl(2))
    Landlock       files and TCP ports but those named are out of reach, in every thread
    seccomp        calls that it never makes fail, in every thread

Capabilities and no_new_privs must be had, or it does not start. Landlock and seccomp are had where the kernel has them;
`confine` says what there is, and what there is not.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from crosswire.nic.host.every_thread import call_here, call_in_other_threads, threads
from crosswire.nic.host.landlock import RESTRICT_SELF, Places, Ruleset, landlock_abi
from crosswire.nic.host.process import CAPABILITIES, HostError, capability_request, effective_capabilities
from crosswire.nic.host.seccomp import has_seccomp, refuse_calls

_PRCTL, _CAPSET = 157, 126  # of x86-64
_PR_SET_NO_NEW_PRIVS = 38
# Libraries that are loaded, and facts about the host that are read, while it runs and when it reports.
SYSTEM_PLACES = tuple(map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc", "/sys")))
# The package's folders one by one: in a checkout they are links.
PYTHON_PLACES = (Path(sys.prefix), Path(sys.base_prefix), *Path(__file__).parents[2].iterdir())
DEVICES_READ = (Path("/dev/urandom"),)
DEVICES_WRITTEN = (Path("/dev/null"),)


def installed_places() -> tuple[Path, ...]:
    """List the folders of Python's path that packages are installed in: PYTHONPATH's and the user's own, too.

    What is imported late lies there, and what packages say of themselves: their versions and entry points.
    """
    folders = dict.fromkeys(Path(each) for each in sys.path if each)
    return tuple(folder for folder in folders if any(folder.glob("*.*-info")))


def thread_facts() -> dict[int, dict[str, str]]:
    """What the kernel tells of each thread in /proc/self/task/*/status, by id."""
    facts = {}
    for number in threads():
        try:
            lines = Path(f"/proc/self/task/{number}/status").read_text().splitlines()
        except OSError:  # it has ended
            continue
        facts[number] = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return facts


def confine(places: Places, capabilities: Iterable[str], own: Iterable[str] = ()) -> str:
    """Hold every thread of the process, and all that they will start, to `places` and `capabilities`.

    The calling thread keeps those of `own` beside, until it gives them up, and so do threads that it starts before. One
    line of what was obtained. HostError: a thread would have kept more.
    """
    kept = sum(1 << CAPABILITIES[name] for name in capabilities)
    for each in thread_facts().values():  # a thread that lacks one of them can't be given it
        kept &= int(each["CapPrm"], 16)
    own_kept = kept | effective_capabilities() & sum(1 << CAPABILITIES[name] for name in own)
    abi = landlock_abi()
    with ExitStack() as closing:
        calls = [(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1)]
        if abi > 0:
            reachable = Places(
                (*SYSTEM_PLACES, *PYTHON_PLACES, *installed_places(), *DEVICES_READ, *places.read),
                (*DEVICES_WRITTEN, *places.write),
                places.connect,
            )
            calls.append((RESTRICT_SELF, closing.enter_context(Ruleset(reachable, abi)).descriptor, 0))
        for their, make in ((kept, call_in_other_threads), (own_kept, call_here)):
            request = capability_request(their)
            failures = make([*calls, (_CAPSET, *map(ctypes.addressof, request))])
            if any(failures):
                reason = os.strerror(next(filter(None, failures)))
                raise HostError(f"a thread of this process can't give up what it may do: {reason}")
    if has_seccomp():
        refuse_calls()
    for number, each in thread_facts().items():
        most = own_kept if number == threading.get_native_id() else kept
        if int(each["CapEff"], 16) & ~most or each["NoNewPrivs"] != "1":
            raise HostError(f"thread {each['Name']} of this process keeps capabilities {each['CapEff']}")
    names = ", ".join(name for name, bit in CAPABILITIES.items() if kept >> bit & 1)
    return "; ".join(
        (
            f"confined {len(threads())} threads: capabilities {names or 'none'}",
            f"Landlock {abi}" if abi else "no Landlock: this kernel has none, all files are in reach",
            "seccomp" if has_seccomp() else "no seccomp: this kernel has none, every system call can be made",
        )
    )
