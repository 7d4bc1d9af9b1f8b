"""What the bridge to Binance adds: from a websocket frame sent to the datagram received, messages a second, a burst of
ten times the recorded rate (`bridge_burst`), and from an order in to its request out (`bridge_orders`).

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
from typing import Any, NamedTuple

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
from tests.bench.bridge_burst import expect, judge, play
from tests.bench.bridge_orders import measure_orders, serve_orders
from tests.support.paths import benchmark_recording

ROUNDS = 3
LATENCY_MESSAGES = 3_000
FLOOD_MESSAGES = 40_000
BURST_MESSAGES = 20_000
GAP_S = 0.0003
ANSWER_S_MAX = 0.05
WRITE_BYTES_MAX = 1 << 20
RECEIVE_BYTES = 1 << 26
US = 1e6

OnMessage = Callable[[memoryview, bool], None]


class Recording(NamedTuple):
    """A recording's snapshot, and all its other messages with the times that they were received at."""

    snapshot: bytes
    times_ns: list[int]
    messages: list[bytes]


def read_recording(path: Path) -> Recording:
    """Read a recording."""
    with gzip.open(path) as lines:
        parted = [line.partition(b" ") for line in lines]
    times_ns = [int(each[0]) for each in parted]
    payloads = [each[2].rstrip() for each in parted]
    place = next(place for place, payload in enumerate(payloads) if b'"lastUpdateId"' in payload[:200])
    return Recording(
        payloads[place], times_ns[:place] + times_ns[place + 1 :], payloads[:place] + payloads[place + 1 :]
    )


class Venue(WSListener):
    """The venue's end: sends what its path asks for."""

    def __init__(self, recording: Recording, reader: socket.socket, path: str) -> None:
        self.recording, self.reader, self.path = recording, reader, path
        self.messages = recording.messages

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self.task = asyncio.ensure_future(self._work(transport))

    async def _work(self, transport: WSTransport) -> None:
        if self.path == "/latency":
            await self._latency(transport)
        elif self.path == "/flood":
            await self._flood(transport)
        else:
            count = int(self.path.rpartition("/")[2])
            self._drain()
            await play(transport, self.reader, self.recording.times_ns[:count], self.messages[:count])

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
    played = read_recording(recording)
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    reader.bind(("127.0.0.1", 0))
    reader.setblocking(False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def accept(request: WSUpgradeRequest) -> Venue:
        return Venue(played, reader, request.path.decode())

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
        self.played = read_recording(recording)

    def line(self) -> str:
        """Read a line that the venue says."""
        assert self.venue.stdout is not None
        return self.venue.stdout.readline()

    def channel(self, sender: Any, log: Log) -> Channel:
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
        return Channel(definition, sender, log, None)

    def sender(self, log: Log) -> Sender:
        """Make a sender to the venue's process."""
        return Sender(FeedConfig(address=f"127.0.0.1:{self.place['udp']}", source="127.0.0.1"), log)

    def run(self, client: str, path: str) -> dict[str, float]:
        """Take a connection's messages by that client; processor seconds, messages, and what the venue measured."""
        log = Log(lambda _line: None)
        sender = self.sender(log)
        channel = self.channel(sender, log)
        channel.take_snapshot(self.played.snapshot)
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

    def burst(self, count: int) -> dict[str, float]:
        """Take so many messages at ten times their rate."""
        expected = expect(self.channel, self.played.snapshot, self.played.messages[:count])
        log = Log(lambda _line: None)
        sender = self.sender(log)
        channel = self.channel(sender, log)
        channel.take_snapshot(self.played.snapshot)
        asyncio.run(by_picows(self.place["port"], f"/burst/{count}", self.context, channel.take))
        sender.close()
        return judge(expected, json.loads(self.line()))

    def close(self) -> None:
        """End the venue."""
        self.venue.terminate()
        self.venue.wait()


def main() -> None:
    """Measure."""
    if sys.argv[1:2] == ["--venue"]:
        asyncio.run(serve(Path(sys.argv[2]), Path(sys.argv[3])))
        return
    if sys.argv[1:2] == ["--orders"]:
        asyncio.run(serve_orders(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
        return
    recording = Path(sys.argv[1]) if sys.argv[1:] else benchmark_recording("binance/usdm/btcusdt_20240808.gz")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*CLIENTS, "burst", "ed25519", "hmac")}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(recording, Path(folder))
        try:
            bench.run("picows", "/latency")  # compiles, warms up
            for _ in range(ROUNDS):
                for client in CLIENTS:
                    rows[client].append(bench.run(client, "/latency") | flood_rate(bench.run(client, "/flood")))
                rows["burst"].append(bench.burst(BURST_MESSAGES))
        finally:
            bench.close()
        for _ in range(ROUNDS):
            for kind in ("ed25519", "hmac"):
                rows[kind].append(measure_orders(Path(folder), kind))
    show(rows)


def flood_rate(flood: dict[str, float]) -> dict[str, float]:
    """Reckon messages a second by the bridge's own processor time."""
    return {"messages_per_s": flood["messages"] / flood["cpu_s"]}


def show(rows: dict[str, list[dict[str, float]]]) -> None:
    """Print medians of the rounds, a line each, and the closing line."""
    medians = {
        name: {key: statistics.median(row[key] for row in rounds) for key in rounds[0]} for name, rounds in rows.items()
    }
    for name, row in medians.items():
        print(f"{name:>10}: " + ", ".join(f"{key} {value:,.0f}" for key, value in row.items()))
    own, other, burst, orders = (medians[name] for name in ("picows", "websockets", "burst", "ed25519"))
    burst["burst_lost"] = sum(row["burst_lost"] for row in rows["burst"])
    burst["burst_longest_us"] = max(row["burst_longest_us"] for row in rows["burst"])
    result: dict[str, Any] = {"name": "bridge", "client": "picows", "other_client": "websockets", "rounds": ROUNDS}
    result |= {key: round(own[key], 1) for key in ("p50_us", "p99_us", "handling_p50_us", "handling_p99_us")}
    result |= {"messages_per_s": round(own["messages_per_s"])}
    result |= {f"other_client_{key}": round(other[key], 1) for key in ("p50_us", "p99_us")}
    result |= {"other_client_messages_per_s": round(other["messages_per_s"])}
    result |= {key: round(value, 1) for key, value in (orders | burst).items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
