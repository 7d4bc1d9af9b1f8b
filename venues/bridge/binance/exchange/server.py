"""The stand-in as a whole: hosts on ports of loopback, the markets behind them, and a control of its own.

The list of ports is written to `endpoints.json` in the folder when all of them listen.
"""

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

from aiohttp import web

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.exchange.account import Account
from crosswire.venues.bridge.binance.exchange.api import ApiHost
from crosswire.venues.bridge.binance.exchange.captured import captured, captured_symbol, is_capture
from crosswire.venues.bridge.binance.exchange.connection import Connection
from crosswire.venues.bridge.binance.exchange.control import Control
from crosswire.venues.bridge.binance.exchange.desk import Desk
from crosswire.venues.bridge.binance.exchange.disturb import Disturber
from crosswire.venues.bridge.binance.exchange.faults import Faults
from crosswire.venues.bridge.binance.exchange.hub import Hub
from crosswire.venues.bridge.binance.exchange.journal import Journal
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.listen_keys import ListenKeys
from crosswire.venues.bridge.binance.exchange.made import made_up
from crosswire.venues.bridge.binance.exchange.matcher import prepare
from crosswire.venues.bridge.binance.exchange.player import Player, Source, recorded
from crosswire.venues.bridge.binance.exchange.rest import RestHost, public_endpoints
from crosswire.venues.bridge.binance.exchange.settings import ScheduledConfig, StandInConfig, terms_of
from crosswire.venues.bridge.binance.exchange.signing import Verifier, load_key
from crosswire.venues.bridge.binance.exchange.spot import SpotDesk
from crosswire.venues.bridge.binance.exchange.streams import StreamHost
from crosswire.venues.bridge.binance.exchange.tls import make_context, open_folder, write_private
from crosswire.venues.bridge.binance.exchange.usdm import UsdmDesk
from crosswire.venues.bridge.binance.exchange.venue import Venue, VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.recognise import recognise
from crosswire.venues.bridge.binance.terms import market_of, to_e9

ENDPOINTS_FILE = "endpoints.json"
SHUTDOWN_S = 1.0
LOOK_S = 0.1  # between looks at whether the listen key still lives


def _symbol_of(path: Path, market: Market) -> str:
    """Find out what a recording is of."""
    return captured_symbol(path) if is_capture(path) else recognise(path, market).symbol


def _source_of(listed: Listed) -> Source:
    """Choose where an instrument's messages come from."""
    path = Path(listed.config.recording)
    if not listed.config.recording:
        return made_up(listed)
    return captured(path, listed) if is_capture(path) else recorded(path)


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
        prepare(self.venues[Market.SPOT].matcher)
        self.limits = {market: Limits(market, config.limits(market), self.clock) for market in Market}
        self.journal = Journal(self.folder)
        self.accounts = {market: self._make_account(market) for market in (Market.SPOT, Market.USDM)}
        life_s = config.connections.listen_key_s
        self.listen_keys = ListenKeys(self.clock, life_s, self._send_user, self.journal.write)
        self.player = self._make_player(self._remember())
        recorded_symbols = {each.symbol for each in self._all() if each.config.recording}
        self.hubs = {market: Hub(self.venues[market], recorded=recorded_symbols) for market in Market}
        for hub in self.hubs.values():
            hub.disturb = self.disturber.stream
        self.streams = self._make_stream_hosts()
        self.rest = {market: self._make_rest(market) for market in Market}
        self.desks = {market: Desk(account, self.limits[market]) for market, account in self.accounts.items()}
        self.apis = self._open_order_side()
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
            symbol = config.symbol or _symbol_of(Path(config.recording), market)
            terms = terms_of(config, symbol)
            listed[market].append(Listed(market, symbol, len(listed[market]), config, terms))
        return listed

    def _make_account(self, market: Market) -> Account:
        config, name = self.config, market.name.lower()
        third = (config.commission_asset, to_e9(config.commission_price, "commission_price"))
        return Account(self.venues[market], config.balances.get(name, {}), self.journal, third, name)

    def _send_user(self, key: str, event: dict[str, Any]) -> None:
        self.hubs[Market.USDM].send_user(key, event)

    def _remember(self) -> int:
        """Take up what an earlier process has written; tell how long ago the exchange opened first, in ms."""
        opened_ms = 0
        accounts = {account.name: account for account in self.accounts.values()}
        for step in self.journal.read():
            if "opened_ms" in step:
                opened_ms = opened_ms or int(step["opened_ms"])
            elif "listen_key" in step:
                self.listen_keys.restore(step)
            elif step.get("account") in accounts:
                accounts[step["account"]].restore(step)
        now_ms = self.clock.now_ms()
        self.journal.write({"opened_ms": now_ms})
        return now_ms - opened_ms if opened_ms else 0

    def _open_order_side(self) -> dict[str, ApiHost]:
        """Make the functions that need a key, and the hosts of the websocket API."""
        spot, usdm = SpotDesk(self.desks[Market.SPOT]), UsdmDesk(self.desks[Market.USDM])
        keys = self.listen_keys
        usdm.send = keys.tell
        self.rest[Market.SPOT].endpoints += spot.endpoints()
        self.rest[Market.USDM].endpoints += usdm.endpoints() + keys.endpoints()
        apis = {
            "spot_api": self._make_api(Market.SPOT, spot.methods(), None),
            "usdm_api": self._make_api(Market.USDM, usdm.methods(), keys),
        }
        spot.send = apis["spot_api"].send_user_event
        self.hubs[Market.USDM].disturb_user = self.disturber.user
        for desk in self.desks.values():
            desk.rest_again()
        return apis

    def _make_api(self, market: Market, methods: dict[str, Any], keys: ListenKeys | None) -> ApiHost:
        venue, limits, connections = self.venues[market], self.limits[market], self.config.connections
        return ApiHost(venue, limits, self.verifier, self.faults, self.disturber, connections, methods, keys)

    def _make_player(self, elapsed_ms: int) -> Player:
        config = self.config
        moves = config.times == "now"
        player = Player(config.speed, repeats=config.repeat, moves_times=moves, elapsed_ms=elapsed_ms)
        for venue in self.venues.values():
            for each in venue.listed:
                player.add(venue, each, _source_of(each))
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
        apps |= {name: host.application() for name, host in self.apis.items()}
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
        self.tasks.append(asyncio.create_task(self._watch_listen_key()))
        for place, scheduled in enumerate(self.config.schedule):
            self.tasks.append(asyncio.create_task(self._act_by_schedule(place, scheduled)))

    async def _act_by_schedule(self, place: int, scheduled: ScheduledConfig) -> None:
        draw = random.Random(f"{self.config.seed}.{place}")
        await asyncio.sleep(scheduled.after_s)
        while True:
            await asyncio.sleep(draw.random() * scheduled.jitter_s)
            self.control.act(scheduled.action, scheduled.body)
            if not scheduled.every_s:
                return
            await asyncio.sleep(scheduled.every_s)

    async def _watch_listen_key(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.listen_keys.live_key()

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
        self.journal.close()

    def connections(self, host: str) -> list[Connection]:
        """List the open connections of a host, or of all."""
        found = [(name, client.connection) for name, each in self.streams.items() for client in each.connections]
        found += [(name, client.connection) for name, each in self.apis.items() for client in each.connections]
        return [connection for name, connection in found if host in ("*", name)]

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
