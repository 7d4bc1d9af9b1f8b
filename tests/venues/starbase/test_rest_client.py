"""What a REST interface can do wrong, each by its own line; and that the key goes nowhere but to the interface."""

import base64
import logging
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.rest import client
from crosswire.venues.starbase.rest.account import RestAccount, make_account_source
from tests.support.paths import ROOT
from tests.support.rest_setup import (
    SECRET,
    SYMBOLS,
    Speak,
    answer,
    make_setup,
    raw,
    result,
    server_context,
    speaking,
    write_key,
)

pytestmark = pytest.mark.starbase
KEY = base64.b64encode(f"abc:{SECRET}".encode()).decode()
ORDER: dict[str, Any] = {
    "order_id": "7",
    "instrument_name": "BTC-PERPETUAL",
    "side": "sell",
    "price": 100.5,
    "amount": 0.25,
    "filled_amount": 0.2,
    "order_state": "open",
}


def make_account(folder: Path, **settings: Any) -> RestAccount:
    made = make_account_source(make_setup(folder, **settings), SYMBOLS)
    assert made is not None
    return made


@contextmanager
def refused(wrong: str) -> Iterator[None]:
    """What is raised is one line with `wrong` in it, and nowhere the key."""
    with pytest.raises(VenueError) as caught:
        yield
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in shown
    assert KEY not in shown


