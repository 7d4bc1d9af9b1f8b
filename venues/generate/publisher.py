"""Who turns the made-up market into a venue's packets: the contract of the venues' generators."""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import generic
from crosswire.venues.generate.market import Losses, MadeVenue, Random


class Publisher(Struct):
    """What every venue's publisher has; a venue's class adds its own fields, its buffer of pcap records among them."""

    place: i64  # of its venue in the market
    messages: i64  # sent, lost ones included
    losses: Losses


@generic
def has_room(publisher: Publisher) -> bool:
    """Tell whether everything that one event may send fits the buffer."""


@generic
def open_publisher(publisher: Publisher, venue: MadeVenue) -> None:
    """Send what comes before the first event: the definition and the book."""


@generic
def publish(publisher: Publisher, random: Random, venue: MadeVenue) -> None:
    """Send the venue's last event, or lose it, and then what is due."""
