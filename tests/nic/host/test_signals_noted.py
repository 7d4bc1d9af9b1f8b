"""Which signals are noted, held back and let in again, each in a fork: a process has only one way to take a signal."""

import ctypes
import os
import signal
from collections.abc import Callable

import pytest

from crosswire.nic.host.signals import (
    hold_signals,
    let_signals_in,
    note_signals,
    noted_signals,
    set_words_on_signals,
    signals_held,
)


def in_child(run: Callable[[], bool]) -> bool:
    """Tell what `run` says in a process of its own; False if a signal ends that."""
    child = os.fork()
    if child == 0:
        said = False
        try:
            said = run()
        finally:
            os._exit(0 if said else 1)
    return os.waitpid(child, 0)[1] == 0


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_what_is_ignored_is_not_noted_but_an_interrupt_is() -> None:
    def run() -> bool:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        noted = list(noted_signals())
        return (
            signal.SIGINT in noted
            and signal.SIGTERM in noted
            and signal.SIGHUP not in noted
            and signal.SIGQUIT not in noted
        )

    assert in_child(run)


def test_signals_are_noted_in_their_order_and_end_nothing() -> None:
    def run() -> bool:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        received = note_signals()
        sent = [signal.SIGUSR1, signal.SIGRTMAX, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGRTMIN]
        for number in sent:
            send(number)
        return received == [number for number in sent if number != signal.SIGHUP]

    assert in_child(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGRTMAX])
def test_what_is_held_waits_until_it_is_let_in(number: int) -> None:
    def run() -> bool:
        received = note_signals()
        hold_signals()
        send(number)
        is_held = received == [] and number in signal.sigpending()
        let_signals_in()
        return is_held and received == [number]

    assert in_child(run)


@pytest.mark.parametrize("was_held", [False, True])
def test_what_was_held_before_is_held_behind(was_held: bool) -> None:
    def run() -> bool:
        received = note_signals()
        if was_held:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        with signals_held():
            send(signal.SIGUSR1)
            send(signal.SIGTERM)
            inside = list(received)
        return inside == [] and sorted(received) == sorted([signal.SIGTERM] + [signal.SIGUSR1] * (not was_held))

    assert in_child(run)


def test_signals_raise_words_in_their_order_and_lower_none() -> None:
    def run() -> bool:
        words = (ctypes.c_int64 * 3)(0, 5, 1)
        at = ctypes.addressof(words)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        set_words_on_signals([(at, 2), (at + 8, 2), (at + 16, 7)], words)
        send(signal.SIGHUP)
        before = list(words)
        send(signal.SIGTERM)
        return before == [0, 5, 1] and list(words) == [2, 5, 7]

    assert in_child(run)