def test_it_asks_for_open_orders_with_the_key_in_a_header(tmp_path: Path) -> None:
    with speaking(raw(result([ORDER]))) as speaker:
        account = make_account(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        told = account.fetch()
    assert [tuple(each) for each in told.open_orders] == [(7, 0, 1, 1005, 50)]
    assert (told.position_lots, told.strangers) == (None, [])
    (request,) = speaker.requests
    assert request.decode().splitlines() == [
        "GET /api/v2/private/get_open_orders HTTP/1.1",
        f"Host: 127.0.0.1:{speaker.port}",
        "Accept: application/json",
        "Connection: close",
        f"Authorization: Basic {KEY}",
        "",
    ]
    assert account.name == f"REST at http://127.0.0.1:{speaker.port}"


def test_nothing_is_asked_where_nothing_is_configured(tmp_path: Path) -> None:
    assert make_account_source(make_setup(tmp_path), SYMBOLS) is None


ERROR = b'{"jsonrpc": "2.0", "error": {"code": -1, "message": "says why"}}'
MISBEHAVIOUR: dict[str, tuple[bytes, str]] = {
    "401": (answer(ERROR, "401 Unauthorized"), "answers 401 (says why): the key is refused"),
    "403": (answer(b"", "403 Forbidden"), "answers 403: the key is refused"),
    "404": (answer(b"{}", "404 Not Found"), "answers 404; is it the right address?"),
    "429 and when": (answer(ERROR, "429 Slow", "Retry-After: 17\r\n"), "(says why): asked too often; again in 17 s"),
    "429": (answer(ERROR, "429 Slow"), "asked too often; again in a minute"),
    "429 and nonsense": (answer(ERROR, "429 Slow", "Retry-After: 999999999\r\n"), "again in a minute"),
    "500": (answer(ERROR, "500 Broken"), "answers 500 (says why): the venue's own failure"),
    "302": (answer(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "sends elsewhere, which is not followed"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", "this is no HTTP"),
    "nothing": (b"", "the connection ended before its answer did"),
    "cut off": (result([ORDER])[:-5], "the connection ended before its answer did"),
    "no JSON": (answer(b"<html>"), "its answer is not what is known of it: JSON is malformed"),
    "no UTF-8": (answer(b'{"result": "\xff"}'), "its answer is not what is known of it"),
    "deep": (answer(b"[" * 100_000), "its answer is not what is known of it"),
    "no result": (answer(b'{"jsonrpc": "2.0"}'), "no result"),
    "null": (answer(b'{"result": null}'), "Expected `array`, got `null` - at `$.result`"),
    "error": (answer(ERROR), "refuses: says why"),
    "other type": (result([ORDER | {"amount": "x"}]), "at `$.result[0].amount`"),
    "missing": (result([{}]), "missing required field `order_id` - at `$.result[0]`"),
    "no lot": (result([ORDER | {"amount": 0.3333}]), "order 7 of BTC-PERPETUAL: amount = 0.3333 is no whole number"),
    "infinite": (answer(b'{"result": [{"price": 1e999999999}]}'), "its answer is not what is known of it"),
    "not a number": (answer(b'{"result": [{"price": NaN}]}'), "JSON is malformed"),
    "its key": (answer(f'{{"error": {{"message": "so: {KEY}"}}}}'.encode()), "refuses: a text that repeats the key"),
    "its secret": (answer(f'{{"error": {{"message": "{SECRET}"}}}}'.encode(), "401 No"), "a text that repeats the key"),
    "long": (answer(b'{"error": {"message": "' + b"x" * 5_000 + b'"}}', "401 No"), f"({'x' * 200}): the key"),
    "lines": (answer(b'{"error": {"message": "a\\nb\\u001b[31m"}}'), "refuses: a?b?[31m"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_what_goes_wrong_is_one_line(tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    said, wrong = MISBEHAVIOUR[what]
    caplog.set_level(logging.DEBUG)
    with speaking(raw(said)) as speaker:
        account = make_account(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        with refused(wrong):
            account.fetch()
    assert SECRET not in caplog.text + repr(account) + str(vars(account)["gateways"])
    assert len(speaker.requests) == 1


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with refused(f"http://127.0.0.1:{port}/api/v2/private/get_open_orders: Connection refused"):
        make_account(tmp_path, rest=f"http://127.0.0.1:{port}").fetch()


def drip(connection: socket.socket, _request: bytes) -> None:
    """A byte now and then, so that no single wait is long."""
    for byte in result([ORDER])[:200]:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def hang(_connection: socket.socket, _request: bytes) -> None:
    time.sleep(1.0)


@pytest.mark.parametrize("speak", [drip, hang])
def test_an_answer_that_does_not_end_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speak: Speak
) -> None:
    monkeypatch.setattr(client, "SECONDS_MAX", 0.3)
    with speaking(speak) as speaker:
        account = make_account(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        begun = time.monotonic()
        with refused("no answer within 0.3 s"):
            account.fetch()
        assert 0.2 < time.monotonic() - begun < 0.9


def pour(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def pour_headers(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"x" * 60_000 + b"\r\n") * 99)


@pytest.mark.parametrize("speak", [pour, pour_headers])
def test_an_answer_without_end_is_given_up(tmp_path: Path, speak: Speak) -> None:
    with speaking(speak) as speaker:
        account = make_account(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        with refused("its answer has more than 4,194,304 bytes"):
            account.fetch()


@pytest.mark.parametrize("what", ["429", "500", "nothing", "cut off"])
def test_gateway_b_is_asked_when_a_gives_no_answer(tmp_path: Path, what: str) -> None:
    with speaking(raw(MISBEHAVIOUR[what][0])) as first, speaking(raw(result([ORDER]))) as second:
        urls = {"rest": f"http://127.0.0.1:{first.port}", "rest_b": f"http://127.0.0.1:{second.port}"}
        assert len(make_account(tmp_path, **urls).fetch().open_orders) == 1
    assert (len(first.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize("what", ["401", "302", "no JSON", "no lot"])
def test_gateway_b_does_not_hide_what_a_says(tmp_path: Path, what: str) -> None:
    with speaking(raw(MISBEHAVIOUR[what][0])) as first, speaking(raw(result([ORDER]))) as second:
        urls = {"rest": f"http://127.0.0.1:{first.port}", "rest_b": f"http://127.0.0.1:{second.port}"}
        with refused(MISBEHAVIOUR[what][1]):
            make_account(tmp_path, **urls).fetch()
    assert second.requests == []


def test_both_gateways_failures_are_told(tmp_path: Path) -> None:
    with speaking(raw(MISBEHAVIOUR["500"][0])) as first, speaking(raw(b"")) as second:
        urls = {"rest": f"http://127.0.0.1:{first.port}", "rest_b": f"http://127.0.0.1:{second.port}"}
        with pytest.raises(VenueError) as caught:
            make_account(tmp_path, **urls).fetch()
    assert f"127.0.0.1:{first.port}/api/v2/private/get_open_orders: answers 500" in str(caught.value)
    assert f"127.0.0.1:{second.port}/api/v2/private/get_open_orders: the connection ended" in str(caught.value)


def test_ten_calls_within_a_minute_are_never_exceeded(tmp_path: Path) -> None:
    with speaking(raw(result([]))) as speaker:
        account = make_account(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        now = 1_000.0
        account.gateways[0].clock = lambda: now
        for _ in range(10):
            account.fetch()
            now += 1
        with refused("asked 10 times within a minute already; again in 51 s"):
            account.fetch()
        assert len(speaker.requests) == 10
        now = 1_061.0
        account.fetch()
        with refused("again in 1 s"):
            account.fetch()


def test_an_instrument_that_is_not_defined_yet_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    with speaking(raw(result([]))) as speaker:
        setup = make_setup(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        setup.market.instruments[1].venue_id = -1
        with refused("ETH-PERPETUAL: the market data has not defined it yet"):
            RestAccount(setup, SYMBOLS).fetch()
    assert speaker.requests == []


POSITION = {"instrument_name": "ETH-PERPETUAL", "direction": "sell", "size": -9, "size_currency": -0.5}


def classic(connection: socket.socket, request: bytes) -> None:
    """Both interfaces: open orders for the one key, a token for the other, positions for the token."""
    line = request.split(b" HTTP", 1)[0].decode()
    said = {
        "GET /api/v2/private/get_open_orders": result([]),
        "POST /api/v2/public/auth": result({"access_token": "a-token"}),
        "GET /api/v2/private/get_positions?currency=any": result([POSITION, POSITION | {"instrument_name": "SOL"}]),
    }[line]
    connection.sendall(said)


def test_positions_are_asked_of_the_classic_api_with_a_key_of_its_own(tmp_path: Path) -> None:
    classic_secret = "another-secret"
    key = write_key(tmp_path, "classic.toml", "xyz", classic_secret)
    with speaking(classic) as speaker:
        url = f"http://127.0.0.1:{speaker.port}"
        told = make_account(tmp_path, rest=url, positions=url, positions_credentials=key).fetch()
    assert told.position_lots == {1: -500}
    assert told.strangers == ["SOL"]
    _, authentication, positions = speaker.requests
    assert classic_secret not in authentication.split(b"\r\n\r\n")[0].decode()
    assert SECRET.encode() not in authentication + positions
    assert b"Authorization: Bearer a-token\r\n" in positions


def test_a_wrong_answer_about_positions_names_the_classic_api(tmp_path: Path) -> None:
    key = write_key(tmp_path, "classic.toml", "xyz", "another-secret")
    with speaking(raw(result([]))) as first, speaking(raw(result({"access_token": "two\nlines"}))) as second:
        account = make_account(
            tmp_path,
            rest=f"http://127.0.0.1:{first.port}",
            positions=f"http://127.0.0.1:{second.port}",
            positions_credentials=key,
        )
        with refused(f"http://127.0.0.1:{second.port}/api/v2/public/auth: its answer is not what is known of it"):
            account.fetch()


def test_a_refused_request_for_positions_is_named_by_its_path(tmp_path: Path) -> None:
    def speak(connection: socket.socket, request: bytes) -> None:
        is_positions = b"get_positions" in request
        connection.sendall(answer(b'{"error": {"message": "a-token"}}', "403 No") if is_positions else b"")
        if not is_positions:
            classic(connection, request)

    key = write_key(tmp_path, "classic.toml")
    with speaking(speak) as speaker:
        url = f"http://127.0.0.1:{speaker.port}"
        account = make_account(tmp_path, rest=url, positions=url, positions_credentials=key)
        with refused(f"{url}/api/v2/private/get_positions: answers 403 (a text that repeats the key): the key"):
            account.fetch()


def test_strangers_are_sorted_and_other_venues_instruments_among_them(tmp_path: Path) -> None:
    """Of a venue beside this one nothing is known here, whatever its instrument is called."""
    names = ["SOL", "ETH-PERPETUAL", "ADA", "XRP", "BNB", "LTC"]
    orders = [ORDER | {"instrument_name": name, "order_id": str(place + 1)} for place, name in enumerate(names)]
    with speaking(raw(result(orders))) as speaker:
        setup = make_setup(tmp_path, rest=f"http://127.0.0.1:{speaker.port}")
        setup.market.instruments[1].venue = setup.number + 1
        setup.market.instruments[1].venue_id = -1
        told = RestAccount(setup, SYMBOLS).fetch()
    assert (told.open_orders, told.strangers) == ([], sorted(names))


def test_a_name_that_is_the_key_is_not_told(tmp_path: Path) -> None:
    named = ORDER | {"instrument_name": SECRET}
    with speaking(raw(result([named]))) as first, speaking(raw(result([named, named]))) as second:
        told = make_account(tmp_path, rest=f"http://127.0.0.1:{first.port}").fetch()
        assert told.strangers == ["a text that repeats the key"]
        with refused(f"http://127.0.0.1:{second.port}: order 7 is told twice"):
            make_account(tmp_path, rest=f"http://127.0.0.1:{second.port}").fetch()


def test_spot_has_no_position_there(tmp_path: Path) -> None:
    key = write_key(tmp_path, "classic.toml")
    url = "http://127.0.0.1:9"
    setup = make_setup(tmp_path, rest=url, positions=url, positions_credentials=key)
    setup.market.instruments[1].kind = 0
    with pytest.raises(ValueError, match=r"starbase\.positions: tells nothing of spot, and ETH-PERPETUAL is spot"):
        RestAccount(setup, SYMBOLS)


# TLS: a venue's certificate is by an authority of the test's own.


def trusted(folder: Path, authority: trustme.CA, name: str = "ca.pem") -> str:
    authority.cert_pem.write_to_path(folder / name)
    return name


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")])
def test_a_certificate_of_the_named_authority_is_taken(tmp_path: Path, host: str, name: str) -> None:
    authority = trustme.CA()
    with speaking(raw(result([ORDER])), server_context(authority, name)) as speaker:
        account = make_account(tmp_path, rest=f"https://{host}:{speaker.port}", rest_ca=trusted(tmp_path, authority))
        assert len(account.fetch().open_orders) == 1


def test_a_certificate_of_another_authority_is_refused_and_sent_nothing(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    with speaking(raw(result([])), server_context(other, "127.0.0.1")) as speaker:
        account = make_account(tmp_path, rest=f"https://127.0.0.1:{speaker.port}", rest_ca=trusted(tmp_path, authority))
        with refused("its certificate is not trusted: unable to get local issuer certificate; set rest_ca"):
            account.fetch()
    assert speaker.requests == []


def test_without_rest_ca_it_is_the_system_s_authorities(tmp_path: Path) -> None:
    with speaking(raw(result([])), server_context(trustme.CA(), "127.0.0.1")) as speaker:
        account = make_account(tmp_path, rest=f"https://127.0.0.1:{speaker.port}")
        with refused("its certificate is not trusted"):
            account.fetch()
    assert speaker.requests == []


def test_the_system_s_authorities_are_a_file_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    trusted(tmp_path, authority, "0a1b2c3d.0")
    with speaking(raw(result([ORDER])), server_context(authority, "127.0.0.1")) as speaker:
        for file, folder in (("0a1b2c3d.0", ""), ("", ".")):
            monkeypatch.setattr(
                "ssl.get_default_verify_paths",
                lambda file=file, folder=folder: SimpleNamespace(
                    cafile=file and str(tmp_path / file), capath=folder and str(tmp_path / folder)
                ),
            )
            account = make_account(tmp_path, rest=f"https://127.0.0.1:{speaker.port}")
            assert len(account.fetch().open_orders) == 1
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile="", capath=""))
    with pytest.raises(VenueError, match=r"starbase\.rest: this system has no authorities: install ca-certificates"):
        make_account(tmp_path, rest="https://127.0.0.1:9")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.2", "example.org"])
def test_a_certificate_for_another_host_is_refused_and_sent_nothing(tmp_path: Path, name: str) -> None:
    authority = trustme.CA()
    with speaking(raw(result([])), server_context(authority, name)) as speaker:
        account = make_account(tmp_path, rest=f"https://127.0.0.1:{speaker.port}", rest_ca=trusted(tmp_path, authority))
        with refused("its certificate is not trusted: IP address mismatch"):
            account.fetch()
    assert speaker.requests == []


def test_a_port_without_tls_is_sent_no_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    with speaking(raw(b"HTTP/1.1 400 Bad\r\n\r\n"), end=b"") as speaker:
        account = make_account(tmp_path, rest=f"https://127.0.0.1:{speaker.port}", rest_ca=trusted(tmp_path, authority))
        with refused("no TLS: WRONG_VERSION_NUMBER; is it the right port?"):
            account.fetch()
    (request,) = speaker.requests
    assert SECRET.encode() not in request
    assert KEY.encode() not in request


def test_a_file_without_an_authority_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name, wrong in (("empty.pem", "holds no certificate of an authority"), ("none.pem", "No such file")):
        with pytest.raises(VenueError, match=f"starbase.rest: {tmp_path}/{name}: .*{wrong}"):
            make_account(tmp_path, rest="https://127.0.0.1:9", rest_ca=name)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(VenueError, match=r"starbase\.rest: https://no-such-host\.invalid:443: this host's address"):
        make_account(tmp_path, rest="https://no-such-host.invalid")


def test_a_resolver_that_hangs_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS_MAX", 0.2)

    def find(*_given: Any) -> Any:
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", find)
    begun = time.monotonic()
    with pytest.raises(VenueError, match="this host's address can't be found"):
        make_account(tmp_path, rest="https://example.org")
    assert time.monotonic() - begun < 0.9


CONFINED = """
import sys
from pathlib import Path
from crosswire.nic.host.confine import confine
from crosswire.nic.host.landlock import Places
from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.rest.account import RestAccount
from tests.support.rest_setup import SYMBOLS, make_setup

folder, near, far = Path(sys.argv[1]), *sys.argv[2:]
accounts = [RestAccount(make_setup(folder, rest=url, rest_ca="ca.pem"), SYMBOLS) for url in (near, far)]
print(confine(Places(connect=(int(near.rsplit(":")[-1]),)), ()))
print(accounts[0].fetch().open_orders)
try:
    print(accounts[1].fetch())
except VenueError as error:
    print(error)
"""


def test_a_confined_process_asks_over_tls_and_nowhere_else(tmp_path: Path) -> None:
    """With Landlock and seccomp as `live` has them: the files are read before, only the port is let through."""
    authority = trustme.CA()
    trusted(tmp_path, authority)
    context = server_context(authority, "localhost")
    with speaking(raw(result([ORDER])), context) as near, speaking(raw(result([ORDER])), context) as far:
        urls = [f"https://localhost:{each.port}" for each in (near, far)]
        command = [sys.executable, "-c", CONFINED, str(tmp_path), *urls]
        environment = os.environ | {"CROSSWIRE_NO_JIT": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[1] == "[OpenOrder(exchange_order_id=7, instrument=0, side=1, price_ticks=1005, leaves_lots=50)]"
    if "Landlock" in said[0] and "no Landlock" not in said[0]:
        assert said[2] == f"{urls[1]}/api/v2/private/get_open_orders: Permission denied; is the way there open?"
        assert far.requests == []
