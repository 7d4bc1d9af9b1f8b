"""The simulated exchange behind the bridge's feed."""

from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.exchange.simulated import SimulatedExchange


class SimulatedBridgeVenue(SimulatedExchange):
    """An exchange whose captures are of the bridge's feed."""

    feed: BridgeFeed
