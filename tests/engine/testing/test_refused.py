"""What a test of a strategy can't mean is one line, and nothing has happened."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from crosswire.strategies.basis import Basis
from crosswire.strategies.cross_spread import CrossSpread
from crosswire.testing import LEG_PARAMETERS, START_NS, Harness, check_properties, exact, fill, inverse, linear
from crosswire.venues.side import BUY


def make(**more: Any) -> Harness:
    instruments = {"a": linear(), "b": linear()}
    return Harness(CrossSpread, LEG_PARAMETERS | {"position_max": 5, "instruments": ["a", "b"]}, instruments, **more)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda h: h.set_book("c", bids=[(100, 1)]), "'c' is none of the instruments: a, b"),
        (lambda h: h.position_lots("c"), "'c' is none of the instruments: a, b"),
        (lambda h: h.resting("c"), "'c' is none of the instruments: a, b"),
        (lambda h: h.set_book("a", bids=[(100, 0)]), "a book of a: a level of 0 lots: must be more than 0"),
        (lambda h: h.set_book("a", asks=[(100, -1)]), "a book of a: a level of -1000 lots: must be more than 0"),
        (lambda h: h.set_book("a", bids=[(100, 1), ("100.0", 2)]), "a book of a: a price stands twice on one side"),
        (lambda h: h.set_book("a", bids=[("100.05", 1)]), "price 100.05 is off the instrument's grid"),
        (lambda h: h.set_book("a", bids=[("x", 1)]), "'x' is no number"),
        (lambda h: h.set_book("a", bids=[(100, None)]), "None is no number"),
        (lambda h: h.trade("a", BUY, 100, 0), "a trade of a: 0 lots of side 0: more than 0 of BUY or SELL"),
        (lambda h: h.trade("a", 7, 100, 1), "a trade of a: 1 lots of side 7: more than 0 of BUY or SELL"),
        (lambda h: h.advance(-1), "-1 ns: time does not go back"),
    ],
)
def test_what_can_t_happen_is_refused_and_no_time_has_passed(act: Callable[[Harness], None], said: str) -> None:
    harness = make()
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        act(harness)
    assert (harness.desk.now_ns, harness.desk.books[0].valid) == (START_NS, 0)


def test_a_book_without_room_for_all_its_levels_is_refused() -> None:
    far = [(price_ticks, 1) for price_ticks in range(700, 70_000, 70)]
    make(levels=1_000).set_book_ticks("a", far, [])
    with pytest.raises(ValueError, match=r"^a book of a: \d+ of 990 levels have room: Harness\(levels=\.\.\.\)$"):
        make(levels=4).set_book_ticks("a", far, [])


@pytest.mark.parametrize(
    ("make_it", "said"),
    [
        (lambda: linear(tick=0), "tick = 0: must be above 0, in steps of 1e-9"),
        (lambda: inverse(lot=-1), "lot = -1: must be above 0, in steps of 1e-9"),
        (lambda: linear(tick="1e-10"), "tick = 1e-10: must be above 0, in steps of 1e-9"),
        (lambda: fill(-1), "an answer of -1 lots after 0 ns: neither is below 0"),
        (lambda: fill(after_ns=-1), "an answer of None lots after -1 ns: neither is below 0"),
        (lambda: exact("nan"), "'nan' is no number"),
        (lambda: exact(float("inf")), "inf is no number"),
        (
            lambda: check_properties(Basis, {}, {"a": linear()}, position_max={"b": 1}),
            "position_max: 'b' is none of the instruments: a",
        ),
    ],
)
def test_what_can_t_be_made_is_refused(make_it: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        make_it()
