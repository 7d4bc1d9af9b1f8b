"""Lists and masks of processors, as the kernel writes them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.host.doctor.check import Finding, Question, Severity, ask
from crosswire.nic.host.doctor.lists import cpus_text, mask_text, parse_cpus, parse_mask

CPUS = st.frozensets(st.integers(0, 300), max_size=40)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0,2-3,8-15", {0, 2, 3, *range(8, 16)}),
        ("", set()),
        ("\n", set()),
        ("(null)", set()),
        ("0-7:2/4", {0, 1, 4, 5}),
        ("5-5", {5}),
        ("3,1", {1, 3}),
    ],
)
def test_a_list_is_parsed(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize(
    ("mask", "cpus"),
    [("3", {0, 1}), ("ff,00000003", {0, 1, *range(32, 40)}), ("0", set()), ("80000000,00000000", {63})],
)
def test_a_mask_is_parsed(mask: str, cpus: set[int]) -> None:
    assert parse_mask(mask) == cpus
    assert mask_text(cpus) == mask


@given(CPUS)
def test_what_is_written_is_read_again(cpus: frozenset[int]) -> None:
    assert parse_cpus(cpus_text(cpus)) == cpus
    assert parse_mask(mask_text(cpus)) == cpus


@given(CPUS)
def test_a_list_has_no_runs_that_touch(cpus: frozenset[int]) -> None:
    ends = [part.split("-") for part in cpus_text(cpus).split(",") if part]
    for before, after in pairwise(ends):
        assert int(after[0]) > int(before[-1]) + 1


@pytest.mark.parametrize("text", ["a", "1-", "1;2"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_cpus(text)


@pytest.mark.parametrize("error", [IndexError("list index out of range"), KeyError("rx"), OSError(5, "I/O error")])
def test_a_file_that_says_something_else_than_expected_skips_its_check(error: Exception) -> None:
    """`crosswire live` makes checks at its start: none of them may keep it from trading."""

    def fail() -> Finding:
        raise error

    question = Question(name="made up", about="host", why="", source="", ask=fail, is_slow=False)
    found = ask(question, "made up")
    assert (found.severity, found.why) == (Severity.SKIP, f"not checked: {error}")
