"""The market side of a bridge: the venue's streams in, the bridge feed out."""

import asyncio
import time
from collections.abc import Callable

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.gateway.back_off import BackOff
from crosswire.venues.bridge.binance.gateway.config import MarketConfig
from crosswire.venues.bridge.binance.gateway.definitions import PATHS, Definition
from crosswire.venues.bridge.binance.gateway.limits import Attempts
from crosswire.venues.bridge.binance.gateway.market.channel import Channel
from crosswire.venues.bridge.binance.gateway.market.recorder import Recorder
from crosswire.venues.bridge.binance.gateway.market.sender import Sender
from crosswire.venues.bridge.binance.gateway.market.streams import StreamConnection, Subscription
from crosswire.venues.bridge.binance.gateway.market.subscriptions import make_router, paths
from crosswire.venues.bridge.binance.gateway.rest import LimitedError
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.credentials import load_credentials
from crosswire.venues.errors import VenueError

# Weight of GET depth by the levels asked for (developers.binance.com, "Order Book" of each REST API).
DEPTH_WEIGHTS = {
    Market.SPOT: {100: 5, 500: 25, 1_000: 50, 5_000: 250},
    Market.USDM: {100: 5, 500: 10, 1_000: 20},
    Market.COINM: {100: 5, 500: 10, 1_000: 20},
}
KEY_HEADER = "X-MBX-APIKEY"
DELTA_WAIT_S = 2.0  # for a first depth message before a snapshot is asked for; a still market has none
DELTA_LOOK_S = 0.05
TICK_S = 0.02  # how often what is to be published again is looked at
BYTES_PER_MB = 1 << 20
STATUS_INTERVAL_S = 60.0


class MarketSide:
    """All instruments of one account's bridge."""

    def __init__(self, shared: Shared) -> None:
        """VenueError: the feed can't be sent, or a recording can't be written, or a key can't be read."""
        self.shared = shared
        self.log = shared.log
        self.config = shared.config
        self.sender = Sender(self.config.feed, self.log)
        self.recorders: list[Recorder] = []
        self.channels: dict[tuple[Market, str], Channel] = {}
        self.headers = {market: self._headers(table) for market, table in self.config.markets.items()}

    def _headers(self, table: MarketConfig) -> dict[str, str]:
        """The headers of a market's connections: SBE streams want a key's id, and no signature."""
        if not table.key_file:
            return {}
        return {KEY_HEADER: load_credentials(self.shared.folder / table.key_file).client_id}

    async def run(self) -> None:
        """Work until cancelled; then every reader loses its books at once, and the recordings are closed."""
        await self.shared.definitions.known.wait()
        self.shared.definitions.watch(self._defined)
        try:
            async with asyncio.TaskGroup() as group:
                for market, table in self.config.markets.items():
                    self._begin(group, market, table)
                group.create_task(self._publish_again())
                group.create_task(self._tell_status())
        finally:
            for channel in self.channels.values():
                channel.lose("the bridge ends")
                channel.count_all()
            for recorder in self.recorders:
                recorder.close()
            self.log.count("packets sent", self.sender.packets)
            self.sender.close()

    def _defined(self, former: Definition | None, definition: Definition) -> None:
        """Make the channel of a new instrument; change that of one whose definition has."""
        key = definition.market, definition.symbol
        if key in self.channels:
            self.channels[key].redefine(definition)
            return
        recorder = None
        if self.config.recording is not None:
            folder = self.shared.folder / self.config.recording.folder
            name = f"{definition.market.name.lower()}_{definition.symbol.lower()}"
            rotate_bytes = self.config.recording.rotate_mb * BYTES_PER_MB
            recorder = Recorder(folder, name, rotate_bytes, self.log)
            self.recorders.append(recorder)
        self.channels[key] = Channel(definition, self.sender, self.log, recorder)
        self.channels[key].publish_definition()

    def _begin(self, group: asyncio.TaskGroup, market: Market, table: MarketConfig) -> None:
        """Begin a market's connections, and the care for its books."""
        channels = [self.channels[market, symbol] for symbol in table.symbols]
        attempts = Attempts()
        endpoint = self.config.endpoint(market, "sbe" if table.protocol == "sbe" else "stream")
        for kind, path in paths(market, table).items():
            name = f"{market.name.lower()}{kind}"
            has_depth = kind != "/market"
            renewal = asyncio.Event()
            connection = StreamConnection(
                self.shared,
                Subscription(
                    name=name,
                    endpoint=endpoint,
                    path=path,
                    headers=self.headers[market],
                    on_message=make_router(channels, name, self.log, renewal.set),
                    renewal=renewal,
                    on_lost=losing(channels) if has_depth else nothing,
                    why_stalled=stall_of(channels, table.silence_s) if has_depth else no_stall,
                ),
                attempts,
            )
            group.create_task(connection.run())
            if has_depth:
                for channel in channels:
                    group.create_task(self._keep_proven(market, table, channel, connection))

    async def _keep_proven(
        self, market: Market, table: MarketConfig, channel: Channel, connection: StreamConnection
    ) -> None:
        """Ask for a snapshot whenever a book is not proven, ever more slowly while that is of no use."""
        levels = table.snapshot_levels
        path = f"{PATHS[market]}/depth?symbol={channel.symbol.decode()}&limit={levels}"
        back_off = BackOff()
        while True:
            await channel.unproven.wait()
            await connection.opened.wait()
            await wait_for_delta(channel)
            if not channel.is_trading:
                await asyncio.sleep(back_off.next_s())
                continue
            try:
                asked = time.monotonic()
                body = await self.shared.rest[market].request("GET", path, DEPTH_WEIGHTS[market][levels])
            except VenueError as error:
                self.log.event(channel.name, str(error))
                self.log.count("failed questions for snapshots")
                await asyncio.sleep(error.seconds if isinstance(error, LimitedError) else back_off.next_s())
                continue
            if not connection.opened.is_set():
                continue
            if channel.take_snapshot(body):
                seconds = time.monotonic() - asked
                self.log.event(channel.name, f"book proven by a snapshot that took {seconds * 1e3:.0f} ms")
                back_off.reset()
            else:
                self.log.count("snapshots that proved nothing")
                await asyncio.sleep(back_off.next_s())

    async def _publish_again(self) -> None:
        """Publish definitions and books again for those who begin to listen, and heartbeats; flush recordings."""
        feed = self.config.feed
        channels = list(self.channels.values())
        due = [
            Due(channels, feed.definition_ms, Channel.publish_definition),
            Due(channels, feed.snapshot_ms, Channel.publish_book),
            Due(channels, feed.heartbeat_ms / 2, lambda each: each.publish_heartbeat(feed.heartbeat_ms * NS_PER_MS)),
        ]
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for each in due:
                each.serve(now)
            for channel in channels:
                if channel.wants_book:
                    channel.make_up()
            for recorder in self.recorders:
                recorder.flush()

    async def _tell_status(self) -> None:
        """Say once a minute how many books are proven."""
        while True:
            await asyncio.sleep(STATUS_INTERVAL_S)
            proven = sum(channel.is_proven for channel in self.channels.values())
            lines = sum(channel.lines.value for channel in self.channels.values())
            self.log.event(
                "status",
                f"{proven} of {len(self.channels)} books proven, {lines:,} messages, {self.sender.packets:,} packets",
            )


