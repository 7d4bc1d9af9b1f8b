"""What the bridge to Binance adds: from a websocket frame sent to the datagram received, and messages a second.

    crosswire bench bridge [RECORDING.gz]       default: usdm/btcusdt of $CROSSWIRE_DATA/binance

A venue in a process of its own sends recorded messages over TLS on loopback, and receives the feed. Latency: one
message at a time, from before it is sent until its first datagram is there, so both of the kernel's sockets are in it.
Throughput: all messages as fast as they are taken, by the bridge's processor seconds. Handling is what the bridge's own
code takes of a message: decoding, the book, the datagram's system call. The bridge's own client, picows, and
`websockets` by turns.
"""

import asyncio
import gzip
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from picows import WSCloseCode, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from websockets.asyncio.client import connect

from crosswire.venues.bridge.binance.gateway.config import Endpoint, FeedConfig
from crosswire.venues.bridge.binance.gateway.definitions import TRADING, Definition, Filters
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.channel import Channel
from crosswire.venues.bridge.binance.gateway.market.sender import Sender
from crosswire.venues.bridge.binance.gateway.websocket import open_websocket
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.recognise import recognise
from crosswire.venues.bridge.binance.terms import channel_id_of, find_terms, instrument_id_of
from tests.support.paths import benchmark_recording

ROUNDS = 3
LATENCY_MESSAGES = 3_000
FLOOD_MESSAGES = 40_000
GAP_S = 0.0003
ANSWER_S_MAX = 0.05
WRITE_BYTES_MAX = 1 << 20
RECEIVE_BYTES = 1 << 26
US = 1e6

OnMessage = Callable[[memoryview, bool], None]


def read_recording(path: Path) -> tuple[bytes, list[bytes]]:
    """The snapshot of a recording, and the messages from there on."""
    with gzip.open(path) as lines:
        payloads = [line.partition(b" ")[2].rstrip() for line in lines]
    place = next(place for place, payload in enumerate(payloads) if b'"lastUpdateId"' in payload[:200])
    return payloads[place], payloads[:place] + payloads[place + 1 :]


class Venue(WSListener):
    """The venue's end: sends what its path asks for."""

    def __init__(self, messages: list[bytes], reader: socket.socket, path: str) -> None:
        self.messages, self.reader, self.path = messages, reader, path

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self.task = asyncio.ensure_future(
            self._latency(transport) if "latency" in self.path else self._flood(transport)
        )

    def _drain(self) -> int:
        count = 0
        while True:
            try:
                self.reader.recv(2048)
            except BlockingIOError:
                return count
            count += 1

    async def _latency(self, transport: WSTransport) -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self.reader, arrived.set)
        times = []
        for payload in self.messages[:LATENCY_MESSAGES]:
            await asyncio.sleep(GAP_S)
            self._drain()
            arrived.clear()
            begun = time.perf_counter()
            transport.send(WSMsgType.TEXT, payload)
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    await arrived.wait()
            except TimeoutError:
                continue  # a message of which nothing is published
            times.append((time.perf_counter() - begun) * US)
        loop.remove_reader(self.reader)
        print(json.dumps({"times_us": times}), flush=True)
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    async def _flood(self, transport: WSTransport) -> None:
        for place, payload in enumerate(self.messages[:FLOOD_MESSAGES]):
            transport.send(WSMsgType.TEXT, payload)
            if place % 64 == 0:
                self._drain()
                while transport.underlying_transport.get_write_buffer_size() > WRITE_BYTES_MAX:
                    await asyncio.sleep(0.001)
                    self._drain()
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()


async def serve(recording: Path, certificate: Path) -> None:
    """Be the venue until killed; the first line says where."""
    _, messages = read_recording(recording)
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    reader.bind(("127.0.0.1", 0))
    reader.setblocking(False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def accept(request: WSUpgradeRequest) -> Venue:
        return Venue(messages, reader, request.path.decode())

    server = await ws_create_server(accept, "127.0.0.1", 0, ssl=context)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "udp": reader.getsockname()[1]}), flush=True)
    await server.serve_forever()


async def by_picows(port: int, path: str, context: ssl.SSLContext, take: OnMessage) -> None:
    """Hand on all messages of a connection, by the bridge's own client."""
    connection = await open_websocket(Endpoint("127.0.0.1", port), path, context, take)
    await connection.wait_ended()


async def by_websockets(port: int, path: str, context: ssl.SSLContext, take: OnMessage) -> None:
    """Hand on all messages of a connection, by `websockets`."""
    async with connect(f"wss://127.0.0.1:{port}{path}", ssl=context, compression=None, max_size=None) as connection:
        async for message in connection:
            take(memoryview(message.encode() if isinstance(message, str) else message), False)


