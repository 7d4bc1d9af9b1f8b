"""LLVM is told which way branches usually go, of functions that are as they were when it was counted, and no others."""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

from crosswire.nic.unit import branches
from crosswire.nic.unit.compile import plain_function

AS_COUNTED_LEAST = 0.9
TELL_WEIGHTS = """
import sys
from crosswire.nic.unit import branches
from crosswire.nic.unit.build import compiler_of_this_process
sys.path.insert(0, sys.argv[1])
import sample
branches.counted = lambda: {("sample", "total"): (sys.argv[2], tuple(map(int, sys.argv[3:])))}
backend = compiler_of_this_process()
result = backend.compile_function(sample.total, (backend.types.int64,), False)
print(*map(str, result.library.modules))
"""
SAMPLE = '''
def total(count):
    """Add up."""
    found = 0
    for number in range(count):
        if number > 5 and number != 7:  # a test of two
            found += number
    return found
'''


def total(count: int) -> int:
    found = 0
    while found < count:
        if found > 5 and not found % 2:
            found += 2
        else:
            found += 1 if count > 3 else 2
    return found


@pytest.fixture
def sample(tmp_path: Any) -> Callable[[str], Any]:
    """Import the text of a module from a file, each time anew."""

    def load(text: str) -> Any:
        name = f"sample_{len(list(tmp_path.iterdir()))}"
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


def test_tests_are_numbered_in_the_order_of_the_source() -> None:
    tests = branches.tests_of(total.__code__)
    # The loop's own test, which 3.11 compiles twice; the two of `and`; the conditional expression.
    assert branches.test_count(tests) == 4
    assert set(tests.values()) == {0, 1, 2, 3}
    begins = {number: min(min(ways) for ways, each in tests.items() if each == number) for number in range(4)}
    assert begins[1] < begins[2] < begins[3]


def test_comments_and_docstrings_change_no_digest_and_all_else_does(sample: Callable[[str], Any]) -> None:
    digest = branches.digest_of(sample(SAMPLE).total)
    others = [SAMPLE.replace("Add up.", "Sum."), SAMPLE.replace("  # a test of two", ""), "\n\n\n" + SAMPLE]
    assert {branches.digest_of(sample(each).total) for each in others} == {digest}
    for old, new in (("> 5", ">= 5"), ("!= 7", "!= 8"), ("and", "or"), ("found += number", "found += 1")):
        assert branches.digest_of(sample(SAMPLE.replace(old, new)).total) != digest


def test_a_function_without_source_was_never_counted() -> None:
    space: dict[str, Any] = {"__name__": "nowhere"}
    exec("def total(count):\n    return count if count else 1\n", space)
    assert branches.digest_of(space["total"]) == ""
    assert branches.shares_of(space["total"]) == {}


@pytest.mark.parametrize("shares", [(1, 2, 3, 4), (1, None, 3, 1000)])
def test_shares_are_those_of_the_tests(shares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {branches.name_of(total): (branches.digest_of(total), shares)}
    monkeypatch.setattr(branches, "counted", lambda: table)
    tests = branches.tests_of(total.__code__)
    wanted = {ways: shares[number] for ways, number in tests.items() if shares[number] is not None}
    assert branches.shares_of(total) == wanted


@pytest.mark.parametrize(
    ("digest", "shares"), [("00000000", (1, 2, 3, 4)), (None, (1, 2, 3)), (None, (1, 2, 3, 4, 5)), (None, ())]
)
def test_what_was_counted_otherwise_is_not_used(digest: Any, shares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {branches.name_of(total): (digest or branches.digest_of(total), shares)}
    monkeypatch.setattr(branches, "counted", lambda: table)
    assert branches.shares_of(total) == {}


@pytest.mark.parametrize("text", [None, "crosswire.engine.loop run", "crosswire.engine.loop run 00000000 x", "\x00"])
def test_counts_that_are_not_whole_are_named(text: str | None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "branches.txt"
    if text is not None:
        path.write_text(f"crosswire.engine.loop finish 00000000 500\n{text}\n")
    monkeypatch.setattr(branches, "COUNTED", path)
    with pytest.raises(ValueError, match=f"{path} can't be read .*: install Crosswire again"):
        branches.counted.__wrapped__()


def told_weights(folder: Any, digest: str, *shares: int) -> str:
    (folder / "sample.py").write_text(SAMPLE)
    command = [sys.executable, "-c", TELL_WEIGHTS, str(folder), digest, *map(str, shares)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_llvm_is_told_what_was_counted(tmp_path: Any, sample: Callable[[str], Any]) -> None:
    digest = branches.digest_of(sample(SAMPLE).total)
    told = told_weights(tmp_path, digest, 990, 20, 0)
    for true, false in ((990, 10), (20, 980), (0, 1000)):
        assert f'!"branch_weights", i32 {100 * true + 1}, i32 {100 * false + 1}' in told
    changed = told_weights(tmp_path, "00000000", 990, 20, 0)
    assert "i32 99001" not in changed


def test_what_was_counted_is_of_this_source() -> None:
    """What changes is compiled as if it had not been counted: the hot line would get slower, and nobody see it."""
    stale = []
    for module, name in branches.counted():
        found = reduce(lambda at, part: getattr(at, part, None), name.split("."), importlib.import_module(module))
        if found is None or not branches.is_as_counted(plain_function(found)):
            stale.append(f"{module}.{name}")
    share = 1 - len(stale) / len(branches.counted())
    assert share >= AS_COUNTED_LEAST, f"crosswire bench branches counts anew: {share:.0%} is as counted; not {stale}"
