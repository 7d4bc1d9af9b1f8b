"""Whatever signal asks a process to end: it is noted, and ends nothing by itself."""

import mmap
import os
import signal
import subprocess
import sys
import time

import pytest

from crosswire.nic.host.signals import ENDING_SIGNALS
from tests.support.paths import ROOT

NOTE = """
import os, signal, sys
from crosswire.nic.host.signals import note_signals
signal.signal(int(sys.argv[1]), signal.SIG_DFL)  # a shell's background job ignores SIGQUIT
received = note_signals()
os.kill(os.getpid(), int(sys.argv[1]))
print(received == [int(sys.argv[1])])
"""
# A loop's thread outside the interpreter, which the main thread does not let go of meanwhile.
RAISE = """
import ctypes, mmap, signal, sys, threading, time
from crosswire.nic.host.signals import hold_signals, let_signals_in, set_words_on_signals
memory = mmap.mmap(int(sys.argv[2]), 0)
words = (ctypes.c_int64 * 3).from_buffer(memory)
signal.signal(int(sys.argv[1]), signal.SIG_DFL)
hold_signals()
at = ctypes.addressof(words)
set_words_on_signals([(at, 2), (at + 8, 2)], words)
holding = ctypes.PyDLL(None)

def loop():
    let_signals_in()
    ctypes.CDLL(None).usleep(4_000_000)

threading.Thread(target=loop, daemon=True).start()
time.sleep(0.1)
words[1] = 5
words[2] = 1
holding.usleep(3_000_000)
words[2] = 2
time.sleep(5)
"""
# What no process can or should outlive, what stops or continues it, and what does nothing by default.
OTHERS = {
    "SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT", "SIGPIPE", "SIGXFSZ",
    "SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH",
}  # fmt: skip
SIGNALS = [signal.SIGUSR1, signal.SIGQUIT, signal.SIGALRM, signal.SIGRTMIN, signal.SIGRTMAX]
PATIENCE_S = 30


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_ends_nothing(number: int) -> None:
    command = [sys.executable, "-c", NOTE, str(int(number))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "True\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, *SIGNALS])
def test_a_signal_raises_words_while_another_thread_holds_the_interpreter(number: int) -> None:
    """It waits for nobody, raises what is lower and leaves what is higher, and ends nothing."""
    shared = os.memfd_create("words")
    os.ftruncate(shared, mmap.PAGESIZE)
    memory = mmap.mmap(shared, 0)
    words = memoryview(memory).cast("q")
    command = [sys.executable, "-c", RAISE, str(int(number)), str(shared)]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[shared]) as process:
        until_s = time.monotonic() + PATIENCE_S
        while words[2] == 0 and time.monotonic() < until_s:
            time.sleep(0.001)
        process.send_signal(number)
        while words[0] == 0 and words[2] < 2 and time.monotonic() < until_s:
            pass
        seen = list(words[:3])
        time.sleep(0.05)
        assert process.poll() is None
        process.kill()
    words.release()
    os.close(shared)
    assert seen == [2, 5, 1]


def test_no_signal_is_forgotten() -> None:
    named = {each.name for each in signal.Signals}
    assert {signal.Signals(each).name for each in ENDING_SIGNALS if each in list(signal.Signals)} == named - OTHERS


def test_what_is_ignored_stays_so() -> None:
    ignoring = NOTE.replace("SIG_DFL", "SIG_IGN")
    command = [sys.executable, "-c", ignoring, str(int(signal.SIGHUP))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "False\n"
