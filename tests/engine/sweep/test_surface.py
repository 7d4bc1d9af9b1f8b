"""Surfaces, neighbours, the page, and what a search asks for, on made-up results."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np

from crosswire.engine.sweep.page import sweep_page
from crosswire.engine.sweep.plan import Plan
from crosswire.engine.sweep.result import Result, judge
from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.search import ROUND, Sets, search
from crosswire.engine.sweep.space import grid_of, parse_axes
from crosswire.engine.sweep.surface import stabilities, surfaces
from crosswire.nic.warning import DataWarning

HALF_HOUR_NS = 1800 * 1_000_000_000
WARNING = DataWarning(kind="gaps", count=3, first_place="<a>.pcap", what_to_do="record again")


def a_plan(axes: list[str], method: str = "grid", sets: int = 0, seed: int = 1) -> Plan:
    return Plan(
        name="<run>",
        config_file="c.toml",
        config_text="name = 1",
        axes=axes,
        method=method,
        sets=sets,
        seed=seed,
        objective="net",
        release="r",
    )


def rows_of(axes: list[str], value: Callable[[list[float]], float], days: int = 40) -> dict[int, Row]:
    chance = np.random.default_rng(1)
    rows = {}
    for number, settings in enumerate(grid_of(parse_axes(axes))):
        net = value([float(each.partition("=")[2]) for each in settings])
        profit = net / (48 * days) + chance.standard_normal(48 * days) * 0.2
        rows[number] = Row(
            number=number,
            settings=list(settings),
            net=Decimal(str(net)),
            currency="USD",
            interval_ns=HALF_HOUR_NS,
            intervals=list(range(48 * days)),
            profit=profit.tolist(),
        )
    return rows


def test_a_surface_has_the_median_over_other_keys_and_holes_where_nothing_ran() -> None:
    words = ["a=1..3", "b=1..2", "c=0,10,50"]
    rows = rows_of(words, lambda at: 100 * at[0] + 10 * at[1] + at[2], days=1)
    for number in [number for number, row in rows.items() if row.settings[:2] == ["a=2", "b=1"]]:
        rows[number].error = "failed"
    first = surfaces(rows, parse_axes(words), "net")[0]
    assert (first.across.key, first.up.key) == ("a", "b")
    assert first.values == [[120, None, 320], [130, 230, 330]]
    assert len(surfaces(rows, parse_axes(words), "net")) == 3


def test_a_set_is_held_against_those_one_step_away() -> None:
    words = ["a=1..5", "b=x,y"]
    rows = {
        number: Row(number=number, settings=list(settings), net=Decimal(100 if settings[0] == "a=3" else number))
        for number, settings in enumerate(grid_of(parse_axes(words)))
    }
    found = stabilities(rows, parse_axes(words), "net")
    assert (found[4].value, found[4].neighbours, found[4].median, found[4].worst) == (100, 2, 4, 2)  # a=2 and a=4
    assert found[0].neighbours == 1
    assert not stabilities(rows, parse_axes(["a=1.0..5", "b=x,y"]), "net")


def a_result(words: list[str], days: int) -> Result:
    rows = rows_of(words, lambda at: 20 - (at[0] - 3) ** 2 - at[1], days)
    rows[2] = Row(number=2, settings=rows[2].settings, error="size_max: <b>too large</b>")
    rows[3].warnings = [WARNING]
    return judge(a_plan(words), parse_axes(words), rows, ["loop"], [], steps=4)


def test_the_page_says_what_failed_what_is_doubtful_and_all_measures() -> None:
    page = sweep_page(a_result(["a=1..5", "b=1..4"], 40))
    assert "failed: set 2 (a=1 b=3): size_max: &lt;b&gt;too large&lt;/b&gt;" in page
    assert "3 gaps, first at &lt;a&gt;.pcap: record again (in 1 of 20 sets)" in page
    assert "b against a" in page
    assert "probability that set " in page
    assert "of 12,870 ways to halve " in page
    assert "Behind all steps: " in page


def test_the_page_has_no_measure_below_its_least_sample() -> None:
    page = sweep_page(a_result(["a=1..3", "b=1..2"], 4))
    assert "4 days of data, at least 30 are needed" in page
    assert "5 sets with any P&amp;L, at least 10 are needed" in page


def test_the_page_of_a_sweep_in_which_nothing_ran_says_so() -> None:
    rows = {0: Row(number=0, settings=["a=1"], error="no"), 1: Row(number=1, settings=["a=2"], error="no")}
    result = judge(a_plan(["a=1..2"]), parse_axes(["a=1..2"]), rows, [], [], steps=2)
    assert result.sharpe == result.overfitting == result.walk == "no set ran"
    assert "No set ran" in sweep_page(result)


def test_a_search_finds_the_hill_and_asks_the_same_whoever_is_done_first() -> None:
    words, rounds = ["a=0.0..10.0", "b=1..9", "c=x,y"], []

    def run_all(sets: Sets) -> dict[int, Row]:
        rounds.append(sets)
        found = {}
        for number, settings in reversed(sets):
            a, b, c = (each.partition("=")[2] for each in settings)
            net = round(Decimal(-((float(a) - 7) ** 2) - (int(b) - 4) ** 2 - (5 if c == "x" else 0)), 9)
            error = "no" if number == 5 else ""
            found[number] = Row(number=number, settings=list(settings), net=net, error=error)
        return found

    rows = search(a_plan(words, "bayesian", 60, 3), parse_axes(words), run_all)
    asked, rounds = rounds, []
    assert search(a_plan(words, "bayesian", 60, 3), parse_axes(words), run_all) == rows
    assert rounds == asked
    assert max(map(len, asked)) == ROUND
    assert max(row.net for row in rows.values() if not row.error) > -1
    assert len({tuple(row.settings) for row in rows.values()}) == len(rows)
