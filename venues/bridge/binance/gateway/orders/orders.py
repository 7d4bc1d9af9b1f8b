"""The order side of a bridge: the engine's bridge session in, the venue's order interfaces out."""

from crosswire.venues.bridge.binance.gateway.config import OrdersConfig
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.errors import VenueError


class OrderSide:
    """One account's orders."""

    def __init__(self, shared: Shared, config: OrdersConfig) -> None:
        """VenueError: what is configured can't be used."""
        raise VenueError(f"orders.address = {config.address}: this bridge takes no orders; leave [orders] out")

    async def run(self) -> None:
        """Work until cancelled, then end in order."""
