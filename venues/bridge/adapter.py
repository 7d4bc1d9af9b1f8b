"""The bridge's door: Crosswire's own feed, for venues that have no binary one."""

from functools import partial
from typing import Any

from crosswire.nic.rings.replay import Replay
from crosswire.venues.adapter import Adapter, Generator, Importer, VenueProcess, VenueSetup
from crosswire.venues.bridge.binance.command import BinanceOptions, import_pairs, import_recordings
from crosswire.venues.bridge.binance.exchange import command as stand_in
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig
from crosswire.venues.bridge.binance.gateway.command import run as run_binance
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig as BinanceConfig
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.wire import time as wire_time  # noqa: F401  registers how its packets tell their time
from crosswire.venues.bridge.wire.layout import WIRE
from crosswire.venues.exchange.order_entry import replayed_order_entry
from crosswire.venues.market import Market
from crosswire.venues.money.told import ToldFunding


def make_feed(setup: VenueSetup) -> BridgeFeed:
    """Make a feed that has seen nothing yet."""
    return BridgeFeed(venue=setup.number)


def discover(_market: Market) -> BridgeFeed:
    """Make a feed that takes up every instrument it is told of."""
    return BridgeFeed(discover=1)


def make_generator() -> Generator:
    """Describe how captures of the venue are made up."""
    from crosswire.venues.bridge.generate import PERPETUAL  # what most runs do not need

    return _generator(1, PERPETUAL, "")


def make_triangle() -> list[Generator]:
    """Describe how captures of three spot books are made up that are a triangle."""
    from crosswire.venues.bridge.generate import TRIANGLE

    return [_generator(place, terms, terms.symbol.lower()) for place, terms in enumerate(TRIANGLE)]


def _generator(place: int, terms: Any, name: str) -> Generator:
    from crosswire.venues.bridge.generate import behave, make_publisher

    return Generator(
        place=place,
        behave=partial(behave, terms),
        make_publisher=partial(make_publisher, terms),
        buffer_of=lambda publisher: publisher.writer,
        name=name,
    )


def read_funding(setup: VenueSetup, replay: Replay) -> ToldFunding:
    """Read what its mark prices say of funding."""
    from crosswire.venues.bridge.funding import read_payments  # after a run, and only if it traded
    from crosswire.venues.money.payments import told_at_times

    return told_at_times(read_payments(setup, replay))


def channels(feed: Any) -> list[dict[str, int]]:
    """Tell how far each channel has come."""
    used = [feed.channels[index] for index in range(feed.channel_count)]
    return [{"id": channel.channel_id, "last_sequence": channel.sequence} for channel in used]


ADAPTER = Adapter(
    name="bridge",
    wire=WIRE,
    make_feed=make_feed,
    order_entries={"bridge": replayed_order_entry(make_feed)},
    discover=discover,
    instruments_max=64,
    levels_max=16_384,
    importers={
        "binance": Importer(
            help="Recorded Binance spot, USD-M and COIN-M streams -> captures of the bridge feed.",
            import_files=import_recordings,
            import_pairs=import_pairs,
            options=BinanceOptions,
        )
    },
    processes={
        "binance": VenueProcess(
            help="Binance spot, USD-M and COIN-M: websocket streams in, the bridge feed out over UDP.",
            config=BinanceConfig,
            run=run_binance,
        ),
        "stand-in": VenueProcess(help=stand_in.HELP, config=StandInConfig, run=stand_in.run),
    },
    make_generator=make_generator,
    make_triangle=make_triangle,
    read_funding=read_funding,
    funding_message="MarkPrice",
    channels=channels,
)
