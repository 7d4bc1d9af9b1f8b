"""The strategies that `crosswire bench strategies` times are configured for each of its data."""

import msgspec
import pytest

from crosswire.engine.build.run import build_core
from crosswire.engine.plugin import BUILT_IN
from tests.bench.strategies import DATA, load_market, strategies_on
from tests.support.paths import ROOT


@pytest.mark.parametrize("data", DATA)
def test_they_can_be_built(data: str) -> None:
    path = ROOT / "examples" / DATA[data]
    config = load_market(data, path)
    found = strategies_on(data, config)
    assert {"cross_spread", "basis", "restless"} <= set(found) <= set(BUILT_IN)
    for name, each in found.items():
        core = build_core(msgspec.structs.replace(config, strategy=each), path)
        assert [type(strategy).__name__.lower() for strategy in core.strategies] == [name.replace("_", "")]
