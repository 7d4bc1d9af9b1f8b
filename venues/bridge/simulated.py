"""The simulated exchange behind the bridge's feed."""

from venues.bridge.feed import BridgeFeed
from venues.simulated import SimulatedExchange


class SimulatedBridgeVenue(SimulatedExchange):
    """An exchange whose captures are of the bridge's feed."""

    feed: BridgeFeed
