"""A stand-in whose market stands still, so that a test decides what happens in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from tests.support.stand_in import exchange, made

BALANCES = {
    "spot": {"BTC": "10", "USDT": "1000000", "BNB": "100"},
    "usdm": {"USDT": "1000000", "BNB": "100"},
}


@pytest.fixture
def still(tmp_path: Path) -> Iterator[RunningStandIn]:
    """Spot and USD-M, paused."""
    listed = (made("spot"), made("usdm"), made("usdm", "ETHUSDT", start_price="2500"))
    with exchange(tmp_path, *listed, starts_paused=True, balances=BALANCES) as running:
        yield running
