"""The stand-in's memory: killed in the middle of orders and started again, it has every order and fill once."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from crosswire.venues.bridge.binance.exchange import tls
from crosswire.venues.bridge.binance.exchange.journal import Journal
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig
from crosswire.venues.bridge.binance.exchange.tls import make_context
from crosswire.venues.errors import VenueError
from tests.support.stand_in import HMAC_KEY, Client, api, exchange, keys, scripted, talk, trade
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS

pytestmark = pytest.mark.binance

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}


class Process(Client):
    """A stand-in in a process of its own, in the place of one in this process."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.ports = json.loads((folder / "endpoints.json").read_text())
        self.session = session
        self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def url(self, host: str, path: str, scheme: str = "https") -> str:
        return f"{scheme}://{self.ports[host]}{path}"


@contextmanager
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command until it is killed."""
    started = subprocess.Popen(
        [sys.executable, "-m", "crosswire.engine.cli", "bridge", "stand-in", str(folder / "stand-in.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    try:
        for line in started.stdout:
            if line.startswith("control"):
                break
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def write_config(folder: Path) -> None:
    listed = [scripted(folder, market, BIDS, ASKS) for market in ("spot", "usdm")]
    settings = {"balances": BALANCES, "starts_paused": True}
    config = StandInConfig(folder="memory", instruments=listed, keys=keys(folder), **settings)
    values = msgspec.to_builtins(config)
    (folder / "stand-in.toml").write_text("".join(f"{name} = {toml(value)}\n" for name, value in values.items()))


def toml(value: Any) -> str:
    """Write a value of a TOML file on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def ask(folder: Path, function: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with aiohttp.ClientSession() as session:
            return await function(Process(folder / "memory", session))

    return asyncio.run(run())


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    write_config(tmp_path)
    answered: list[int] = []

    async def flood(client: Client, victim: subprocess.Popen[str]) -> None:
        """Send orders, some that take and some that rest, until the process dies."""
        async with api(client, "usdm") as venue:
            for number in range(10_000):
                if len(answered) == 20:
                    os.kill(victim.pid, signal.SIGKILL)
                price = "60010" if number % 4 == 0 else str(59_000 + number)
                placed = await venue.call("order.place", **ORDER, price=price, newClientOrderId=f"n{number}")
                answered.append(placed["result"]["orderId"])

    for round_number in range(2):
        answered.clear()
        with process(tmp_path) as victim, pytest.raises((AssertionError, aiohttp.ClientError, ConnectionError)):
            ask(tmp_path, lambda client, victim=victim: flood(client, victim))
        with process(tmp_path):
            truth = ask(tmp_path, lambda client: client.truth("account", market="usdm"))
            known = [order["order_id"] for order in truth["orders"]]
            assert len(set(known)) == len(known)
            assert set(answered) <= set(known)
            assert len({fill["trade_id"] for fill in truth["fills"]}) == len(truth["fills"])
            bought = sum(fill["qty_lots"] for fill in truth["fills"])
            assert bought == sum(order["filled_lots"] for order in truth["orders"]) == truth["position_lots"]["BTCUSDT"]

            async def cancel(client: Client) -> Any:
                _, told, _ = await client.signed("GET", "usdm_rest", "/fapi/v1/openOrders")
                for order in told:
                    params = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
                    assert (await client.signed("DELETE", "usdm_rest", "/fapi/v1/order", **params))[0] == 200
                return [order["orderId"] for order in told]

            assert ask(tmp_path, cancel) == truth["open"]
            assert len(truth["open"]) >= 10, round_number


def test_an_order_that_rested_goes_on_resting(tmp_path: Path) -> None:
    listed = [scripted(tmp_path, market, BIDS, ASKS) for market in ("spot", "usdm")]
    settings = {"starts_paused": True, "balances": BALANCES}
    with exchange(tmp_path, *listed, **settings) as first:
        trusted = first.authority.read_bytes()
        params = ORDER | {"price": "60001"}
        number = talk(first, lambda client: client.signed("POST", "spot_rest", "/api/v3/order", **params))[1]["orderId"]
        headers = {"X-MBX-APIKEY": HMAC_KEY}
        listen = talk(first, lambda client: client.ask("POST", "usdm_rest", "/fapi/v1/listenKey", headers=headers))[1]
        ids = first.stand_in.venues[next(iter(first.stand_in.venues))].by_symbol["BTCUSDT"].update_id
    with exchange(tmp_path, *listed, **settings) as second:
        venue = second.stand_in.venues[next(iter(second.stand_in.venues))]
        assert second.authority.read_bytes() == trusted  # a client goes on trusting it
        assert venue.by_symbol["BTCUSDT"].update_id > ids  # a client's book can't take it for what it has
        keep = talk(second, lambda client: client.ask("PUT", "usdm_rest", "/fapi/v1/listenKey", headers=headers))
        assert keep[:2] == (200, listen)
        trade(second, "spot", Decimal(60_001), "0.00400", buyer_is_maker=True)
        seen = talk(
            second, lambda client: client.signed("GET", "spot_rest", "/api/v3/order", symbol="BTCUSDT", orderId=number)
        )[1]
        assert (seen["status"], seen["executedQty"]) == ("PARTIALLY_FILLED", "0.00400000")
        held = second.stand_in.accounts[venue.market].balances
        assert held["USDT"] == (1_000_000 - Decimal("60001") * Decimal("0.004")) * 10**9


def test_half_a_line_is_cut_off_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write({"opened_ms": 1})
    with journal.path.open("ab") as file:
        file.write(b'{"account":"sp')
    assert list(journal.read()) == [{"opened_ms": 1}]
    journal.write({"opened_ms": 2})
    assert list(journal.read()) == [{"opened_ms": 1}, {"opened_ms": 2}]
    with journal.path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(VenueError, match="line 3"):
        list(journal.read())
    journal.close()


def test_the_command_says_where_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    write_config(tmp_path)
    with process(tmp_path) as running:
        running.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert running.wait(20) == 0
        assert time.monotonic() - began < 20
        assert running.stderr is not None
        assert running.stderr.read() == ""
        running.stderr.close()


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server-key.pem"])
def test_certificates_that_are_gone_old_or_mixed_are_made_anew(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_context(tmp_path)
    first = (tmp_path / "server.pem").read_bytes()
    make_context(tmp_path)
    assert (tmp_path / "server.pem").read_bytes() == first
    (tmp_path / name).unlink()
    make_context(tmp_path)
    second = (tmp_path / "server.pem").read_bytes()
    assert second != first
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tls.write_certificates(tmp_path)
    (tmp_path / name).write_bytes(kept[name])  # of others than the rest: killed while it wrote them
    make_context(tmp_path)
    assert (tmp_path / name).read_bytes() != kept[name]
    second = (tmp_path / "server.pem").read_bytes()
    monkeypatch.setattr(tls, "LEFT_MIN", tls.LIFE)
    make_context(tmp_path)
    assert (tmp_path / "server.pem").read_bytes() != second
