"""When the exchange made a packet of the `bridge` feed."""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.wire.layout import (
    BestBidAsk,
    BookDelta,
    GroupHeader,
    MessageHeader,
    PacketHeader,
    Template,
    Trade,
)
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time, tell_time

BOOK_SIDES = 2  # groups of a delta and of a snapshot


@read_wire_time.register(BridgeFeed)
def read_bridge_time(_feed: BridgeFeed, packet: Packet, told: WireTime) -> None:
    told.time_ns = 0
    told.is_book = 0
    position = packet.payload_address
    end = position + packet.payload_length
    if end - position < size_of(PacketHeader):
        return
    count = view(PacketHeader, position).message_count
    position += size_of(PacketHeader)
    for number in range(count):
        if end - position < size_of(MessageHeader):
            return
        message = view(MessageHeader, position)
        block = position + size_of(MessageHeader)
        length = message.block_length
        if block + length > end:
            return
        template_id = message.template_id
        if template_id == Template.BEST_BID_ASK and length >= size_of(BestBidAsk):
            tell_time(told, view(BestBidAsk, block).exchange_time_ns, 1)
        elif template_id == Template.TRADE and length >= size_of(Trade):
            tell_time(told, view(Trade, block).exchange_time_ns, 0)
        elif template_id == Template.BOOK_DELTA and length >= size_of(BookDelta):
            tell_time(told, view(BookDelta, block).exchange_time_ns, 1)
        if number + 1 == count:
            return
        position = block + length
        if template_id == Template.BOOK_DELTA or template_id == Template.SNAPSHOT:
            position = after_groups(position, end)


@compiled
def after_groups(position: int, end: int) -> int:
    """Step over the groups of both sides; `end` if they do not lie before it."""
    for _ in range(BOOK_SIDES):
        if end - position < size_of(GroupHeader):
            return end
        group = view(GroupHeader, position)
        position += size_of(GroupHeader) + group.block_length * group.num_in_group
    return min(position, end)
