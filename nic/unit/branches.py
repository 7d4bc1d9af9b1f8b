"""Which way branches usually go: counted in runs, and told to LLVM, which then keeps together what usually runs.

If LLVM is not told, it lays out both ways alike: what never happens, a gap in the feed or a veto, lies between what
always does, and registers are saved for it. The hot line then takes 120 jumps over 236 cache lines of code; when LLVM
is told, 64 over 198 (`docs/evidence.md`).

`branches.txt` has a line for each function of ours that a counted run called (`crosswire bench branches`): its module
and name, the digest of its source, and for each of its tests, in the order of the source, how often of 1,000 times it
was true; `-`: it was never asked. A function whose source has changed since is compiled as one that was not counted.
"""

import ast
import dis
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

COUNTED = Path(__file__).resolve().with_name("branches.txt")
NEVER = "-"
WHOLE = 1000  # shares are parts of it
DIGEST_LETTERS = 8

Ways = frozenset[int]  # where the two ways from a test begin in the bytecode


def name_of(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the name of a function."""
    return function.__module__, function.__qualname__


@functools.cache
def digest_of(function: Callable[..., Any]) -> str:
    """Digest a function's source without comments and docstring; "" where there is no source."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except OSError:
        return ""
    node = ast.parse(text).body[0]
    # A function made from a string may be given the source of what `python -c` runs: both are in "<string>".
    if not isinstance(node, ast.FunctionDef) or node.name != function.__name__:
        return ""
    if ast.get_docstring(node) is not None:
        node.body.pop(0)
    return hashlib.sha256(ast.unparse(node).encode()).hexdigest()[:DIGEST_LETTERS]


@functools.cache
def tests_of(code: CodeType) -> dict[Ways, int]:
    """Number the tests of a function in the order of its source.

    By the place of what is tested, which is that of the instruction before: bytecode differs between releases of
    Python. A test that is there twice, as that of a loop may be, has one number.
    """
    places = {}
    instructions = list(dis.get_instructions(code))
    for before, each, following in zip(instructions, instructions[1:], instructions[2:], strict=False):
        if ("JUMP" in each.opname and "IF" in each.opname) or each.opname == "FOR_ITER":
            place = before.positions
            if place is not None and None not in place:
                where = (place.lineno, place.col_offset, place.end_lineno, place.end_col_offset)
                places[frozenset((following.offset, each.argval))] = where
    numbers = {where: number for number, where in enumerate(sorted(set(places.values())))}
    return {ways: numbers[where] for ways, where in places.items()}


def test_count(tests: dict[Ways, int]) -> int:
    """How many numbers `tests_of` has given."""
    return len(set(tests.values()))


@functools.cache
def counted() -> dict[tuple[str, str], tuple[str, tuple[int | None, ...]]]:
    """Read what was counted: digest and shares, by `name_of`. ValueError if the package's own file is not whole."""
    found = {}
    try:
        for line in COUNTED.read_text().splitlines():
            module, name, digest, *shares = line.split(" ")
            found[module, name] = digest, tuple(None if each == NEVER else int(each) for each in shares)
    except (OSError, ValueError) as error:
        raise ValueError(f"{COUNTED} can't be read ({error}): install Crosswire again") from None
    return found


def is_as_counted(function: Callable[..., Any]) -> bool:
    """Tell whether a function was counted, and has the same source still."""
    digest, _ = counted().get(name_of(function), ("", ()))
    return digest != "" and digest == digest_of(function)


def shares_of(function: Callable[..., Any]) -> dict[Ways, int]:
    """How often of WHOLE times each test of a function was true; none if it was not counted as it is now."""
    if not is_as_counted(function):
        return {}
    _, shares = counted()[name_of(function)]
    tests = tests_of(function.__code__)
    if test_count(tests) != len(shares):
        return {}
    return {ways: share for ways, number in tests.items() if (share := shares[number]) is not None}
