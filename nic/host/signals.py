"""Signals that ask a process to end: noted, and nothing is ended by them.

A command that waits in Python has them in a list (`note_signals`). That needs the interpreter, and a core for it: with
both of two cores busy it took 3.6 ms. A thread that trades is to hear of a signal at once. So there a handler in
machine code sets words that the thread reads anyway, and the kernel calls it in that very thread: all others hold
signals back (`hold_signals`), and a running thread is interrupted for one wherever it is (signal(7)).
"""

import ctypes
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from crosswire.nic.host.handler import begin_handler, end_handler, update_word
from crosswire.nic.host.process import libc

# All that would end a process by default (signal(7)) but SIGKILL, what a fault of its own raises, and SIGPIPE and
# SIGXFSZ, which Python makes errors of.
ENDING_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGPOLL,
    signal.SIGXCPU,
    signal.SIGPWR,
    signal.SIGSTKFLT,
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)

libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)


def noted_signals() -> Iterator[int]:
    """Name those that are to be noted: what is ignored is to stay so, as SIGHUP is for what nohup starts."""
    for number in ENDING_SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            yield number


def note_signals() -> list[int]:
    """Append signals to this list from here on, for the main thread to look at."""
    received: list[int] = []
    for number in noted_signals():
        signal.signal(number, lambda number, _frame: received.append(number))
    return received


def set_words_on_signals(words: Iterable[tuple[int, int]], memory: object) -> None:
    """Have each signal set signed 64-bit words to at least a value, (address, value) in this order, from here on.

    `memory` is what they lie in; it is kept for as long as the process lives.
    """
    builder = begin_handler()
    for address, value in words:
        update_word(builder, "max", address, value)
    handler = end_handler(builder, memory)
    for number in noted_signals():
        libc.signal(number, handler)


def hold_signals() -> None:
    """Have signals wait for a thread that lets them in, not for this one, nor for those that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


def let_signals_in() -> None:
    """Have this thread be interrupted for signals, those too that wait."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back for a while: what threads libraries start meanwhile do so for good."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