CLIENTS = {"picows": by_picows, "websockets": by_websockets}


class Bench:
    """One recording's instrument, a venue, and what was measured."""

    def __init__(self, recording: Path, folder: Path) -> None:
        self.recording = recording
        authority = trustme.CA()
        certificate = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.context)
        self.venue = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bridge", "--venue", str(recording), str(certificate)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        self.place = json.loads(self.line())
        self.snapshot, _ = read_recording(recording)

    def line(self) -> str:
        """Read a line that the venue says."""
        assert self.venue.stdout is not None
        return self.venue.stdout.readline()

    def channel(self) -> tuple[Channel, Sender]:
        """Make the instrument anew."""
        found = recognise(self.recording, None)
        number = instrument_id_of(Market(found.market), found.symbol)
        definition = Definition(
            market=Market(found.market),
            symbol=found.symbol,
            instrument_id=number,
            channel_id=channel_id_of(number),
            terms=find_terms(self.recording, Market(found.market), found.symbol, {}),
            filters=Filters(),
            status=TRADING,
        )
        log = Log(lambda _line: None)
        sender = Sender(FeedConfig(address=f"127.0.0.1:{self.place['udp']}", source="127.0.0.1"), log)
        return Channel(definition, sender, log, None), sender

    def run(self, client: str, path: str) -> dict[str, float]:
        """Take a connection's messages by that client; processor seconds, messages, and what the venue measured."""
        channel, sender = self.channel()
        channel.take_snapshot(self.snapshot)
        handling: list[float] = []

        def take(payload: memoryview, is_binary: bool) -> None:
            begun = time.perf_counter()
            channel.take(payload, is_binary)
            handling.append((time.perf_counter() - begun) * US)

        begun, processor = time.perf_counter(), time.process_time()
        asyncio.run(CLIENTS[client](self.place["port"], path, self.context, take))
        processor, wall = time.process_time() - processor, time.perf_counter() - begun
        sender.close()
        handling.sort()
        result: dict[str, Any] = {"messages": len(handling), "cpu_s": processor, "wall_s": wall}
        result |= {
            "handling_p50_us": handling[len(handling) // 2],
            "handling_p99_us": handling[len(handling) * 99 // 100],
        }
        if path == "/latency":
            times = sorted(json.loads(self.line())["times_us"])
            result |= {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}
        return result

    def close(self) -> None:
        """End the venue."""
        self.venue.terminate()
        self.venue.wait()


def main() -> None:
    """Measure."""
    if sys.argv[1:2] == ["--venue"]:
        asyncio.run(serve(Path(sys.argv[2]), Path(sys.argv[3])))
        return
    recording = Path(sys.argv[1]) if sys.argv[1:] else benchmark_recording("binance/usdm/btcusdt_20240808.gz")
    rows: dict[str, dict[str, list[float]]] = {client: {} for client in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(recording, Path(folder))
        try:
            bench.run("picows", "/latency")  # compiles, warms up
            for _ in range(ROUNDS):
                for client in CLIENTS:
                    row = rows[client]
                    latency = bench.run(client, "/latency")
                    flood = bench.run(client, "/flood")
                    row.setdefault("p50_us", []).append(latency["p50_us"])
                    row.setdefault("p99_us", []).append(latency["p99_us"])
                    for key in ("handling_p50_us", "handling_p99_us"):
                        row.setdefault(key, []).append(latency[key])
                    row.setdefault("messages_per_s", []).append(flood["messages"] / flood["cpu_s"])
        finally:
            bench.close()
    medians = {client: {key: statistics.median(values) for key, values in row.items()} for client, row in rows.items()}
    for client, row in medians.items():
        shown = ", ".join(f"{key} {value:,.0f}" for key, value in row.items())
        print(f"{client:>10}: {shown}")
    own, other = medians["picows"], medians["websockets"]
    result = {"name": "bridge", "client": "picows", "other_client": "websockets", "rounds": ROUNDS}
    print(
        json.dumps(
            result
            | {key: round(own[key], 1) for key in ("p50_us", "p99_us", "handling_p50_us", "handling_p99_us")}
            | {"messages_per_s": round(own["messages_per_s"])}
            | {f"other_client_{key}": round(other[key], 1) for key in ("p50_us", "p99_us")}
            | {"other_client_messages_per_s": round(other["messages_per_s"])}
        )
    )


if __name__ == "__main__":
    main()
