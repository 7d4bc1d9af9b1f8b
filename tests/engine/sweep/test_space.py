"""Which sets a sweep tries: what `--grid` may say, draws by chance, and a search's order."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.config import ConfigError
from crosswire.engine.sweep.search import draws
from crosswire.engine.sweep.space import grid_of, parse_axes, parse_axis


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("a=1..3", ("1", "2", "3")),
        ("a = 1..2:0.5", ("1", "1.5", "2")),
        ("a=-1..1:0.75", ("-1", "-0.25", "0.5")),
        ("a=1..1000:x10", ("1", "10", "100", "1000")),
        ("a=100,7,x", ("100", "7", "x")),
        ("limits.loss_max=100..300:100", ("100", "200", "300")),
    ],
)
def test_values_are_those_written(words: str, values: tuple[str, ...]) -> None:
    axis = parse_axis(words)
    assert axis.values == values
    assert not axis.is_range


def test_a_decimal_point_without_a_step_is_a_range_to_draw_from() -> None:
    axis = parse_axis("a=1.0..5")
    assert axis.is_range
    assert (axis.low, axis.high) == (1.0, 5.0)
    with pytest.raises(ConfigError, match="a grid needs a step"):
        grid_of([axis])


@pytest.mark.parametrize(
    "words",
    [
        *("a", "=1", "a=", "a=1,,2", "a=1,1", "a=5..1", "a=1..x", "a=1..5:0", "a=1..5:-1", "a=0..5:x2", "a=1..5:x1"),
        *("a=1..nan", "a=1..inf", "a=0..1:1e-9", "a=1.0..1e999", "a=1..5:"),
    ],
)
def test_what_is_no_axis_is_refused_in_one_line(words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_axis(words)
    assert str(caught.value).startswith(f"--grid {words}: ")
    assert "\n" not in str(caught.value)


def test_too_many_sets_and_a_key_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="1,000,000 sets"):
        grid_of(parse_axes(["a=1..1000", "b=1..1000"]))
    with pytest.raises(ConfigError, match="a: is there twice"):
        parse_axes(["a=1..2", "a=3,4"])
    with pytest.raises(ConfigError, match="0 keys"):
        parse_axes([])


def test_a_grid_has_every_combination_the_last_key_fastest() -> None:
    sets = grid_of(parse_axes(["a=1..2", "b=x,y"]))
    assert sets == [("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y")]


@given(
    st.decimals(-1000, 1000, places=2),
    st.integers(1, 50),
    st.decimals("0.01", 10, places=2),
)
def test_steps_are_exact_and_end_at_or_before_the_last(first: Decimal, count: int, step: Decimal) -> None:
    values = [Decimal(each) for each in parse_axis(f"a={first}..{first + count * step}:{step}").values]
    assert values == [first + place * step for place in range(count + 1)]


def test_draws_are_the_same_for_a_seed_and_each_there_once() -> None:
    axes = parse_axes(["a=1.0..5", "b=1..3"])
    sets = list(draws(axes, 50, 7))
    assert sets == list(draws(axes, 50, 7)) != list(draws(axes, 50, 8))
    assert len(set(sets)) == 50
    assert all(1 <= float(a.removeprefix("a=")) <= 5 and b in {"b=1", "b=2", "b=3"} for a, b in sets)


def test_draws_end_where_there_are_no_more_sets() -> None:
    assert sorted(draws(parse_axes(["a=1..3"]), 50, 1)) == [("a=1",), ("a=2",), ("a=3",)]
