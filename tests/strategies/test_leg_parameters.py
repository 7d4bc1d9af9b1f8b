"""Parameters of two-legged strategies: what each becomes, and where each ends."""

from decimal import Decimal
from typing import Any

import pytest

from crosswire.strategies.interface import BuildContext
from crosswire.strategies.leg_parameters import LegParameters, bps_e9, fill_in_legs
from crosswire.strategies.legs import NO_LISTING, Legs
from crosswire.strategies.listing import LISTINGS_MAX
from crosswire.strategies.parameters import out_of_range
from crosswire.testing import inverse, linear
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.market import MAP_INSTRUMENTS_MAX

REQUIRED: dict[str, Any] = {
    "size_max": Decimal(2),
    "position_max": Decimal(3),
    "unwind_loss_max_bps": Decimal(50),
}


def filled(instruments: list[Instrument] | None = None, names: list[str] | None = None, **changes: Any) -> Legs:
    """Legs of instruments named "a", "b" and so on, in the order of their market indices."""
    instruments = instruments or [linear(), inverse()]
    letters = [chr(ord("a") + index) for index in range(len(instruments))]
    for index, instrument in enumerate(instruments):
        instrument.index = index
    context = BuildContext(instruments, {name: index for index, name in enumerate(letters)})
    legs = Legs()
    fill_in_legs(legs, LegParameters(**(REQUIRED | changes)), names or letters, context)
    return legs


def out_of(**changes: Any) -> list[str]:
    """What is out of its range."""
    return [said for _, said in out_of_range(LegParameters(**(REQUIRED | changes)))]


def test_what_is_configured_is_what_legs_go_by() -> None:
    legs = filled(
        [linear(), linear(taker_fee_bps=7), inverse(taker_fee_bps=2)],
        ["c", "a"],
        quote_adjustment_bps={"a": Decimal(100)},
        slippage_ticks=4,
        open_trades_max=3,
        cooldown_us=6,
        book_age_max_ms=7,
        retries=5,
        retry_window_us=1_000,
        unwind_ticks=8,
        unwind_interval_ms=9,
        give_up_ms=10,
    )
    assert (legs.count, legs.slippage_ticks, legs.open_trades_max, legs.retries, legs.unwind_ticks) == (2, 4, 3, 5, 8)
    assert (legs.cooldown_ns, legs.book_age_max_ns) == (6_000, 7_000_000)
    assert (legs.retry_window_ns, legs.retry_interval_ns) == (1_000_000, 200_000)
    assert (legs.unwind_interval_ns, legs.give_up_ns, legs.loss_max_e9) == (9_000_000, 10_000_000, 5_000_000)
    listings = [legs.listings[position] for position in range(2)]
    assert [(each.instrument, each.unit_e9, each.fee_e9) for each in listings] == [
        (2, E9, 200_000),
        (0, E9 * 101 // 100, 500_000),
    ]
    assert [each.position_max_e9 for each in listings] == [3 * E9] * 2
    places = [legs.listing_of[index] for index in range(MAP_INSTRUMENTS_MAX)]
    assert places == [1, NO_LISTING, 0] + [NO_LISTING] * (MAP_INSTRUMENTS_MAX - 3)


def test_defaults() -> None:
    legs = filled()
    assert (legs.slippage_ticks, legs.open_trades_max, legs.retries, legs.cooldown_ns) == (0, 1, 2, 0)
    assert (legs.retry_window_ns, legs.retry_interval_ns) == (20_000_000, 10_000_000)
    assert [legs.listings[position].unit_e9 for position in range(2)] == [E9, E9]
    assert filled(retries=0).retry_interval_ns == 20_000_000
    assert filled(retries=1).retry_interval_ns == 20_000_000


def test_a_speed_bump_lengthens_what_waits_for_answers() -> None:
    slow, slower = linear(), linear()
    slow.speed_bump_ns, slower.speed_bump_ns = 1_000, 5_000
    legs = filled([slow, slower, linear()], retries=3, retry_window_us=30, give_up_ms=1, unwind_interval_ms=1)
    assert (legs.retry_window_ns, legs.retry_interval_ns) == (45_000, 15_000)
    assert legs.give_up_ns == 1_015_000


@pytest.mark.parametrize(
    ("name", "least", "step", "words"),
    [
        ("unwind_loss_max_bps", Decimal(0), Decimal("0.00001"), "unwind_loss_max_bps = -0.00001"),
        ("size_min", Decimal(0), Decimal("0.1"), "size_min = -0.1"),
        ("slippage_ticks", 0, 1, "slippage_ticks = -1"),
        ("cooldown_us", 0, 1, "cooldown_us = -1"),
        ("retries", 0, 1, "retries = -1"),
        ("retry_window_us", 0, 1, "retry_window_us = -1"),
        ("unwind_ticks", 0, 1, "unwind_ticks = -1"),
        ("open_trades_max", 1, 1, "open_trades_max = 0"),
        ("book_age_max_ms", 1, 1, "book_age_max_ms = 0"),
        ("unwind_interval_ms", 1, 1, "unwind_interval_ms = 0"),
        ("size_max", Decimal("1e-9"), Decimal("1e-9"), "size_max = 0E-9"),
    ],
)
def test_each_parameter_has_a_least(name: str, least: Any, step: Any, words: str) -> None:
    assert out_of(**{name: least}) == []
    (said,) = out_of(**{name: least - step})
    assert said.startswith(f"{words}: must be ")


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"size_min": Decimal(2)}, {"size_min": Decimal("2.1")}, "size_min = 2.1 is above size_max = 2"),
        ({"position_max": Decimal(2)}, {"position_max": Decimal("1.9")}, "position_max = 1.9 is below size_max = 2"),
        (
            {"retry_window_us": 60_000, "give_up_ms": 60, "unwind_interval_ms": 1},
            {"retry_window_us": 60_001},
            "retry_window_us = 60001 is longer than give_up_ms = 60",
        ),
        (
            {"unwind_interval_ms": 60, "give_up_ms": 60},
            {"unwind_interval_ms": 61},
            "unwind_interval_ms = 61 is longer than give_up_ms = 60",
        ),
    ],
)
def test_parameters_that_contradict_each_other(changes: dict[str, Any], more: dict[str, Any], words: str) -> None:
    filled(**changes)
    with pytest.raises(ValueError, match=f"^{words}$"):
        filled(**(changes | more))


