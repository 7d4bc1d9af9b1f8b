"""The market side of a bridge: the venue's streams in, the bridge feed out."""

import asyncio

from crosswire.venues.bridge.binance.gateway.shared import Shared


class MarketSide:
    """All instruments of one account's bridge."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    async def run(self) -> None:
        """Work until cancelled, then end in order."""
        await self.shared.definitions.known.wait()
        await asyncio.Event().wait()
