"""What a stand-in that was killed takes up of its orders."""

from typing import Any, cast

import msgspec
import pytest

from crosswire.venues.bridge.binance.exchange.account import Account, Order
from crosswire.venues.bridge.binance.exchange.venue import Venue, VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.side import BUY

pytestmark = pytest.mark.binance
ORDER = Order(
    order_id=1, client_id="a", symbol="BTCUSDT", side=BUY, kind="LIMIT", time_in_force="GTX", stp="NONE",
    price_ticks=10, qty_lots=1, match_id=1, created_ms=1, updated_ms=1,
)  # fmt: skip


@pytest.mark.parametrize(("status", "open_ids"), [("EXPIRED", []), ("CANCELED", []), ("NEW", [2])])
def test_an_amended_order_is_open_once_or_not_at_all(status: str, open_ids: list[int]) -> None:
    account = Account(Venue(Market.USDM, [], VenueClock()), {}, cast(Any, None), ("", 0), "usdm")
    amended = msgspec.structs.replace(ORDER, match_id=2, price_ticks=11, status=status)
    for state in (ORDER, amended):
        account.restore({"orders": [msgspec.to_builtins(state)]})
    assert list(account.open) == open_ids
