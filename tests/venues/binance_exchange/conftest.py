"""A stand-in whose market stands still, so that a test decides what happens in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from tests.support.stand_in import exchange, scripted

BIDS = {60_000: "0.500", 59_990: "1.000"}
ASKS = {60_010: "0.250", 60_020: "0.400"}
BALANCES = {
    "spot": {"BTC": "10", "USDT": "1000000", "BNB": "100"},
    "usdm": {"USDT": "1000000", "BNB": "100"},
}


@pytest.fixture
def still(tmp_path: Path) -> Iterator[RunningStandIn]:
    """Spot and USD-M, paused: bids 60,000 and 59,990, asks 60,010 and 60,020; the sizes are BIDS and ASKS."""
    listed = (scripted(tmp_path, market, BIDS, ASKS) for market in ("spot", "usdm"))
    with exchange(tmp_path, *listed, starts_paused=True, balances=BALANCES) as running:
        yield running
