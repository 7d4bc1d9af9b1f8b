"""`crosswire exchange`: which venues of a configuration it serves."""

import pytest

from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.exchange.command import ExchangeOptions
from tests.support.paths import ROOT

CONFIG = load_config(ROOT / "examples" / "deribit-binance.toml")


@pytest.mark.parametrize(
    ("venues", "numbers"), [((), [0, 1]), (("starbase",), [0]), (("binance",), [1]), (("binance", "starbase"), [0, 1])]
)
def test_those_named_or_all(venues: tuple[str, ...], numbers: list[int]) -> None:
    assert ExchangeOptions(venues=venues).served(CONFIG) == numbers


def test_one_that_the_configuration_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="--venue deribit: the configuration has starbase, binance"):
        ExchangeOptions(venues=("starbase", "deribit")).check(CONFIG)
