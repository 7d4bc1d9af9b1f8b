"""The simulated exchange's REST, asked as the engine asks it: what its own books hold, to the key alone, so often."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crosswire.nic.host.process import HostError
from crosswire.venues.adapter import GatewaySetup, VenueSetup
from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.exchange import rest
from crosswire.venues.starbase.exchange.account import account_of
from crosswire.venues.starbase.exchange.rest import Listeners, RestServer
from crosswire.venues.starbase.exchange.state import StarbaseExchange
from crosswire.venues.starbase.rest.account import RestAccount
from crosswire.venues.starbase.settings import StarbaseSettings
from tests.support.order_setup import VENUE, make_market
from tests.support.rest_setup import SYMBOLS, write_key
from tests.support.starbase_exchange_client import KEYS, MS, Protection, Wire, make_exchange, quote

pytestmark = pytest.mark.starbase


# Bound, not listening: a port given up would be given to the next who asks, in this test or in another process. With
# SO_REUSEADDR at both, the interface of the test can listen at it all the same.
HELD: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _ports_are_given_up_at_the_end() -> Iterator[None]:
    yield
    while HELD:
        HELD.pop().close()


def free_port() -> int:
    """Hold a port that nobody else has."""
    held = socket.socket()
    HELD.append(held)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return int(held.getsockname()[1])


def make_settings(folder: Path, **settings: Any) -> StarbaseSettings:
    """Both gateways and the classic API, each at a port of its own."""
    return StarbaseSettings(
        **{
            "credentials": write_key(folder, "key.toml", KEYS[0].client_id, KEYS[0].secret.decode()),
            "rest": f"http://127.0.0.1:{free_port()}",
            "rest_b": f"http://127.0.0.1:{free_port()}",
            "positions": f"http://localhost:{free_port()}",
            "positions_credentials": write_key(folder, "classic.toml", "classic", "classic secret"),
        }
        | settings
    )


@contextmanager
def serving(folder: Path, exchange: StarbaseExchange, settings: StarbaseSettings) -> Iterator[RestServer]:
    """The exchange serves; a thread takes its turns, as that of `crosswire exchange` does."""
    with Listeners(settings) as listeners:
        setup = GatewaySetup(
            number=VENUE,
            names=[f"starbase/{symbol}" for symbol in SYMBOLS],
            exchange=exchange,
            endpoints=[],
            flows=(),
            folder=folder,
            settings=settings,
            listeners=listeners,
        )
        with RestServer(setup) as server:
            done = threading.Event()

            def turn() -> None:
                while not done.wait(0.001):
                    server.tell()

            turning = threading.Thread(target=turn)
            turning.start()
            try:
                yield server
            finally:
                done.set()
                turning.join()


def engine_s(folder: Path, settings: StarbaseSettings) -> RestAccount:
    """What the engine of this configuration asks."""
    market = make_market(2)
    setup = VenueSetup(
        number=VENUE, name="starbase", folder=folder, settings=settings, market=market, level_capacity=256, flows=()
    )
    return RestAccount(setup, SYMBOLS)


def traded(seed: int, **options: Any) -> StarbaseExchange:
    """Two members trade for a while in two instruments; some of the first one's orders rest, some are held."""
    random = Random(seed)
    exchange = make_exchange(2, protections=[Protection(5)], **options)
    wire = Wire(exchange)
    clients = wire.ready(), wire.ready(1, key=1)
    for number in range(60):
        client, side = random.choice(clients), random.choice((1, -1))
        client.new(
            number + 1, side, 1000 + random.randint(-6, 6), random.randint(1, 9), instrument=random.randint(0, 1)
        )
        wire.run(MS)
    return exchange


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed_bump_ns", [0, 10 * MS])
def test_rest_tells_what_the_exchange_s_own_books_hold(tmp_path: Path, seed: int, speed_bump_ns: int) -> None:
    exchange = traded(seed, speed_bump_ns=speed_bump_ns)
    own = account_of(exchange)
    settings = make_settings(tmp_path)
    with serving(tmp_path, exchange, settings) as server:
        told = engine_s(tmp_path, settings).fetch()
        summary = server.summary()
    assert len(own.open_orders) > 3
    assert sorted(told.open_orders) == sorted(own.open_orders)
    assert told.position_lots == {index: lots for index, lots in own.position_lots.items() if lots}
    assert told.position_lots
    assert told.strangers == []
    assert summary == {"200": 3}


