"""Order in, request out: what the bridge's order side adds to an order, for `crosswire bench bridge`.

A process of its own is both ends: it sends a new order as the engine would, on the gateway's TCP socket, and takes the
request that the gateway sends to the venue over TLS. So both times are of one clock, and both of the kernel's sockets
are in between, as is the journal, which has the order before the request leaves. REST is not on that way: the account
is empty, and told so in the gateway's own process.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import trustme
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from crosswire.venues.bridge.binance.gateway.config import BridgeConfig, FeedConfig, MarketConfig, OrdersConfig
from crosswire.venues.bridge.binance.gateway.definitions import TRADING, Definition, Filters
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.orders.orders import OrderSide
from crosswire.venues.bridge.binance.gateway.orders.session import EngineSession
from crosswire.venues.bridge.binance.gateway.shared import make_shared
from crosswire.venues.bridge.binance.gateway.websocket import Websocket
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS, channel_id_of, instrument_id_of
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import IOC
from tests.venues.binance_orders.engine_end import EngineEnd
from tests.venues.binance_orders.gateway import free_port, key_file

ORDERS = 2_000
WARM_UP = 100
GAP_S = 0.001
ANSWER_S_MAX = 5.0
SYMBOL = "BTCUSDT"
INSTRUMENT = instrument_id_of(Market.SPOT, SYMBOL)
US = 1e6


class OrderVenue(WSListener):
    """The venue's end: every order expires."""

    def __init__(self) -> None:
        self.arrived_at = 0.0  # of the last order
        self.arrived = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Note when an order comes, and answer."""
        now = time.perf_counter()
        if frame.msg_type != WSMsgType.TEXT:
            return
        request = json.loads(frame.get_payload_as_bytes())
        result: dict[str, Any] = {}
        if request["method"] == "order.place":
            self.arrived_at = now
            self.arrived.set()
            result = {"symbol": SYMBOL, "orderId": request["id"], "status": "EXPIRED", "executedQty": "0"}
            result |= {"clientOrderId": request["params"]["newClientOrderId"], "transactTime": 1}
        transport.send(WSMsgType.TEXT, msgspec.json.encode({"id": request["id"], "status": 200, "result": result}))


async def _log_on(port: int) -> EngineEnd:
    while True:
        with suppress(EOFError, OSError):  # it does not listen yet, or its account is not whole
            engine = await EngineEnd.connect(port)
            await engine.log_on(heartbeat_interval_ms=60_000)
            return engine
        await asyncio.sleep(0.05)


async def serve_orders(certificate: Path, gateway_port: int, orders: int) -> None:
    """Be the venue, whose port is the first line, and the engine, whose times are the second."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    venue = OrderVenue()

    def accept(_request: WSUpgradeRequest) -> OrderVenue:
        return venue

    server = await ws_create_server(accept, "127.0.0.1", 0, ssl=context)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    engine = await _log_on(gateway_port)
    times = []
    for number in range(1, WARM_UP + orders + 1):
        await asyncio.sleep(GAP_S)
        order = engine.message(
            messages.Template.NEW_ORDER,
            client_order_id=number,
            price_ticks=6_000_000,
            qty_lots=100,
            instrument_id=INSTRUMENT,
            time_in_force=IOC,
        )
        venue.arrived.clear()
        begun = time.perf_counter()
        engine.send_bytes(order)
        async with asyncio.timeout(ANSWER_S_MAX):
            await venue.arrived.wait()
        times.append((venue.arrived_at - begun) * US)
        await engine.wait(messages.OrderCancelled)
    print(json.dumps({"times_us": times[WARM_UP:]}), flush=True)


