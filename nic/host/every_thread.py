"""Have the other threads of the process make the same system calls, those too that libraries started.

Capabilities, Landlock and no_new_privs are a thread's own, and importing numpy and pyarrow starts threads (OpenBLAS's,
jemalloc's), as DPDK does: a thread that kept root's capabilities would keep them for all, since memory is shared. So
each thread is sent a signal whose handler, a few lines of machine code, makes the calls. The signal is the one by which
glibc's own setuid() reaches all threads, since that can't be blocked (nptl(7)); its handler is put back afterwards.
"""

import ctypes
import os
import platform
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from llvmlite import ir

from crosswire.nic.host.handler import I32, I64, begin_handler, end_handler, update_word
from crosswire.nic.host.process import HostError, check, libc

ARGUMENTS = 5  # of a call, the most that are passed on
CALLS_MAX = 8
PATIENCE_S = 2.0
_SIGNAL = 33  # SIGSETXID
_SA_RESTART, _SA_RESTORER = 0x10000000, 0x04000000
_RT_SIGACTION, _TGKILL = 13, 234  # of x86-64
_MASK_BYTES = 8
_SIGNALS = range(1, 32)


SystemCall = tuple[int, ...]  # its number and its arguments


class _Action(ctypes.Structure):
    """struct kernel_sigaction, as rt_sigaction(2) itself takes it."""

    _fields_ = (
        ("handler", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("restorer", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


class Outcome(ctypes.Structure):
    """What the handlers leave: how many threads are through, and by call the last -errno of one that failed, or 0."""

    _fields_ = (("done", ctypes.c_int64), ("failures", ctypes.c_int64 * CALLS_MAX))


def threads() -> dict[int, str]:
    """The threads of this process, by id, with their names."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[int(task.name)] = (task / "comm").read_text().strip()
        except OSError:  # it has ended
            continue
    return found


def call_in_other_threads(calls: Sequence[SystemCall]) -> list[int]:
    """Make `calls` in all threads but the calling one, those too that they start meanwhile; give an errno for each.

    It is 0, or what one of them got.

    HostError: a thread did not answer, or this is not x86-64.
    """
    if platform.machine() != "x86_64":
        raise HostError(f"calls in every thread: known for x86-64 only, not for {platform.machine()}")
    outcome = Outcome()
    before = _exchange_action(None)
    ours = _Action(_handler(calls, outcome), _SA_RESTART | _SA_RESTORER, _restorer(before), (1 << 64) - 1)
    _exchange_action(ours)
    try:
        told = {threading.get_native_id()}
        while new := {number: name for number, name in threads().items() if number not in told}:
            for number, name in new.items():
                _tell(number, name, outcome)
            told |= set(new)
    finally:
        _exchange_action(before)
    return [-int(outcome.failures[index]) for index in range(len(calls))]


def whole(call: SystemCall) -> SystemCall:
    """Fill a call up with zeros: the kernel may look at arguments that a call does not use."""
    return (*call, *[0] * (ARGUMENTS + 1 - len(call)))


def call_here(calls: Sequence[SystemCall]) -> list[int]:
    """Make `calls` in the calling thread; give 0, or the errno that it got, for each."""
    return [ctypes.get_errno() if libc.syscall(*map(ctypes.c_long, whole(call))) < 0 else 0 for call in calls]


def _tell(thread: int, name: str, outcome: Outcome) -> None:
    """Have one thread make the calls, and wait for it; one that has ended meanwhile needs none."""
    before = outcome.done
    begun = time.monotonic()
    if libc.syscall(_TGKILL, os.getpid(), thread, _SIGNAL) != 0:
        return
    while outcome.done == before:
        if not Path(f"/proc/self/task/{thread}").exists():
            return
        if time.monotonic() - begun > PATIENCE_S:
            raise HostError(f"thread {name} of this process can't be confined: it takes no signal")
        time.sleep(0)


def _exchange_action(action: _Action | None, number: int = _SIGNAL) -> _Action:
    """Set what happens at a signal, if it is given; return what was set before."""
    before = _Action()
    given = None if action is None else ctypes.byref(action)
    result = libc.syscall(_RT_SIGACTION, number, given, ctypes.byref(before), _MASK_BYTES)
    check(result, f"rt_sigaction of signal {number}")
    return before


def _restorer(before: _Action) -> int:
    """Where the C library's way back from a handler is: any handler that it has set tells."""
    for action in (before, *(_exchange_action(None, number) for number in _SIGNALS)):
        if action.restorer:
            return int(action.restorer)
    raise HostError("calls in every thread: the C library has set no handler of a signal")


def _address_of(function: object) -> ir.Constant:
    return ir.Constant(I64, ctypes.cast(function, ctypes.c_void_p).value)  # type: ignore[arg-type]


def _handler(calls: Sequence[SystemCall], outcome: Outcome) -> int:
    """Compile a handler that makes the calls and notes what they gave; its address."""
    builder = begin_handler()
    call_type = ir.FunctionType(I64, [I64], var_arg=True).as_pointer()
    system_call = builder.inttoptr(_address_of(libc.syscall), call_type)
    errno_type = ir.FunctionType(I32.as_pointer(), []).as_pointer()
    errno_at = builder.call(builder.inttoptr(_address_of(libc.__errno_location), errno_type), [])
    kept = builder.load(errno_at)  # the thread may have been about to read it
    for index, call in enumerate(calls):
        words = [ir.Constant(I64, word) for word in whole(call)]
        result = builder.call(system_call, words)
        with builder.if_then(builder.icmp_signed("<", result, ir.Constant(I64, 0))):
            place = ctypes.addressof(outcome) + Outcome.failures.offset + 8 * index
            failure = builder.neg(builder.sext(builder.load(errno_at), I64))
            builder.store(failure, builder.inttoptr(ir.Constant(I64, place), I64.as_pointer()))
    builder.store(kept, errno_at)
    update_word(builder, "add", ctypes.addressof(outcome) + Outcome.done.offset, 1)
    return end_handler(builder, outcome)
