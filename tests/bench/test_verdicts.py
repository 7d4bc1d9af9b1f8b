"""Each case of `bench verdicts` is a configuration, with the fees that it says."""

from decimal import Decimal

import pytest

from crosswire.engine.config import parse_config
from crosswire.engine.plugin import BUILT_IN
from tests.bench.verdicts import FEES, LOWEST_TIER, MARKETS, STRATEGIES, Case, cases

ALL = list(cases([], []))


def test_every_built_in_strategy_is_judged_on_every_market() -> None:
    judged = {(case.strategy, case.market, case.fees) for case in ALL}
    names = set(BUILT_IN) - {"restless"}  # a load for tests
    assert judged == {(name, market, fees) for name in names for market in MARKETS for fees in FEES}
    assert {path.stem for path in STRATEGIES.glob("*.toml")} == names


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_case_is_a_configuration_with_its_own_fees(case: Case) -> None:
    config = parse_config(case.config_text(), case.example)
    (strategy,) = config.strategies
    assert strategy.use == case.strategy
    fees = {venue.name: (each.maker_fee_bps, each.taker_fee_bps) for venue in config.venue for each in venue.instrument}
    if case.fees == "lowest tier":
        assert fees == {name: tuple(map(Decimal, LOWEST_TIER[name])) for name in fees}
    else:
        example = parse_config(case.example.read_text(), case.example)
        assert fees == {
            venue.name: (each.maker_fee_bps, each.taker_fee_bps) for venue in example.venue for each in venue.instrument
        }