def test_partly_filled_and_held_orders_are_among_them(tmp_path: Path) -> None:
    """What the test above compares holds both."""
    exchange = traded(1, speed_bump_ns=10 * MS)
    account = rest.read_account(exchange, [f"starbase/{symbol}" for symbol in SYMBOLS])
    assert {each["order_state"] for each in account.orders} == {"open", "speed_bumped"}
    assert any(each["filled_amount"] for each in account.orders)


def test_quotes_are_not_among_open_orders_as_the_venue_has_it(tmp_path: Path) -> None:
    exchange = make_exchange(2, protections=[Protection(5)])
    wire = Wire(exchange)
    maker = wire.ready()
    quote(maker, (990, 5, 1010, 5))
    maker.new(7, 1, 980, 2)
    wire.run(MS)
    settings = make_settings(tmp_path)
    with serving(tmp_path, exchange, settings):
        told = engine_s(tmp_path, settings).fetch()
    assert [(each.price_ticks, each.leaves_lots) for each in told.open_orders] == [(980, 2)]
    assert len(account_of(exchange).open_orders) == 3


def test_it_tells_the_account_as_it_is_when_it_is_asked(tmp_path: Path) -> None:
    exchange = make_exchange(2)
    wire = Wire(exchange)
    client = wire.ready()
    settings = make_settings(tmp_path)
    with serving(tmp_path, exchange, settings):
        account = engine_s(tmp_path, settings)
        assert account.fetch().open_orders == []
        client.new(1, 1, 990, 3)
        wire.run(MS)
        assert len(account.fetch().open_orders) == 1
        client.cancel(1)
        wire.run(MS)
        assert account.fetch().open_orders == []


def test_the_eleventh_call_of_a_minute_is_refused_by_each_gateway_for_itself(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, positions="", positions_credentials="")
    with serving(tmp_path, make_exchange(2), settings) as server:
        for _ in range(10):
            engine_s(tmp_path, settings).fetch()  # a new process counts anew
        assert server.summary() == {"200": 10}
        for _ in range(10):
            engine_s(tmp_path, settings).fetch()
        assert server.summary() == {"200": 20, "429": 10}
        with pytest.raises(
            VenueError, match=r"answers 429 \(rate limit exceeded\): asked too often; again in \d\d s.*B?"
        ):
            engine_s(tmp_path, settings).fetch()


@pytest.mark.parametrize("wrong", ["key.toml", "classic.toml"])
def test_a_wrong_key_is_refused(tmp_path: Path, wrong: str) -> None:
    settings = make_settings(tmp_path)
    with serving(tmp_path, traded(1), settings) as server:
        write_key(tmp_path, wrong, "classic" if wrong == "classic.toml" else KEYS[0].client_id, "wrong")
        with pytest.raises(VenueError, match=r"answers 401 \(authentication failed\): the key is refused"):
            engine_s(tmp_path, settings).fetch()
        assert server.summary()["401"] == 1


