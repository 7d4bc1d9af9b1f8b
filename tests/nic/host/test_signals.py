"""Whatever signal asks a process to end: it is noted, and ends nothing by itself."""

import signal
import subprocess
import sys

import pytest

from crosswire.nic.host.process import ENDING_SIGNALS
from tests.support.paths import ROOT

NOTE = """
import os, signal, sys
from crosswire.nic.host.process import note_signals
signal.signal(int(sys.argv[1]), signal.SIG_DFL)  # a shell's background job ignores SIGQUIT
acted = []
received = note_signals(lambda: acted.append(1))
os.kill(os.getpid(), int(sys.argv[1]))
print(received == [int(sys.argv[1])], len(acted))
"""
# What no process can or should outlive, what stops or continues it, and what does nothing by default.
OTHERS = {
    "SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT", "SIGPIPE", "SIGXFSZ",
    "SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH",
}  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGQUIT, signal.SIGALRM, signal.SIGRTMIN, signal.SIGRTMAX])
def test_a_signal_is_noted_and_ends_nothing(number: int) -> None:
    command = [sys.executable, "-c", NOTE, str(int(number))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "True 1\n")


def test_no_signal_is_forgotten() -> None:
    named = {each.name for each in signal.Signals}
    assert {signal.Signals(each).name for each in ENDING_SIGNALS if each in list(signal.Signals)} == named - OTHERS


def test_what_is_ignored_stays_so() -> None:
    ignoring = NOTE.replace("SIG_DFL", "SIG_IGN")
    command = [sys.executable, "-c", ignoring, str(int(signal.SIGHUP))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "False 0\n"
