"""The simulated exchange behind Deribit's multicast feed. It takes orders through the bridge's session."""

from crosswire.venues.deribit.feed.feed import DeribitFeed
from crosswire.venues.exchange.simulated import SimulatedExchange


class SimulatedDeribitVenue(SimulatedExchange):
    """Deribit, from captures of its multicast channels."""

    feed: DeribitFeed
