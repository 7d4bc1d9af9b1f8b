"""Requests that no client should send: each is answered or refused by a code, and nothing breaks."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.venues.bridge.binance.exchange.api import ApiHost
from crosswire.venues.bridge.binance.exchange.api import Client as ApiClient
from crosswire.venues.bridge.binance.exchange.errors import ApiError
from crosswire.venues.bridge.binance.exchange.rest import Endpoint, read_params
from crosswire.venues.bridge.binance.exchange.server import StandIn
from crosswire.venues.bridge.binance.exchange.settings import LimitConfig, StandInConfig
from crosswire.venues.bridge.binance.exchange.streams import StreamConnection
from tests.support.stand_in import HMAC_KEY, keys, scripted
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS

pytestmark = pytest.mark.binance

NAMES = [
    *("symbol", "symbols", "side", "type", "timeInForce", "price", "quantity", "newClientOrderId", "newOrderRespType"),
    *("selfTradePreventionMode", "orderId", "origClientOrderId", "limit", "fromId", "startTime", "endTime", "newQty"),
    *("cancelOrderId", "cancelOrigClientOrderId", "cancelReplaceMode", "cancelRestrictions", "countdownTime"),
    *("reduceOnly", "positionSide", "recvWindow", "timestamp", "signature", "listenKey", "omitZeroBalances"),
]
WORDS = [
    *("BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "GTC", "IOC", "FOK", "GTX", "60000", "59000.5"),
    *("0.010", "0.001", "1", "0", "-1", "ALLOW_FAILURE", "STOP_ON_FAILURE", "ONLY_NEW", "true", "false", "FULL"),
    *("RESULT", "ACK", "EXPIRE_TAKER", "EXPIRE_BOTH", "1e9", "NaN", "²", "٣", "99999999999999999999999"),
]
TIMING = ("recvWindow", "timestamp")
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(min_size=1, max_size=12))
PARAMS = st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=10)
COMMON = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One that listens nowhere."""
    folder: Path = tmp_path_factory.mktemp("strange")
    many = LimitConfig(weight=10**9, orders_10s=10**9, orders_long=10**9, long_s=60, raw_requests=10**9)
    made = StandIn(
        StandInConfig(
            folder=str(folder / "memory"),
            instruments=[scripted(folder, market, BIDS, ASKS) for market in ("spot", "usdm")],
            keys=keys(folder),
            balances=BALANCES,
            spot_limits=many,
            usdm_limits=many,
        )
    )
    yield made
    made.journal.close()


def answered(call: Any, *arguments: Any) -> Any:
    """What comes of a call: an answer that is JSON, or a refusal by a code."""

    async def run() -> Any:
        try:
            answer = call(*arguments)
        except ApiError as error:
            answer = error.body()
        return json.loads(json.dumps(answer))

    return asyncio.run(run())


@pytest.mark.parametrize("text", ["²", "٣", "1_0", " 1", "1" * 21, "nan", "inf", "-0", "+1", "1e3"])
@pytest.mark.parametrize(
    "name", ["orderId", "limit", "fromId", "startTime", "countdownTime", "recvWindow", "timestamp"]
)
def test_a_number_is_of_plain_digits(stand_in: StandIn, name: str, text: str) -> None:
    params = {"symbol": "BTCUSDT", name: text}
    if name in TIMING:
        params = {"timestamp": str(time.time_ns() // 1_000_000)} | params
        assert answered(stand_in.verifier.check_time, params)["code"] == -1100
        return
    for host in stand_in.rest.values():
        for endpoint in host.endpoints:
            answered(endpoint.weight, params)
            answered(endpoint.call, params)


@COMMON
@given(data=st.data(), params=PARAMS)
def test_every_function_answers_or_refuses(stand_in: StandIn, data: Any, params: dict[str, str]) -> None:
    endpoints = [each for host in stand_in.rest.values() for each in host.endpoints]
    endpoint: Endpoint = data.draw(st.sampled_from(endpoints))
    answered(endpoint.weight, params)
    answered(endpoint.call, params)


@COMMON
@given(data=st.data(), params=PARAMS)
def test_every_method_answers_or_refuses(stand_in: StandIn, data: Any, params: dict[str, str]) -> None:
    host: ApiHost = data.draw(st.sampled_from(list(stand_in.apis.values())))
    methods = [
        *host.methods,
        "session.logon",
        "session.status",
        "userDataStream.start",
        "userDataStream.subscribe",
        "x",
    ]
    method = data.draw(st.sampled_from(methods))
    client = ApiClient(connection=None, key=stand_in.verifier.keys[HMAC_KEY])  # type: ignore[arg-type]
    given_now = {"timestamp": str(time.time_ns() // 1_000_000)} | params
    answered(host.call, client, method, given_now)
    answered(host.call, ApiClient(connection=None), method, {"apiKey": HMAC_KEY} | given_now)  # type: ignore[arg-type]


@COMMON
@given(query=st.text(max_size=40), body=st.text(max_size=40))
def test_every_query_is_read_or_refused(query: str, body: str) -> None:
    answered(read_params, query, body)


class Told:
    """Stands for a connection: it keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.codes: list[int] = []

    def send_text(self, payload: bytes) -> None:
        self.sent.append(payload)

    def close(self, code: int) -> None:
        self.codes.append(code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
METHODS = st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY", "x"])


@COMMON
@given(request=JSON | st.fixed_dictionaries({"method": METHODS, "id": JSON}, optional={"params": JSON}))
def test_every_stream_request_is_answered_once(stand_in: StandIn, request: Any) -> None:
    told = Told()
    host = stand_in.streams["usdm_stream"]
    client = StreamConnection(host, told, is_combined=False, route="")  # type: ignore[arg-type]
    asyncio.run(client.handle(json.dumps(request).encode()))
    client.unsubscribe(list(client.names))
    assert len(told.sent) + len(told.codes) == 1
    assert not host.hub.subscribers