class EmptyRest:
    """The venue's REST interface for an account that never traded, in the place of `Rest`."""

    async def get(self, _path: str, _weight: int, kind: type[Any]) -> Any:
        """Tell the time."""
        return msgspec.convert({"serverTime": time.time_ns() // 1_000_000}, kind)

    async def request(self, _method: str, _path: str, _weight: int, _headers: Any = None) -> bytes:
        """Tell that there is nothing."""
        return b"[]"


class Handling:
    """How long the gateway's own code takes of an order: from its bytes until the request is written."""

    def __init__(self) -> None:
        self.times_us: list[float] = []
        self._begun = 0.0
        self._data_received, self._send = EngineSession.data_received, Websocket.send

    def __enter__(self) -> "Handling":
        data_received, send = self._data_received, self._send

        def receive(session: EngineSession, data: bytes) -> None:
            self._begun = time.perf_counter()
            data_received(session, data)

        def send_on(websocket: Websocket, text: bytes) -> None:
            send(websocket, text)
            if b'"order.place"' in text:
                self.times_us.append((time.perf_counter() - self._begun) * US)

        EngineSession.data_received, Websocket.send = receive, send_on  # type: ignore[method-assign]
        return self

    def __exit__(self, *_error: object) -> None:
        EngineSession.data_received, Websocket.send = self._data_received, self._send  # type: ignore[method-assign]


def _config(folder: Path, kind: str, venue_port: int, gateway_port: int) -> BridgeConfig:
    (folder / "orders.journal").unlink(missing_ok=True)
    return BridgeConfig(
        name="bench",
        feed=FeedConfig(address="127.0.0.1:9", source="127.0.0.1"),
        ca_file=str(folder / "ca.pem"),
        spot=MarketConfig(symbols=[SYMBOL], rest="127.0.0.1:9", order_api=f"127.0.0.1:{venue_port}"),
        orders=OrdersConfig(
            address=f"127.0.0.1:{gateway_port}",
            key_file=str(key_file(folder, kind)),
            journal=str(folder / "orders.journal"),
        ),
    )


def _make_side(config: BridgeConfig, folder: Path) -> OrderSide:
    shared = make_shared(config, folder, Log(lambda _line: None))
    shared.rest[Market.SPOT] = EmptyRest()  # type: ignore[assignment]
    shared.definitions.table[(Market.SPOT, SYMBOL)] = Definition(
        market=Market.SPOT,
        symbol=SYMBOL,
        instrument_id=INSTRUMENT,
        channel_id=channel_id_of(INSTRUMENT),
        terms=DEFAULT_TERMS[(Market.SPOT, SYMBOL)],
        filters=Filters(),
        status=TRADING,
    )
    shared.definitions.known.set()
    assert config.orders is not None
    return OrderSide(shared, config.orders)


async def _run_side(side: OrderSide, read_times: Any) -> Any:
    """Run the order side until the other process has told its times."""
    running = asyncio.ensure_future(side.run())
    reading = asyncio.get_running_loop().run_in_executor(None, read_times)
    await asyncio.wait([running, reading], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return await reading


def measure_orders(folder: Path, kind: str, orders: int = ORDERS) -> dict[str, float]:
    """Send orders through a gateway with a key of that kind, "ed25519" or "hmac"; medians and p99 in us."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = folder / "venue.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    gateway_port = free_port()
    command = [sys.executable, "-m", "tests.bench.bridge", "--orders", str(certificate), str(gateway_port), str(orders)]
    ends = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert ends.stdout is not None
    try:
        venue_port = json.loads(ends.stdout.readline())["port"]
        side = _make_side(_config(folder, kind, venue_port, gateway_port), folder)
        with Handling() as handling:
            told = json.loads(asyncio.run(_run_side(side, ends.stdout.readline)))
    finally:
        ends.terminate()
        ends.wait()
        ends.stdout.close()
    times, own = sorted(told["times_us"]), sorted(handling.times_us[WARM_UP:])
    return {
        "order_p50_us": times[len(times) // 2],
        "order_p99_us": times[len(times) * 99 // 100],
        "order_handling_p50_us": own[len(own) // 2],
        "order_handling_p99_us": own[len(own) * 99 // 100],
        "orders": len(times),
    }