ORDERS = b"GET /api/v2/private/get_open_orders HTTP/1.1\r\n"
REQUESTS: dict[str, tuple[bytes, int]] = {
    "no key": (ORDERS + b"\r\n", 401),
    "no base64": (ORDERS + b"Authorization: Basic alpha:first secret\r\n\r\n", 401),
    "no token": (b"GET /api/v2/private/get_positions HTTP/1.1\r\nAuthorization: Bearer \r\n\r\n", 401),
    "another path": (b"GET /api/v2/private/cancel_all HTTP/1.1\r\n\r\n", 404),
    "another method": (b"DELETE /api/v2/private/get_open_orders HTTP/1.1\r\n\r\n", 404),
    "no request": (b"hello\r\n\r\n", 400),
    "no version": (b"GET /api/v2/private/get_open_orders\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 400),
    "no text": (b"\xff\xfe\r\n\r\n", 400),
    "no length": (ORDERS + b"Content-Length: many\r\n\r\n", 400),
    "negative": (ORDERS + b"Content-Length: -1\r\n\r\n", 400),
    "too long": (ORDERS + b"Content-Length: 16385\r\n\r\n", 413),
    "too many headers": (ORDERS + b"X: y\r\n" * 200 + b"\r\n", 400),
    "without end": ((ORDERS + b"X: ").ljust(16_384, b"x"), 431),
    "long together": ((ORDERS + b"Content-Length: 16000\r\nX: " + b"x" * 9_000 + b"\r\n\r\n").ljust(16_400, b"y"), 431),
    "no body": (b"POST /api/v2/public/auth HTTP/1.1\r\n\r\n", 400),
    "no JSON": (b"POST /api/v2/public/auth HTTP/1.1\r\nContent-Length: 3\r\n\r\n{]}", 400),
    "deep": (b"POST /api/v2/public/auth HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + b"[" * 9_000, 400),
}


def ask(settings: StarbaseSettings, request: bytes) -> bytes:
    """Send this, and read the answer."""
    port = int(settings.rest.rsplit(":")[-1])
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while more := connection.recv(4096):
            data += more
    return data


def test_what_is_no_good_request_is_refused_and_the_next_one_served(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with serving(tmp_path, make_exchange(2), settings) as server:
        for what, (request, status) in REQUESTS.items():
            assert ask(settings, request).startswith(b"HTTP/1.1 %d " % status), what
            assert engine_s(tmp_path, settings).fetch().open_orders == [], what
            server.listeners.all[0].calls.clear()  # type: ignore[union-attr]
        assert "failures" not in server.summary()


def test_a_request_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REQUEST_SECONDS_MAX", 0.2)
    settings = make_settings(tmp_path)
    with serving(tmp_path, make_exchange(2), settings):
        port = int(settings.rest.rsplit(":")[-1])
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(ORDERS)
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert engine_s(tmp_path, settings).fetch().open_orders == []


def test_a_fault_in_it_is_counted_and_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path, rest_b="")
    with serving(tmp_path, make_exchange(2), settings) as server:
        with monkeypatch.context() as patched:
            patched.setattr(rest, "own_orders", lambda _exchange: 1 / 0)
            with pytest.raises(VenueError, match="answers 500"):
                engine_s(tmp_path, settings).fetch()
        with monkeypatch.context() as patched:
            patched.setattr(rest, "read_request", lambda _connection: 1 / 0)
            with pytest.raises(VenueError, match=r"the connection ended before|Connection reset"):
                engine_s(tmp_path, settings).fetch()
        assert engine_s(tmp_path, settings).fetch().open_orders == []
        summary = server.summary()
    assert summary["failures"] == 2
    assert summary["last_failure"] == "ZeroDivisionError: division by zero"


def test_an_exchange_that_stalls_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TOLD_SECONDS_MAX", 0.1)
    settings = make_settings(tmp_path, rest_b="")
    with serving(tmp_path, make_exchange(2), settings) as server:
        monkeypatch.setattr(server, "tell", lambda: time.sleep(0.01))
        with pytest.raises(VenueError, match=r"answers 503 \(the exchange is busy\)"):
            engine_s(tmp_path, settings).fetch()


def test_a_port_in_use_is_named_and_those_opened_before_given_back(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    in_use = f"REST at {settings.rest_b}: Address already in use; is another"
    with Listeners(make_settings(tmp_path, rest=settings.rest_b)), pytest.raises(HostError, match=in_use) as caught:
        Listeners(settings)
    Listeners(settings).close()
    assert caught.value.__traceback__ is not None  # what a frame holds is held until here


def test_a_port_is_had_again_at_once(tmp_path: Path) -> None:
    """Though its last connections are still being forgotten (TIME_WAIT), as the server has closed them first."""
    settings = make_settings(tmp_path)
    for _ in range(2):
        with serving(tmp_path, make_exchange(2), settings):
            assert engine_s(tmp_path, settings).fetch().open_orders == []


def test_a_token_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TOKEN_SECONDS", 0)
    settings = make_settings(tmp_path)
    refused = pytest.raises(VenueError, match=r"get_positions: answers 401")
    with serving(tmp_path, make_exchange(2), settings), refused:
        engine_s(tmp_path, settings).fetch()


def test_books_are_read_only_when_asked_for_and_never_for_who_asks_later() -> None:
    teller = rest.AccountTeller()
    reads = []

    def read() -> rest.Account:
        reads.append(teller.asked)
        teller.asked += 1  # somebody asks while they are read
        return rest.Account([], [])

    teller.tell(read)
    assert reads == []
    teller.asked = 1
    teller.tell(read)
    assert (reads, teller.told) == ([1], 1)
    teller.tell(read)
    assert reads == [1, 2]


def test_instruments_of_other_venues_have_no_position_here() -> None:
    exchange = traded(1)
    names = [f"starbase/{symbol}" for symbol in SYMBOLS]
    assert len(rest.read_account(exchange, names).positions) == 2
    exchange.matching.market.instruments[1].venue = VENUE + 1
    assert [each["instrument_name"] for each in rest.read_account(exchange, names).positions] == SYMBOLS[:1]


def test_what_is_encrypted_or_asked_nowhere_is_not_listened_for(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, rest="https://127.0.0.1:9", rest_b="", positions="", positions_credentials="")
    with Listeners(settings) as listeners:
        assert listeners.all == []
    with Listeners(StarbaseSettings()) as listeners:
        assert listeners.all == []
