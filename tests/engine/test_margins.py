"""Margin over a run, against sums made by hand."""

from decimal import Decimal

import numpy as np
import pytest

from crosswire.engine.report.margins import AccountSamples, margin_of
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.engine.report.text import time_text
from crosswire.venues.instrument import Kind, Payoff
from crosswire.venues.money.margin import MarginBracket, SizeMargin
from crosswire.venues.money.terms import HoldingTerms

BRACKETS = [
    MarginBracket(value_min=Decimal(0), initial_rate=Decimal("0.01"), maintenance_rate=Decimal("0.004")),
    MarginBracket(value_min=Decimal(50_000), initial_rate=Decimal("0.02"), maintenance_rate=Decimal("0.01")),
]


def info(index: int, payoff: Payoff = Payoff.LINEAR) -> InstrumentInfo:
    return InstrumentInfo(
        index=index,
        symbol=f"S{index}",
        venue="usdm",
        underlying=0,
        kind=Kind.PERPETUAL,
        payoff=payoff,
        tick_e9=10**8,
        lot_e9=10**6,
        tick_lot_e9=10**5,
        maker_fee_e9=0,
        taker_fee_e9=0,
        expiry_ns=0,
        base="BTC",
        quote="USDT",
        settlement="BTC" if payoff == Payoff.INVERSE else "USDT",
    )


def samples(
    infos: list[InstrumentInfo], size: list[list[float]], mid: list[list[float]], entry: list[list[float]]
) -> AccountSamples:
    change = sum(
        np.array(held) * (1 / np.array(bought) - 1 / np.array(now) if about.is_inverse else np.array(now) - bought)
        for about, held, now, bought in zip(infos, size, mid, entry, strict=True)
    )
    return AccountSamples(
        time_ns=np.arange(len(size[0]), dtype=np.int64) * 100,
        equity_change=np.asarray(change, np.float64),
        infos=infos,
        size=[np.array(each) for each in size],
        mid=[np.array(each) for each in mid],
    )


def test_the_worst_sample_is_found_and_its_liquidation_price() -> None:
    """1 BTC long at 50,000 with 5,000, as in the liquidation prices by hand: 45,180.72... in the first bracket."""
    about = samples([info(0)], [[0, 1, 1, 1]], [[50_000, 50_000, 48_000, 49_000]], [[50_000] * 4])
    summary, warnings = margin_of(about, {0: HoldingTerms(margin_brackets=BRACKETS)}, "usdm", "USDT", Decimal(5_000))
    assert warnings == []
    assert (summary.equity_min, summary.initial_max) == (Decimal(3_000), Decimal(500))
    assert summary.usage_max == pytest.approx(480 / 3_000)
    assert (summary.usage_max_ns, summary.liquidation_ns) == (200, 200)
    assert summary.liquidation_price == Decimal("45180.722891566")
    assert summary.liquidation_distance == pytest.approx(45_180.722891566 / 48_000 - 1)
    assert summary.liquidation_instrument == "usdm/S0"


def test_another_position_counts_with_its_gain_and_its_margin() -> None:
    """Of 5,000 the other one has gained 1,000 and needs 40: 5,960 are there for this one."""
    about = samples([info(0), info(1)], [[1], [-0.2]], [[50_000], [45_000]], [[50_000], [50_000]])
    terms = {index: HoldingTerms(margin_brackets=BRACKETS) for index in (0, 1)}
    summary, _ = margin_of(about, terms, "usdm", "USDT", Decimal(5_000))
    # Maintenance of the other: 9,000 * 0.4 % = 36. p: 5,964 + p - 50,000 = p * 0.4 %.
    assert summary.liquidation_price == round((Decimal(50_000) - 5_964) / Decimal("0.996"), 9)


def test_what_the_venue_would_not_have_allowed_is_told_with_its_time() -> None:
    about = samples([info(0)], [[0, 1, 1, 1]], [[60_000, 60_000, 59_500, 59_400]], [[60_000] * 4])
    summary, warnings = margin_of(about, {0: HoldingTerms(margin_brackets=BRACKETS)}, "usdm", "USDT", Decimal(800))
    # Initial margin, 1,200, is above 800 at once; maintenance, 594 - 300, is above the 200 that are left at 59,400.
    assert [(each.kind.split()[0], each.count, each.first_place) for each in warnings] == [
        ("samples", 3, f"venue usdm at {time_text(100)}"),
        ("samples", 1, f"venue usdm at {time_text(300)}"),
    ]
    assert summary.usage_max == pytest.approx(1_188 / 200)


def test_no_equity_at_all_has_no_ratio() -> None:
    about = samples([info(0)], [[1]], [[49_000]], [[50_000]])
    summary, warnings = margin_of(about, {0: HoldingTerms(margin_brackets=BRACKETS)}, "usdm", "USDT", Decimal(500))
    assert summary.usage_max is None
    assert len(warnings) == 2


def test_flat_needs_none_and_unknown_margin_is_told() -> None:
    flat = samples([info(0)], [[0, 0]], [[50_000, 50_000]], [[1, 1]])
    summary, warnings = margin_of(flat, {}, "usdm", "USDT", Decimal(500))
    assert (warnings, summary.initial_max, summary.usage_max) == ([], 0, 0)
    about = samples([info(0)], [[1]], [[50_000]], [[50_000]])
    summary, (warning,) = margin_of(about, {}, "usdm", "USDT", Decimal(500))
    assert (warning.first_place, summary.liquidation_price) == ("usdm/S0", None)


def test_inverse_contracts_and_margin_by_size_are_in_coins() -> None:
    """30,000 USD at 30,000 is 1 BTC: 2.005 % initial and 1.005 % maintenance on Deribit."""
    terms = HoldingTerms(
        margin_by_size=SizeMargin(
            initial_base=Decimal("0.02"), maintenance_base=Decimal("0.01"), per_coin=Decimal("0.00005")
        )
    )
    about = samples([info(0, Payoff.INVERSE)], [[30_000]], [[30_000]], [[30_000]])
    summary, _ = margin_of(about, {0: terms}, "deribit", "BTC", Decimal("0.1"))
    assert summary.initial_max == Decimal("0.02005")
    bracketed, _ = margin_of(about, {0: HoldingTerms(margin_brackets=BRACKETS[:1])}, "coinm", "BTC", Decimal("0.1"))
    assert bracketed.liquidation_price == Decimal("27381.818181818")
