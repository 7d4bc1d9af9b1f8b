"""What numba says, in plain words."""

import pytest

from crosswire.engine.checking.words import places_in, plain_reason

HEAD = "TypingError: Failed in unit mode pipeline (step: NopythonTypeInference)\n"


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        (
            "Unknown attribute 'bid_tick' of type struct(crosswire.venues.book.book.Book)\n",
            "a Book has no field bid_tick",
        ),
        (
            "Cannot unify struct(crosswire.venues.book.book.Book) and int64 for 'best.2', defined at mine.py (3)",
            "best is a Book on one way and an integer on another",
        ),
        (
            "Cannot unify int64 and float64 for '$phi60.0.2', defined at mine.py (3)",
            "a value is an integer on one way and a float on another",
        ),
        (
            "No implementation of Function(<class 'bool'>) found for signature:\n \n >>> bool(struct(a.b.Book))",
            "bool(a Book) is not compiled",
        ),
        (
            "Cannot bind 'args=(struct(crosswire.strategies.desk.Desk), int64) kws={}' to signature '(desk, x: int)' "
            'due to "TypeError: too many positional arguments".',
            "its call does not fit: too many positional arguments",
        ),
        ("NRT required but not enabled", "lists, dictionaries, strings and arrays of Python's own are not compiled"),
        (
            "Something new <numba.Thing object at 0x7f12> of array(i64,little)",
            "Something new an object of a table of i64",
        ),
    ],
)
def test_a_message_is_one_plain_line(said: str, plain: str) -> None:
    assert plain_reason(HEAD + said) == plain


def test_the_innermost_line_is_the_first() -> None:
    said = 'During: lowering "x" at /a/mine.py (22)\nDuring: typing of call at /a/other.py (7)\nFile "b.py", line 9:\n'
    assert list(places_in(said)) == [("/a/mine.py", 22), ("/a/other.py", 7), ("b.py", 9)]
