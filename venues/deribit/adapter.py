"""The door of Deribit's legacy multicast. Over captures of it, orders go to the exchange that is made from them."""

from typing import Any

from crosswire.nic.rings.replay import Replay
from crosswire.venues.adapter import Adapter, Generator, VenueSetup
from crosswire.venues.deribit.feed.feed import DeribitFeed
from crosswire.venues.deribit.wire import time as wire_time  # noqa: F401  registers how its packets tell their time
from crosswire.venues.deribit.wire.layout import WIRE
from crosswire.venues.exchange.order_entry import replayed_order_entry
from crosswire.venues.market import Market
from crosswire.venues.money.told import ToldFunding

SNAPSHOT_FACTS = ("loaded", "agreed", "disagreed", "behind", "incomplete")


def make_feed(setup: VenueSetup) -> DeribitFeed:
    """Make a feed that has seen nothing yet."""
    return DeribitFeed(venue=setup.number)


def discover(_market: Market) -> DeribitFeed:
    """Make a feed that takes up every instrument it is told of."""
    return DeribitFeed(discover=1)


def make_generator() -> Generator:
    """Describe how captures of the venue are made up."""
    from crosswire.venues.deribit.generate import behave, make_publisher  # what most runs do not need

    return Generator(place=0, behave=behave, make_publisher=make_publisher, buffer_of=lambda publisher: publisher)


def read_funding(setup: VenueSetup, replay: Replay) -> ToldFunding:
    """Read what its tickers say of funding."""
    from crosswire.venues.deribit.feed.funding import read_rates  # after a run, and only if it traded
    from crosswire.venues.money.rates import told_continuously

    return told_continuously(read_rates(setup, replay))


def channels(feed: Any) -> list[dict[str, int]]:
    """Tell what came on each channel, and how often something was missing."""
    used = [channel for channel in feed.channels if channel.key != 0]
    rows = [{"id": channel.key - 1, "packets": channel.packets, "gaps": channel.gaps} for channel in used]
    return sorted(rows, key=lambda row: row["id"])


def facts(feed: Any) -> dict[str, dict[str, int]]:
    """Tell how often the books were compared with tickers and snapshots, and what came of it."""
    return {
        "ticker": {"checks": feed.ticker_checks, "mismatches": feed.ticker_mismatches},
        "snapshots": {kind: getattr(feed, f"snapshots_{kind}") for kind in SNAPSHOT_FACTS},
    }


ADAPTER = Adapter(
    name="deribit",
    wire=WIRE,
    make_feed=make_feed,
    order_entries={"bridge": replayed_order_entry(make_feed)},
    discover=discover,
    make_generator=make_generator,
    read_funding=read_funding,
    funding_message="ticker",
    channels=channels,
    facts=facts,
)
