"""Run a file's own tests over its mutants, each in a fork of the process that has collected the tests.

First all tests run over the file as it is, and which of its lines each runs is noted. A mutant is run with the tests
that reach its line, the quickest first, or with all where none is seen to: it may be reached in another process. What
is run at import is run by a fork that has not imported anything yet.

The slowest test is run once before, so that what its module's tests share is there in every fork: making it may take a
hundred times as long as one of them. A mutant that survives is run again without, as making it may be what it spoils.
"""

import ast
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest

from tests.mutants.mutate import Mutant
from tests.mutants.place import Changed, swap_functions

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MAX_BYTES = 4 << 30  # of a mutant that allocates without end
LIMIT_TIMES = 5  # of what the tests need without a mutant; one that takes longer than that is found
LIMIT_MIN_S = 10.0
LIMIT_TEST_MIN_S = 3.0  # of processor time, for one test: what loops without end is not waited for until all could end
LIMIT_PLAIN_S = 900.0
LIMIT_IMPORT_S = 120.0  # of a mutant that is run at import, before it is known what the tests need
POLL_S = 0.002

# What fails is not made smaller, and the same examples come again.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


class Run:
    """One source file, its own tests, and what became of its mutants so far."""

    def __init__(self, path: Path, tree: ast.Module, tests: list[str], say: Callable[[Mutant, str], None]) -> None:
        self.path, self.tree, self.tests, self.say = path, tree, tests, say
        self.name = ".".join(("crosswire", *path.relative_to(ROOT).with_suffix("").parts))
        self.folder = ""
        self.waiting: list[Mutant] = []
        self.end_s = 0.0
        self.failed: list[str] = []

    def run(self, mutants: list[Mutant], end_s: float) -> None:
        """Run mutants in this order until the monotonic clock says `end_s`; what is run at import, a quarter of it."""
        self.end_s = end_s
        import_end_s = time.monotonic() + (end_s - time.monotonic()) / 4
        with tempfile.TemporaryDirectory(prefix="mutants-") as self.folder:
            for mutant in mutants:
                if mutant.is_run_at_import and time.monotonic() < import_end_s:
                    self.say(mutant, in_fork(lambda: self._run_at_import(mutant), LIMIT_IMPORT_S))  # noqa: B023
            self.waiting = [mutant for mutant in mutants if not mutant.is_run_at_import]
            status = self._pytest([self])
        if self.failed or status != 0:
            sys.exit(f"tests.mutants: without a mutant, {self.failed or f'pytest ends with {status}'}")

    def _pytest(self, plugins: list[object]) -> int:
        options = ["-q", "-x", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--hypothesis-profile=mutants"]
        options += [f"--basetemp={self.folder}/pytest", "--rootdir", str(ROOT)]
        return pytest.main([*options, *self.tests], plugins)

    def _run_at_import(self, mutant: Mutant) -> bool:
        mutant.apply()
        Changed(self.name, self.path, self.tree)
        return self._pytest([]) == 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the collected tests over every mutant, in place of once."""
        importlib.import_module(self.name)
        noted = Path(self.folder, "noted.json")
        if in_fork(lambda: self._note(session, noted), LIMIT_PLAIN_S) != "survived":
            self.failed = [noted.read_text() if noted.is_file() else "tests end early or take too long"]
            return True
        reached = json.loads(noted.read_text())
        slowest = max(session.items, key=lambda item: reached[item.nodeid]["seconds"])
        # The quickest first, behind those that share what is there.
        ranked = sorted(
            session.items, key=lambda item: (item.parent is not slowest.parent, reached[item.nodeid]["seconds"])
        )
        is_warm = warm(slowest, session)
        if in_fork(lambda: passes(ranked, ranked[0]), LIMIT_PLAIN_S) != "survived":
            self.failed = ["a test fails where the slowest has run before"]
            return True
        for mutant in self.waiting:
            if time.monotonic() > self.end_s:
                break
            items = [item for item in ranked if mutant.line in reached[item.nodeid]["lines"]] or ranked
            limit_s = max(LIMIT_MIN_S, LIMIT_TIMES * sum(reached[item.nodeid]["seconds"] for item in items))
            found = "survived"
            for is_anew in (False, True) if is_warm else (True,):
                if found == "survived":
                    limits_s = [] if is_anew else [LIMIT_TIMES * reached[item.nodeid]["seconds"] for item in items]
                    found = in_fork(lambda: self._run_function(mutant, items, limits_s), limit_s)  # noqa: B023
            self.say(mutant, found)
        return True

    def _run_function(self, mutant: Mutant, items: list[pytest.Item], limits_s: list[float]) -> bool:
        """Run tests over a mutant; without limits of the single ones, what they share is made anew."""
        mutant.apply()
        swap_functions(sys.modules[self.name], self.path, self.tree)
        return passes(items, items[0] if limits_s else items[0].session, limits_s)

    def _note(self, session: pytest.Session, noted: Path) -> bool:
        """Note the time that each test takes, and which lines of the file it runs."""
        file, lines = sys.modules[self.name].__file__, set[int]()

        def on_line(frame: FrameType, event: str, argument: object) -> Any:
            lines.add(frame.f_lineno)
            return on_line

        def on_call(frame: FrameType, event: str, argument: object) -> Any:
            return on_line(frame, event, argument) if frame.f_code.co_filename == file else None

        threading.settrace(on_call)
        sys.settrace(on_call)
        reached = {}
        begun_s = time.monotonic()
        for item in run_items(session.items):
            if session.testsfailed != 0:
                noted.write_text(f"{item.nodeid} fails")
                return False
            reached[item.nodeid] = {"seconds": time.monotonic() - begun_s, "lines": sorted(lines)}
            lines.clear()
            sys.settrace(on_call)  # what a test runs may have ended it, as hypothesis does
            begun_s = time.monotonic()
        noted.write_text(json.dumps(reached))
        return True


def warm(item: pytest.Item, session: pytest.Session) -> bool:
    """Run a test, and keep what others of its module share with it; False if there are none."""
    others = [each for each in session.items if each.parent is item.parent and each is not item]
    if others:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=others[0])
    return bool(others)


def passes(items: list[pytest.Item], kept: pytest.Item | pytest.Session, limits_s: Sequence[float] = ()) -> bool:
    """Tell whether tests pass, up to the first that does not; of what earlier ones share, `kept`'s is kept.

    One that takes more processor time than its limit ends the process.
    """
    session = items[0].session
    session._setupstate.teardown_exact(kept)  # type: ignore[arg-type]
    limits = [max(LIMIT_TEST_MIN_S, limit_s) for limit_s in limits_s] or [0.0] * len(items)
    running = run_items(items)
    for limit_s in limits:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        next(running)
        if session.testsfailed != 0:
            return False
    return True


def run_items(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Run tests in this order, yielding each after it has run."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item


def in_fork(run: Callable[[], bool], limit_s: float) -> str:
    """Tell what becomes of a mutant in a process, and a group, of its own: `run` tells there whether it survives."""
    until_s = time.monotonic() + limit_s
    child = os.fork()
    if child == 0:
        survives = False
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
            sink = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(sink, descriptor)
            survives = run()
        finally:
            os._exit(0 if survives else 1)
    ended, status = 0, 1
    while ended == 0 and time.monotonic() < until_s:
        time.sleep(POLL_S)
        ended, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it may have started, too
    if ended == 0:
        os.waitpid(child, 0)
    if ended == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF):
        return "timeout"
    return "survived" if status == 0 else "killed"
