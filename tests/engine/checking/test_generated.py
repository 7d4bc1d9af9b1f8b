"""Strategies that nobody wrote: what the check passes compiles, and what it should not pass it refuses."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.engine.checking.file import check_use
from crosswire.nic.unit.compile import NO_JIT
from tests.docs import mistakes

HEAD = """from typing import Annotated

from crosswire import BUY, SELL, Array, Desk, Strategy, cancel, compiled, i64, on_book, submit, wake_at


class Mine(Strategy):
    a: i64
    b: i64
    table: Annotated[Array, i64, 4]


@compiled
def helper(strategy: Mine, desk: Desk, x: int) -> int:
    strategy.b = x
    return x + strategy.a


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    book = desk.books[instrument]
    x = strategy.a
    y = 1
"""
ATOMS = st.sampled_from(
    [
        "x",
        "y",
        "3",
        "-7",
        "strategy.a",
        "strategy.b",
        "book.bid_ticks",
        "desk.now_ns",
        "strategy.table[2]",
        "instrument",
    ]
)
NUMBERS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "&", "|"]), inner).map(lambda each: f"({' '.join(each)})"),
        st.tuples(inner, st.sampled_from(["// 3", "% 5", ">> 2"])).map(lambda each: f"(({each[0]}) {each[1]})"),
        st.tuples(inner, inner).map(lambda each: f"min({each[0]}, {each[1]})"),
        inner.map(lambda each: f"helper(strategy, desk, {each})"),
        inner.map(lambda each: f"abs({each})"),
    ),
    max_leaves=4,
)
CONDITIONS = st.tuples(NUMBERS, st.sampled_from(["<", "==", "!=", ">="]), NUMBERS).map(" ".join)
PLAIN = st.one_of(
    st.tuples(st.sampled_from(["x", "y", "strategy.a", "strategy.table[1]"]), NUMBERS).map(" = ".join),
    NUMBERS.map(lambda each: f"strategy.b += {each}"),
    NUMBERS.map(lambda each: f"submit(desk, instrument, BUY, {each}, 1)"),
    NUMBERS.map(lambda each: f"cancel(desk, {each})"),
    NUMBERS.map(lambda each: f"wake_at(desk, desk.now_ns + ({each}))"),
)


def indented(lines: list[str]) -> list[str]:
    """The same one level further in."""
    return [f"    {line}" for line in lines]


BLOCKS = st.recursive(
    st.lists(PLAIN, min_size=1, max_size=3),
    lambda inner: st.one_of(
        st.tuples(CONDITIONS, inner).map(lambda each: [f"if {each[0]}:", *indented(each[1])]),
        st.tuples(CONDITIONS, inner, inner).map(
            lambda each: [f"if {each[0]}:", *indented(each[1]), "else:", *indented(each[2])]
        ),
        inner.map(lambda each: ["for place in range(4):", *indented(each), "    strategy.table[place] = y"]),
    ),
    max_leaves=4,
)
MISTAKES = {
    "strategy.undeclared = x": "field",
    "strategy.a = strategy.undeclared": "field",
    "x = strategy.table[4]": "index",
    "strategy.a = 0.5": "float",
    "strategy.a = x / 2": "float",
    "book.bid_ticks = x": "shown",
    "strategy.a = missing": "name",
    "submit(desk, instrument, BUY)": "argument",
    "prices = [x]": "container",
}


def made(body: list[str]) -> str:
    """A whole strategy."""
    return HEAD + "".join(f"{line}\n" for line in indented(body))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BLOCKS, mistake=st.sampled_from(sorted(MISTAKES)), data=st.data())
def test_a_mistake_anywhere_is_found(tmp_path: Path, body: list[str], mistake: str, data: st.DataObject) -> None:
    path = tmp_path / "made.py"
    path.write_text(made(body))
    assert check_use(str(path))[1] == []
    place = data.draw(st.integers(0, len(body) - 1))
    depth = len(body[place]) - len(body[place].lstrip())
    if body[place].lstrip().startswith("else"):
        place, depth = 0, 0
    text = made([*body[:place], " " * depth + mistake, *body[place:]])
    path.write_text(text)
    number = HEAD.count("\n") + place + 1
    assert (number, MISTAKES[mistake]) in {(each.line, each.rule) for each in check_use(str(path))[1]}, text


@pytest.mark.skipif(NO_JIT, reason="compiles")
def test_what_passes_compiles(tmp_path: Path) -> None:
    """In one process for all of them: a compiler takes half a second to begin."""
    written: list[str] = []

    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(body=BLOCKS)
    def write(body: list[str]) -> None:
        written.append(f"made_{len(written)}")
        (tmp_path / f"{written[-1]}.py").write_text(made(body))

    write()
    assert len(written) >= 20
    assert mistakes.by_numba(tmp_path) == dict.fromkeys(written, mistakes.SILENT)
