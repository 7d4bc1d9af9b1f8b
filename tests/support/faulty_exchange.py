"""`crosswire exchange` with a door for tests: market data lost, connections cut, and the exchange's own books.

    python -m tests.support.faulty_exchange serve CONFIG --venue NAME --door SOCKET

Each connection to the door, a Unix socket, is one JSON object in and one out; see `Door`.
"""

import argparse
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from crosswire.engine.exchange.command import ExchangeOptions, ExchangeProcess, run_exchange
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import array, i64
from crosswire.nic.unit.call import machine_code
from crosswire.venues.bridge.binance.exchange.listed import book_digest
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.state import NONE, session_number
from crosswire.venues.starbase.wire.encoder import next_sequence
from tests.support.bridge_reader import read_side

MILLION = 1_000_000
SAMPLE_NS = 50 * NS_PER_MS  # between two looks at the exchange's own book
LEVELS_MAX = 4_096
BYTES_MAX = 1 << 24


def sides_of(book: Any, prices: Any, sizes: Any) -> tuple[dict[int, int], dict[int, int]]:
    """Read a book's levels, lots by ticks."""
    found = []
    for side in (BID, ASK):
        count = machine_code(read_side)(book, side, prices, sizes)
        found.append(dict(zip(prices.numpy(count).tolist(), sizes.numpy(count).tolist(), strict=True)))
    return found[0], found[1]


class Door:
    """What tests may ask and do, between two slices of the exchange's loop.

    lose {ms}: no market data leaves for so long. cut {gateway}: its connections end by RST, as when its process dies.
    account: the exchange's own account of its client. truth: samples [number of the last message, digest of the book].
    returns: [gateway, when its connection was cut, when its client was logged on again], ns since the epoch.
    """

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(4)
        self.listener.setblocking(False)
        self.losing_until_ns = 0
        self.sampled_ns = 0
        self.samples: list[tuple[int, int]] = []
        self.away: dict[int, int] = {}  # gateway -> when it was cut
        self.returns: list[tuple[int, int, int]] = []
        self.prices, self.sizes = array(i64, LEVELS_MAX), array(i64, LEVELS_MAX)

    def look(self, process: ExchangeProcess) -> None:
        """Do what is due and what was asked for."""
        now_ns = time.time_ns()
        exchange = process.publisher.parts[0].exchange
        if self.losing_until_ns and now_ns >= self.losing_until_ns:
            self.losing_until_ns = process.publisher.parts[0].publisher.transmit.rates.drop_ppm = 0
        for gateway, cut_ns in list(self.away.items()):
            if exchange.gateways.sessions[session_number(0, gateway)].connection != NONE:
                del self.away[gateway]
                self.returns.append((gateway, cut_ns, now_ns))
        if now_ns >= self.sampled_ns + SAMPLE_NS:
            self.sampled_ns = now_ns
            digest = book_digest(*sides_of(exchange.matching.market.books[0], self.prices, self.sizes))
            self.samples.append((next_sequence(exchange.publisher.incremental) - 1, digest))
        self._answer(process, now_ns)

    def _answer(self, process: ExchangeProcess, now_ns: int) -> None:
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return
        with connection:
            asked = json.loads(connection.makefile().readline())
            connection.sendall(json.dumps(self._act(process, asked, now_ns)).encode() + b"\n")

    def _act(self, process: ExchangeProcess, asked: dict[str, Any], now_ns: int) -> Any:
        act = asked["act"]
        if act == "lose":
            process.publisher.parts[0].publisher.transmit.rates.drop_ppm = MILLION
            self.losing_until_ns = now_ns + asked["ms"] * NS_PER_MS
        elif act == "cut":
            gateways: Any = process.gateways[0]
            gateways.server.cut(asked["gateway"])
            exchange = process.publisher.parts[0].exchange
            restart_gateway(exchange, asked["gateway"], exchange.now_ns)
            self.away[asked["gateway"]] = now_ns
        elif act == "account":
            return process.gateways[0].account()
        elif act == "truth":
            return self.samples
        else:
            return self.returns
        return now_ns


def ask(door: Path, act: str, **settings: Any) -> Any:
    """Ask a running exchange."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(door))
        connection.sendall(json.dumps({"act": act, **settings}).encode() + b"\n")
        return json.loads(connection.makefile().readline(BYTES_MAX))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("config", type=Path)
    parser.add_argument("--venue", required=True)
    parser.add_argument("--door", type=Path, required=True)
    options = parser.parse_args()
    door = Door(options.door)
    exchange = ExchangeOptions(venues=(options.venue,))
    run_exchange(options.config, exchange, typer.echo, Console(file=sys.stderr), door.look)


if __name__ == "__main__":
    main()
