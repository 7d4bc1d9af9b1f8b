"""The simulated exchange behind Deribit's multicast feed. It takes orders through the bridge's session."""

from venues.deribit.feed import DeribitFeed
from venues.simulated import SimulatedExchange


class SimulatedDeribitVenue(SimulatedExchange):
    """Deribit, from captures of its multicast channels."""

    feed: DeribitFeed
