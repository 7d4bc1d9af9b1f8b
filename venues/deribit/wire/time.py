"""When Deribit made a packet of its multicast, to the millisecond."""

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.deribit.feed.state import DeribitFeed
from crosswire.venues.deribit.wire.layout import (
    Book,
    FrameHeader,
    GroupHeader,
    MessageHeader,
    Template,
    Ticker,
    TradeEntry,
)
from crosswire.venues.deribit.wire.walk import TIMESTAMP_MS_MAX
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time, tell_time


@read_wire_time.register(DeribitFeed)
def read_deribit_time(_feed: DeribitFeed, packet: Packet, told: WireTime) -> None:
    """Read the messages up to the first with groups, that one included: the ticker comes before its book."""
    told.time_ns = 0
    told.is_book = 0
    position = packet.payload_address + size_of(FrameHeader)
    end = packet.payload_address + packet.payload_length
    while end - position >= size_of(MessageHeader):
        message = view(MessageHeader, position)
        block = position + size_of(MessageHeader)
        length = message.block_length
        position = block + length
        if position > end:
            return
        template_id = message.template_id
        if template_id == Template.TICKER and length >= size_of(Ticker):
            tell_timestamp(told, view(Ticker, block).timestamp_ms, 0)
        elif template_id == Template.BOOK and length >= size_of(Book):
            tell_timestamp(told, view(Book, block).timestamp_ms, 1)
        elif template_id == Template.TRADES:
            tell_trade(told, position, end)
        if message.group_count != 0 or message.text_count != 0:
            return


@compiled
def tell_trade(told: WireTime, position: int, end: int) -> None:
    """Tell the time of the first trade of a group: all are one order's."""
    entry = position + size_of(GroupHeader)
    if entry + size_of(TradeEntry) > end or view(GroupHeader, position).block_length < size_of(TradeEntry):
        return
    if view(GroupHeader, position).entry_count != 0:
        tell_timestamp(told, view(TradeEntry, entry).timestamp_ms, 0)


@compiled
def tell_timestamp(told: WireTime, timestamp_ms: int, is_book: int) -> None:
    """Take up a time in ms, if it can be one."""
    if 0 < timestamp_ms <= TIMESTAMP_MS_MAX:
        tell_time(told, timestamp_ms * NS_PER_MS, is_book)
