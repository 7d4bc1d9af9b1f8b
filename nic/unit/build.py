"""Compile units side by side, each in a process of its own that is forked for that and ends with it.

The process that trades never imports numba. Ctrl-C ends the compiling at once: LLVM's passes would not look up.
"""

import ctypes
import gc
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from crosswire.nic.host.process import HostError
from crosswire.nic.unit import store
from crosswire.nic.unit.compile import lowerings
from crosswire.nic.unit.listen import Progress, tell
from crosswire.nic.unit.target import target

if TYPE_CHECKING:
    from crosswire.nic.unit.unit import Unit

LOOK_S = 0.1  # between two looks
PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM)


class CompileError(Exception):
    """A function can't be compiled: numba's words, of several lines. `unit` is the name of its unit."""

    def __init__(self, unit: str, text: str) -> None:
        super().__init__(text)
        self.unit = unit


@dataclass
class Worker:
    """One forked process: what it works on, and the pipe to it."""

    process: int
    pipe: Any
    number: int = -1  # of the unit; -1: none


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def compile_units(folder: Path, units: "Sequence[tuple[Unit, str]]", compiler: str) -> None:
    """Compile units and put them into the store under their keys. CompileError; StoreError: it can't be written.

    HostError: no process can be started.
    """
    from multiprocessing.connection import wait

    begun = time.monotonic()
    workers: list[Worker] = []
    done, following = 0, 0
    try:
        for _ in range(min(core_count(), len(units))):
            try:
                workers.append(start_worker(folder, units, compiler, workers))
            except OSError as error:
                if not workers:
                    raise HostError(f"compiling: no process can be started for it: {error.strerror}") from None
                break
        while done < len(units):
            for worker in workers:
                if worker.number < 0 and following < len(units):
                    worker.number = following
                    with suppress(OSError):  # if it has died, its missing answer says so
                        worker.pipe.send_bytes(str(following).encode())
                    following += 1
            names = tuple(units[worker.number][0].name for worker in workers if worker.number >= 0)
            tell(Progress(names, done, len(units), time.monotonic() - begun))
            ready = wait([worker.pipe for worker in workers if worker.number >= 0], LOOK_S)
            for worker in workers:
                if worker.pipe in ready:
                    take_answer(worker, units[worker.number][0].name)
                    worker.number = -1
                    done += 1
        tell(Progress((), done, len(units), time.monotonic() - begun))
    finally:
        for worker in workers:
            end_worker(worker)


def take_answer(worker: Worker, name: str) -> None:
    """Raise what a worker says went wrong with the unit `name`."""
    try:
        answer = json.loads(worker.pipe.recv_bytes())
    except (EOFError, OSError):
        raise CompileError(name, f"the process that compiled {name} died: is there memory left?") from None
    if answer["kind"] == "store":
        raise store.StoreError(answer["text"])
    if answer["kind"] == "error":
        raise CompileError(name, answer["text"])


def end_worker(worker: Worker) -> None:
    """Kill a worker and wait for it: what it has finished is in the store."""
    worker.pipe.close()
    os.kill(worker.process, signal.SIGKILL)
    os.waitpid(worker.process, 0)


def start_worker(folder: Path, units: "Sequence[tuple[Unit, str]]", compiler: str, others: Sequence[Worker]) -> Worker:
    """Fork a process that compiles the units whose numbers it is sent."""
    from multiprocessing.connection import Pipe

    ours, theirs = Pipe()
    parent = os.getpid()
    # A terminal sends Ctrl-C to the whole group. A compiler that died of it before the parent heard of it would look as
    # if it had run out of memory; so only the parent hears it, and kills them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        process = os.fork()
        if process == 0:
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if process == 0:
        ours.close()
        for other in others:
            other.pipe.close()
        run_worker(folder, units, compiler, theirs, parent)
    theirs.close()
    return Worker(process, ours)


def run_worker(folder: Path, units: "Sequence[tuple[Unit, str]]", compiler: str, pipe: Any, parent: int) -> NoReturn:
    """Compile, in the forked process, until the pipe ends, or the parent does."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            gc.disable()  # a compilation's garbage goes with the process
            while True:
                unit, key = units[int(pipe.recv_bytes())]
                pipe.send_bytes(json.dumps(compile_and_store(folder, unit, key, compiler)).encode())
    finally:
        os._exit(0)


def compile_and_store(folder: Path, unit: "Unit", key: str, compiler: str) -> dict[str, str]:
    """Compile one unit into the store; return what to answer."""
    try:
        backend = compiler_of_this_process()
        entries = [(each.name, each.function, each.kinds, each.in_memory) for each in unit.entries]
        made = backend.compile_unit(unit.name, entries)
        store.write_unit(
            folder,
            store.StoredUnit(unit.name, key, compiler, made.returns, made.faults, made.symbols, made.object_code),
        )
    except OSError as error:
        return {"kind": "store", "text": f"{folder}: unit {unit.name} can't be written: {error.strerror or error}"}
    except Exception as error:
        return {"kind": "error", "text": f"{type(error).__name__}: {error}"}
    return {"kind": "done"}


_prepared: list[Any] = []


def compiler_of_this_process() -> Any:
    """Return the compiler, made ready at the first call.

    A process that calls this compiles units and nothing else, or forks processes that do.
    """
    if not _prepared:
        from crosswire.nic.host import system_call  # noqa: F401  what it generates must be known before
        from crosswire.nic.unit import backend

        assert lowerings
        backend.install(target().level, target().processor)
        _prepared.append(backend)
    return _prepared[0]
