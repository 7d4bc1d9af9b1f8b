"""When Starbase sent a packet of its market data."""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import Packet
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time, tell_time
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.wire.market_layout import PacketHeader


@read_wire_time.register(StarbaseFeed)
def read_starbase_time(_feed: StarbaseFeed, packet: Packet, told: WireTime) -> None:
    told.time_ns = 0
    told.is_book = 0
    if packet.payload_length >= size_of(PacketHeader):
        tell_time(told, view(PacketHeader, packet.payload_address).send_time_ns, 1)
