"""What a strategy says: lines are written out as they are declared, refused where they can't be, and bounded."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.config import ConfigError
from crosswire.engine.plugin import build_strategy, find_strategy_class
from crosswire.risk.records import LOG_VALUES, RecordKind
from crosswire.strategies.desk import LINES_MAX, log
from crosswire.strategies.interface import BuildContext
from crosswire.strategies.messages import PLACES_MAX, declared_messages, message_text, places_of
from crosswire.testing import Harness, linear

STRATEGY = """
import msgspec

from crosswire import BuildContext, Desk, Strategy, i64, log, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Telling(Strategy):
    looks: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Telling":
        return cls()

    @classmethod
    def messages(cls) -> list[str]:
        return ["looked at {instrument}: {e9} after {} looks", "{side}"]


@on_book.register(Telling)
def look(strategy: Telling, desk: Desk, instrument: int) -> None:
    strategy.looks += 1
    log(desk, 0, instrument, 2_500_000_000, strategy.looks)
    log(desk, 1, 1)
"""
SECOND_NS = 1_000_000_000


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    (tmp_path / "telling.py").write_text(STRATEGY)
    return Harness(find_strategy_class("telling.py:Telling", tmp_path, "here"), {}, {"a": linear()})


def test_lines_are_written_out(harness: Harness) -> None:
    harness.set_book("a", bids=[(100, 1)])
    assert harness.lines == ["looked at a: 2.5 after 1 looks", "sell"]
    (first, _) = harness._rows(RecordKind.LOG)
    assert (first["time_ns"], first["strategy"], first["message"]) == (harness.desk.now_ns, 0, 0)
    assert [first[name] for name in LOG_VALUES] == [0, 2_500_000_000, 1, 0]


def test_lines_of_one_second_are_bounded_and_counted(harness: Harness) -> None:
    desk = harness.desk
    assert [log(desk, 0, 0, number, 1) for number in range(LINES_MAX + 3)] == [True] * LINES_MAX + [False] * 3
    assert len(harness.lines) == LINES_MAX
    desk.now_ns += SECOND_NS - 1
    assert not log(desk, 1, 0)
    desk.now_ns += 1
    assert log(desk, 1, 0)
    assert desk.lines_dropped == 4


@pytest.mark.parametrize("number", [-1, 2, 1 << 40])
def test_a_line_that_there_is_not_is_counted_and_not_written(harness: Harness, number: int) -> None:
    assert not log(harness.desk, number, 1)
    assert (harness.lines, harness.desk.lines_dropped) == ([], 1)


@given(st.lists(st.sampled_from(["a", "{{", "}}", "{}", "{e9}", "{side}", "{instrument}"]), min_size=1, max_size=9))
def test_what_is_accepted_is_written_with_each_value_in_its_place(parts: list[str]) -> None:
    message, places = "x" + "".join(parts), [part for part in parts if part[0] == "{" and part != "{{"]
    if len(places) > PLACES_MAX:
        with pytest.raises(ValueError, match="places"):
            places_of(message)
        return
    assert places_of(message) == [place.strip("{}") for place in places]
    values = [1, 0, 1, 0][: len(places)]
    written = {"{}": str, "{e9}": lambda value: f"{Decimal(value) / 10**9:f}"}
    written |= {"{side}": lambda value: ("buy", "sell")[value], "{instrument}": lambda value: ("v/A", "v/B")[value]}
    given_values = iter(values)
    expected = "".join(
        {"a": "a", "{{": "{", "}}": "}"}[part] if part not in places else written[part](next(given_values))
        for part in ["x", *parts][1:]
    )
    assert message_text([message], 0, [*values, 9, 9, 9, 9], ["v/A", "v/B"]) == "x" + expected


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{price}", "a place is one of {}, {e9}, {instrument}, {side}"),
        ("{:>5}", "a place is one of"),
        ("{!r}", "a place is one of"),
        ("{", "write {{ and }} for braces"),
        ("{} {} {} {} {}", "has 5 places, and 4 is the most"),
        ("two\nlines", "one line of 1 to 200 letters"),
        ("", "one line of 1 to 200 letters"),
    ],
)
def test_a_line_that_can_not_be_written_ends_the_start_in_one_line(tmp_path: Path, message: str, said: str) -> None:
    text = STRATEGY.replace('"looked at {instrument}: {e9} after {} looks"', repr(message))
    (tmp_path / "telling.py").write_text(text)
    cls = find_strategy_class("telling.py:Telling", tmp_path, "here")
    with pytest.raises(ConfigError) as raised:
        build_strategy(cls, {}, BuildContext([], {}), "here")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("gives", "said"), [('"text"', "not a list"), ("[1]", "not a list"), ("1 // 0", "raises Zero")]
)
def test_what_is_no_list_of_lines_is_told(tmp_path: Path, gives: str, said: str) -> None:
    head, _, rest = STRATEGY.partition('["looked')
    (tmp_path / "telling.py").write_text(head + gives + "\n" + rest.partition("\n")[2])
    messages, wrong = declared_messages(find_strategy_class("telling.py:Telling", tmp_path, "here"))
    assert messages == []
    assert said in wrong[0]
