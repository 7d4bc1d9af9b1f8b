"""The stand-in as a whole: hosts on ports of loopback, the markets behind them, and a control of its own.

The list of ports is written to `endpoints.json` in the folder when all of them listen.
"""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.exchange.control import Control
from crosswire.venues.bridge.binance.exchange.disturb import Disturber
from crosswire.venues.bridge.binance.exchange.faults import Faults
from crosswire.venues.bridge.binance.exchange.hub import Hub
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.made import made_up
from crosswire.venues.bridge.binance.exchange.player import Player, recorded
from crosswire.venues.bridge.binance.exchange.rest import RestHost, public_endpoints
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig, terms_of
from crosswire.venues.bridge.binance.exchange.signing import Verifier, load_key
from crosswire.venues.bridge.binance.exchange.streams import StreamHost
from crosswire.venues.bridge.binance.exchange.tls import make_context, open_folder, write_private
from crosswire.venues.bridge.binance.exchange.venue import Venue, VenueClock
from crosswire.venues.bridge.binance.recognise import recognise
from crosswire.venues.bridge.binance.stream import Market
from crosswire.venues.bridge.binance.terms import market_of

ENDPOINTS_FILE = "endpoints.json"
SHUTDOWN_S = 1.0


class StandIn:
    """A stand-in exchange; `start` opens its ports."""

    def __init__(self, config: StandInConfig) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.clock = VenueClock()
        self.faults = Faults(config.seed)
        self.disturber = Disturber(self.faults)
        open_folder(self.folder)
        self.verifier = Verifier([load_key(key) for key in config.keys], self.clock)
        listed = self._list()
        self.venues = {market: Venue(market, listed[market], self.clock) for market in Market}
        self.limits = {market: Limits(market, config.limits(market), self.clock) for market in Market}
        self.player = self._make_player()
        recorded_symbols = {each.symbol for each in self._all() if each.config.recording}
        self.hubs = {market: Hub(self.venues[market], recorded=recorded_symbols) for market in Market}
        for hub in self.hubs.values():
            hub.disturb = self.disturber.stream
        self.streams = self._make_stream_hosts()
        self.rest = {market: self._make_rest(market) for market in Market}
        self.control = Control(self)
        self.ports: dict[str, int] = {}
        self.runners: list[web.AppRunner] = []
        self.tasks: list[asyncio.Task[None]] = []

    def _all(self) -> list[Listed]:
        return [each for venue in self.venues.values() for each in venue.listed]

    def _list(self) -> dict[Market, list[Listed]]:
        listed: dict[Market, list[Listed]] = {market: [] for market in Market}
        for config in self.config.instruments:
            market = market_of(config.market)
            symbol = config.symbol or recognise(Path(config.recording), market).symbol
            terms = terms_of(config, symbol)
            listed[market].append(Listed(market, symbol, len(listed[market]), config, terms))
        return listed

    def _make_player(self) -> Player:
        config = self.config
        player = Player(config.speed, repeats=config.repeat, moves_times=config.times == "now")
        for venue in self.venues.values():
            for each in venue.listed:
                source = recorded(Path(each.config.recording)) if each.config.recording else made_up(each)
                player.add(venue, each, source)
        player.is_paused = config.starts_paused
        return player

    def _make_stream_hosts(self) -> dict[str, StreamHost]:
        connections = self.config.connections
        hosts = {
            "spot_stream": StreamHost(self.hubs[Market.SPOT], connections),
            "spot_sbe": StreamHost(self.hubs[Market.SPOT], connections, is_binary=True),
            "usdm_stream": StreamHost(self.hubs[Market.USDM], connections),
            "coinm_stream": StreamHost(self.hubs[Market.COINM], connections),
        }
        hosts["spot_sbe"].api_keys = {key.key for key in self.verifier.keys.values() if key.public is not None}
        return hosts

    def _make_rest(self, market: Market) -> RestHost:
        venue, limits = self.venues[market], self.limits[market]
        return RestHost(venue, limits, self.verifier, self.faults, public_endpoints(venue, limits))

    def applications(self) -> dict[str, web.Application]:
        """Make each host's application."""
        apps = {name: host.application() for name, host in self.streams.items()}
        apps |= {f"{market.name.lower()}_rest": host.application() for market, host in self.rest.items()}
        apps["control"] = self.control.application()
        return apps

    async def start(self) -> None:
        """Open all ports, write down which, and begin to play."""
        context = make_context(self.folder)
        for name, app in self.applications().items():
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
            await runner.setup()
            self.runners.append(runner)
            port = self.config.ports.get(name, 0)
            site = web.TCPSite(runner, self.config.address, port, ssl_context=context)
            await site.start()
            self.ports[name] = runner.addresses[0][1]
        told = {name: f"{self.config.address}:{port}" for name, port in self.ports.items()}
        write_private(self.folder / ENDPOINTS_FILE, json.dumps(told, indent=1).encode())
        self.player.start(self.clock_without_faults)
        self.tasks = [asyncio.create_task(self.player.run())]
        self.tasks += [asyncio.create_task(hub.tell_mark_prices()) for hub in self.hubs.values()]

    def clock_without_faults(self) -> int:
        """Tell the time by which the play goes, whatever the venue says that it is."""
        return self.clock.now_ns() - self.clock.offset_ns

    async def run(self) -> None:
        """Serve until cancelled, or until the play itself fails."""
        await self.start()
        try:
            while True:
                for task in self.tasks:
                    if task.done() and (error := task.exception()) is not None:
                        raise error
                await asyncio.sleep(0.1)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Close everything."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.abort_connections("*")
        for runner in self.runners:
            with contextlib.suppress(Exception):
                await runner.cleanup()

    def connections(self, host: str) -> list[Any]:
        """List the open connections of a host, or of all."""
        hosts = self.streams.items()
        return [client.connection for name, each in hosts if host in ("*", name) for client in each.connections]

    def abort_connections(self, host: str) -> int:
        """Cut connections without a word."""
        found = self.connections(host)
        for connection in found:
            connection.abort()
        return len(found)

    def set_open(self, market: Market, *, is_open: bool) -> None:
        """Begin or end a market's maintenance."""
        self.venues[market].is_open = is_open
        for listed in self.venues[market].listed:
            self.venues[market].set_status(listed, listed.status)

    def server_time_ms(self) -> int:
        """Tell what the venue believes the time to be."""
        return self.clock.now_ns() // NS_PER_MS