def test_what_is_out_of_range_is_told_at_once() -> None:
    assert out_of(quote_adjustment_bps={"a": Decimal(-5_000), "b": Decimal(5_000)}) == []
    assert out_of(quote_adjustment_bps={"a": Decimal("-5000.1"), "b": Decimal(1)}, retries=-1) == [
        "quote_adjustment_bps = -5000.1: must be -5000 to 5000 bps",
        "retries = -1: must be 0 or more orders",
    ]
    assert out_of(unwind_loss_max_bps=Decimal("NaN")) == ["unwind_loss_max_bps = NaN: must be 0 to 5000 bps"]


def test_how_many_instruments_there_may_be() -> None:
    most = [linear() for _ in range(LISTINGS_MAX)]
    assert filled(most).count == LISTINGS_MAX == 8
    for instruments in ([*most, linear()], [linear()]):
        with pytest.raises(ValueError, match=f"^instruments: 2 to 8 are needed, not {len(instruments)}$"):
            filled(instruments)
    with pytest.raises(ValueError, match=r"^instruments: one is named twice$"):
        filled(names=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"^quote_adjustment_bps: 'x' is not among the instruments$"):
        filled(quote_adjustment_bps={"x": Decimal(1)})


@pytest.mark.parametrize("position", [0, 1])
def test_instruments_are_of_one_underlying_and_a_kind_that_is_known(position: int) -> None:
    strange = [linear(), linear()]
    strange[position].payoff = 7
    with pytest.raises(ValueError, match=f"^instruments: {'ab'[position]} is neither linear nor inverse$"):
        filled(strange)
    other = [linear(), linear()]
    other[position].underlying = 3
    with pytest.raises(ValueError, match=r"^instruments: b and a have different underlyings$"):
        filled(other)
    filled([linear(), inverse()])


def test_basis_points_are_fractions() -> None:
    assert [bps_e9(Decimal(bps), "it") for bps in ("-5000", "5000", "0.00001", "1")] == [-E9 // 2, E9 // 2, 1, 100_000]
    with pytest.raises(ValueError, match="nine decimals"):
        bps_e9(Decimal("0.000001"), "it")
