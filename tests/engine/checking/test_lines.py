"""One line each: those that compiled code takes as they read pass, and the others are refused with their rule."""

from pathlib import Path

import pytest

from crosswire.engine.checking.file import check_use
from crosswire.engine.checking.mistake import CodeMistake

HEAD = """import functools
from enum import IntEnum
from typing import Annotated

from crosswire import Array, Desk, OrderState, Strategy, compiled, f64, i64, on_book, u64

PAIR = (3, 5)


class Color(IntEnum):
    RED = 1


class Mine(Strategy):
    a: i64
    b: i64
    wide: u64
    ratio: f64
    table: Annotated[Array, i64, 4]


@compiled
def pair(x: int) -> tuple[int, int]:
    return x, x + 1


@compiled
def defaulted(x: int, by: int = 2) -> int:
    return PAIR[by - 1] + x


class Holder:
    @staticmethod
    @compiled
    def helper(x: int) -> int:
        return x


@functools.cache
@compiled
def cached(x: int) -> int:
    return x


def wrapping(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


@wrapping
@compiled
def wrapped(x: int) -> int:
    return x


@compiled
def listing(x: int, known=[]) -> int:
    return x


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    x = strategy.a
"""
REFUSED = {
    "strategy.b = x << 64": "width",
    "strategy.b = x >> 64": "width",
    "strategy.b = x << -1": "width",
    "strategy.b = x ** -1": "width",
    "strategy.wide = -1": "width",
    "strategy.b = desk.books[256].bid_ticks": "index",
    "strategy.b = max(x)": "argument",
    "strategy.b = max(x, 3, key=abs)": "argument",
    "strategy.b = x if x > 3 else 0.5": "float",
    "strategy.b = x if x > 3 else None": "kind",
    "strategy.b = x if x > 3 else book": "kind",
    "strategy.b = x + None": "kind",
    "strategy.b = 1 if x is None else 0": "compare",
    "strategy.b = x @ 3": "python",
    "strategy.b = pair(x) + (1,)": "kind",
    "z, w = 1, 2, 3": "argument",
    "z, w, v = pair(x)": "argument",
    "z, *w = 1, 2, 3": "python",
    "PAIR[0] = 1": "state",
    "x.a = 3": "field",
    "for i in range(4, -1, -1): strategy.table[i] = i": "index",
    "for i in range(0, 8, 2): strategy.table[i] = i": "index",
    "match x:\n        case int(): strategy.b = 1": "python",
    "match (x, 3):\n        case (1, 2): strategy.b = 1": "python",
    "match x:\n        case 'a': strategy.b = 1": "text",
    "match x:\n        case z if z > strategy.typo: strategy.b = 1": "field",
    "for i in range(0, 8, 0): strategy.b = i": "loop",
    "while x < 4: x = 3 + 0": "loop",
    "if x > 1 and (z := x + 1) > 3: pass\n    strategy.b = z": "unassigned",
    "if x > 1 or (z := x + 1) > 3: strategy.b = z": "unassigned",
    "y = x > 1 and (z := x + 1) > 3\n    strategy.b = z": "unassigned",
    "strategy.b = strategy.table[x > 1]": "index",
    "strategy.b = len(strategy.table)": "python",
    "strategy.b = len(desk.books)": "python",
    "strategy.b = 1 if x in strategy.table else 0": "container",
    "for i, each in enumerate(strategy.table): strategy.b += each": "container",
    "strategy.b = Color(1)": "python",
    "strategy.b = int(Color.RED)": "python",
    "strategy.b = int(OrderState.LIVE)": "python",
    "strategy.b = pow(x, 2, 7)": "python",
    "strategy.b = Holder.helper(x)": "helper",
    "strategy.b = cached(x)": "helper",
    "strategy.b = wrapped(x)": "helper",
    "assert x > 0, f'{x}'": "text",
    "while strategy.b < 4: strategy.a += 1": "loop",
}
PASSING = [
    "strategy.b = -9223372036854775808",
    "strategy.b = x << 63",
    "strategy.b = max(PAIR) + min((x, 3))",
    "strategy.b = divmod(x, 3)[1]",
    "strategy.b = desk.books[255].bid_ticks",
    "z, w = pair(x)",
    "match x:\n        case 1 | 2 if x > 0: strategy.b = 1\n        case Color.RED: pass\n        case _: pass",
    "for i in range(3, -1, -1): strategy.table[i] = i",
    "for i in range(0, 4, 2): strategy.table[i] = i",
    "while x < 4: x = x + 1",
    "if x > 1 and (z := x + 1) > 3 and z < 9: strategy.b = z",
    "if x > 1 or (z := x + 1) > 3: pass\n    else: strategy.b = z",
    "if not (x > 1 and (z := x + 1) > 3): return\n    strategy.b = z",
    "strategy.b = z if x > 1 and (z := x + 1) > 3 else 0",
    "if (z := x + 1) > 3: pass\n    strategy.b = z",
    "while x < 9 and (z := x + 1) > 3:\n        x += z",
    "assert x > 0, 'a price'",
    "strategy.b = OrderState.LIVE",
    "strategy.b = 1 if x in PAIR else 0",
    "strategy.b = 1 if x in range(5) else 0",
    "for i, each in enumerate(PAIR): strategy.b += i * each",
    "strategy.b = pow(x, 2)",
    "strategy.b = defaulted(x)",
    "while strategy.b < 4: strategy.b += 1",
    "strategy.ratio = strategy.ratio if x > 3 else 0.5",
]
HEARD = "@on_book.register(Mine)\n"
WHOLE = {  # before the strategy's own function, or in its place
    "@compiled\ndef other(x: int) -> tuple[int, int]:\n    if x:\n        return 1, 2\n    return 1, 2, 3\n": "kind",
    "@compiled\ndef other(*x: int) -> int:\n    return x[0]\n": "python",
    "@compiled\ndef other(*, x: int) -> int:\n    return x\n": "python",
    "@compiled\nasync def other(x: int) -> int:\n    return x\n": "python",
    f"{HEARD}async def look(strategy: Mine, desk: Desk, instrument: int) -> None:\n    pass\n": "python",
    f"{HEARD}def look(strategy: Mine, desk: Desk, *, instrument: int) -> None:\n    pass\n": "callback",
}


def found_in(folder: Path, text: str) -> list[CodeMistake]:
    """What is wrong with a file of this text."""
    path = folder / "mine.py"
    path.write_text(text)
    return check_use(str(path))[1]


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_is_refused(tmp_path: Path, line: str) -> None:
    found = found_in(tmp_path, f"{HEAD}    {line}\n")
    assert [each.rule for each in found if each.line > HEAD.count("\n")] == [REFUSED[line]]


@pytest.mark.parametrize("line", PASSING)
def test_a_line_passes(tmp_path: Path, line: str) -> None:
    assert [each for each in found_in(tmp_path, f"{HEAD}    {line}\n") if each.line > HEAD.count("\n")] == []


@pytest.mark.parametrize("text", WHOLE)
def test_a_function_is_refused(tmp_path: Path, text: str) -> None:
    before, _, after = HEAD.partition("@on_book")
    rest = "" if "on_book" in text else f"\n\n@on_book{after}    strategy.b = x\n"
    assert [each.rule for each in found_in(tmp_path, f"{before}{text}{rest}")] == [WHOLE[text]]
