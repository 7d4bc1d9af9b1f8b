"""Acme's door."""

import msgspec

from acme.feed import MESSAGES, AcmeFeed, GroupHeader, MessageHeader, PacketHeader
from crosswire.venues.adapter import Adapter, VenueSetup
from crosswire.venues.exchange.order_entry import replayed_order_entry
from crosswire.venues.layout import WireLayout


class AcmeSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table [venue.acme]."""

    lots_per_unit: int  # what the wire calls 1


def make_feed(setup: VenueSetup) -> AcmeFeed:
    if setup.settings.lots_per_unit < 1:
        raise ValueError(f"acme.lots_per_unit = {setup.settings.lots_per_unit}: must be positive")
    return AcmeFeed(venue=setup.number, lots_per_unit=setup.settings.lots_per_unit)


ADAPTER = Adapter(
    name="acme",
    settings=AcmeSettings,
    wire=WireLayout(
        messages=MESSAGES,
        packet_header=PacketHeader,
        message_header=MessageHeader,
        group_header=GroupHeader,
        entry_count="count",
    ),
    make_feed=make_feed,
    order_entries={"bridge": replayed_order_entry(make_feed)},
)
