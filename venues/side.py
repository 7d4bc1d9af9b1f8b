"""Sides, one pair of numbers everywhere: a buy order rests among the bids, a sell order among the asks."""

from crosswire.nic.unit.compile import compiled

BUY = BID = 0
SELL = ASK = 1


@compiled
def opposite(side: int) -> int:
    """The other side."""
    return 1 - side


@compiled
def sign_of(side: int) -> int:
    """+1 for a buy, -1 for a sell: what one lot does to a position."""
    return 1 - 2 * side
