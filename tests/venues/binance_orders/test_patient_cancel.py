"""A cancel that the venue does not hear is asked for as long as it takes; one that it refuses ends the account."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from crosswire.venues.bridge.binance.gateway.orders.api import UnansweredError
from crosswire.venues.bridge.binance.gateway.orders.records import Ended, Told
from crosswire.venues.bridge.binance.gateway.rest import RefusedError
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError
from crosswire.venues.order import GTC
from crosswire.venues.side import BUY
from tests.venues.binance_orders.scripted_venue import ScriptedVenue
from tests.venues.binance_orders.test_trader import Gateway
from tests.venues.binance_orders.virtual_time import VirtualLoop, run_virtual

pytestmark = pytest.mark.binance
AWAY_S = 90.0
ORDER = 1

NOT_CONNECTED = VenueError("order.cancel: not connected")
UNANSWERED = UnansweredError("order.cancel: no answer")
BANNED = RefusedError("order.cancel", 418, -1003, "Way too many requests; IP banned until 1700000000000.")
OVERLOADED = RefusedError("order.cancel", 503, -1007, "Timeout waiting for response from backend server.")
REFUSED = RefusedError("order.cancel", 400, -1013, "Something that no repeating changes.")


class Resting(ScriptedVenue):
    """A venue where one order rests, whose cancel fails for a while."""

    def __init__(self, loop: VirtualLoop, failure: VenueError) -> None:
        super().__init__(loop, random.Random(1), 0.0, Market.SPOT)
        self.failure: VenueError | None = failure
        self.cancels = 0

    async def call(self, method: str, params: dict[str, Any]) -> bytes:
        if method == "order.cancel" and self.failure is not None:
            self.cancels += 1
            raise self.failure
        return await super().call(method, params)

    def fill(self, order: Any) -> None:
        """Let nothing trade."""
        self.chance = random.Random(2)


async def play(loop: VirtualLoop, failure: VenueError, path: Path) -> tuple[list[str], list[Told], int]:
    """Cancel an order while the venue fails, and then no longer; why it stopped, what was told, cancels tried."""
    venue, told = Resting(loop, failure), list[Told]()
    gateway = Gateway(loop, venue, path, told)
    await asyncio.sleep(1.0)
    gateway.new(1, BUY, GTC)
    await asyncio.sleep(1.0)
    assert ORDER in gateway.account.orders
    venue.is_ready = failure is not NOT_CONNECTED
    gateway.trader.cancel(gateway.definition, ORDER)
    await asyncio.sleep(AWAY_S)
    venue.failure, venue.is_ready = None, True
    await asyncio.sleep(5.0)
    gateway.kill()
    await asyncio.sleep(0.1)
    return gateway.stopped, told, venue.cancels


@pytest.mark.parametrize("failure", [NOT_CONNECTED, UNANSWERED, BANNED, OVERLOADED], ids=lambda each: str(each)[:40])
def test_a_venue_that_is_away_is_waited_for(failure: VenueError, tmp_path: Path) -> None:
    loop = VirtualLoop()
    stopped, told, cancels = run_virtual(loop, play(loop, failure, tmp_path / "orders.journal"))
    assert stopped == []
    assert [each for each in told if isinstance(each, Ended)] != []
    assert (cancels == 0) == (failure is NOT_CONNECTED)  # nobody is asked who can't be, again and again


def test_a_cancel_that_is_refused_for_good_names_its_order(tmp_path: Path) -> None:
    loop = VirtualLoop()
    stopped, _, cancels = run_virtual(loop, play(loop, REFUSED, tmp_path / "orders.journal"))
    assert stopped == [f"order {ORDER} could not be cancelled"]
    assert cancels == 20


def test_an_account_is_not_called_whole_before_its_events_are_heard(tmp_path: Path) -> None:
    loop = VirtualLoop()

    async def connect() -> tuple[bool, bool]:
        venue = ScriptedVenue(loop, random.Random(1), 0.0, Market.USDM)
        venue.is_open = False
        gateway = Gateway(loop, venue, tmp_path / "orders.journal", [])
        await asyncio.sleep(1.0)
        before = any("whole" in line for line in gateway.said)
        venue.is_open = True
        gateway.trader._note_connected()
        await asyncio.sleep(1.0)
        gateway.kill()
        await asyncio.sleep(0.1)
        return before, any("the account is whole" in line for line in gateway.said)

    assert run_virtual(loop, connect()) == (False, True)