class Due:
    """Something that each channel is to do every so often, one channel after the other and not all at once."""

    def __init__(self, channels: list[Channel], interval_ms: float, act: Callable[[Channel], None]) -> None:
        self.channels = channels
        self.interval_s = interval_ms / 1e3 / len(channels)
        self.act = act
        self.place = 0
        self.next_at = time.monotonic()

    def serve(self, now: float) -> None:
        """Have the channels act whose time has come; those missed in a stall do not pile up."""
        for _ in self.channels:
            if now < self.next_at:
                return
            self.act(self.channels[self.place])
            self.place = (self.place + 1) % len(self.channels)
            self.next_at += self.interval_s
        self.next_at = max(self.next_at, now)


async def wait_for_delta(channel: Channel) -> None:
    """Wait for something that a snapshot can be joined to, but not for ever: a still market tells nothing."""
    deadline = time.monotonic() + DELTA_WAIT_S
    while channel.is_waiting_for_delta and time.monotonic() < deadline:
        await asyncio.sleep(DELTA_LOOK_S)


def losing(channels: list[Channel]) -> Callable[[str], None]:
    """Make the function that ends all books of a connection that is lost."""

    def lose(why: str) -> None:
        for channel in channels:
            channel.lose(f"connection lost: {why}")

    return lose


def nothing(_why: str) -> None:
    """A connection without depth costs no book: trades and mark prices lack until it is back, which its event says."""


def stall_of(channels: list[Channel], silence_s: float) -> Callable[[], str]:
    """Make the function that says which instrument's depth has been silent for too long."""

    def why() -> str:
        now = time.monotonic()
        for channel in channels:
            if channel.is_proven and now - channel.depth_at > silence_s:
                return f"no depth of {channel.name} for {silence_s:g} s"
        return ""

    return why


def no_stall() -> str:
    """A market may be without trades for as long as it likes."""
    return ""
