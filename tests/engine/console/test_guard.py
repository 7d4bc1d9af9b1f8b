"""Who is let in to the console, and what every answer says that a page may do."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.console.guard import make_token
from crosswire.engine.console.server import make_app
from crosswire.engine.console.shelf import Shelf

pytestmark = pytest.mark.console
TOKEN = make_token()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    import socket

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = make_app(Shelf(tmp_path_factory.mktemp("runs"), []), token=TOKEN, port=port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
    thread.start()
    yield port
    server.should_exit = True
    thread.join()


def ask(port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={"Host": f"127.0.0.1:{port}"} | (headers or {}))
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def let_in(port: int) -> dict[str, str]:
    cookie = ask(port, f"/?token={TOKEN}").headers["set-cookie"]
    return {"Cookie": cookie.split(";")[0]}


def test_the_printed_address_lets_in_and_takes_the_token_out_of_the_address(port: int) -> None:
    response = ask(port, f"/runs/a/b?turn=7&token={TOKEN}")
    assert (response.status, response.headers["location"]) == (303, "/runs/a/b?turn=7")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ask(port, "/api/runs", let_in(port)).status == 200


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/runs/a/b", "/static/console.js", "/runs/a/b", "/nothing"])
def test_nothing_is_shown_without_the_token(port: int, path: str) -> None:
    assert ask(port, path).status == 401
    assert ask(port, path, {"Cookie": f"crosswire_console_{port}={TOKEN[:-1]}"}).status == 401
    assert ask(port, f"{path}?token={TOKEN[:-1]}").status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}"]
)
def test_no_other_name_is_served_even_with_the_token(port: int, host: str) -> None:
    assert ask(port, "/api/runs", let_in(port) | {"Host": host.format(port=port)}).status == 421


def test_another_site_gets_nothing_and_nothing_can_be_changed(port: int) -> None:
    kept = let_in(port)
    assert ask(port, "/api/runs", kept | {"Sec-Fetch-Site": "cross-site"}).status == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(port, "/api/runs", kept, method).status == 403
        assert ask(port, "/api/runs", kept | {"Origin": f"http://127.0.0.1:{port}"}, method).status == 405
    assert ask(port, "/live", kept).status == 404  # no live run was named


@pytest.mark.parametrize("path", ["/", "/api/runs", "/static/console.css", "/api/runs/no/such", "/nothing"])
def test_every_answer_carries_the_policy(port: int, path: str) -> None:
    for headers in ({}, let_in(port), {"Host": "evil.example"}):
        response = ask(port, path, headers)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd"]
)
def test_no_other_file_is_served(port: int, path: str) -> None:
    assert ask(port, path, let_in(port)).status in (400, 404)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_other_token_is_right(port: int, guess: str) -> None:
    from urllib.parse import quote

    assert ask(port, f"/api/runs?token={quote(guess, safe='')}").status == (303 if guess == TOKEN else 401)


@pytest.mark.parametrize("query", ["/no/such", "/no/such/at?turn=x", "/no/such/at?turn=9999999999999999999999"])
def test_a_question_that_makes_no_sense_is_answered_in_one_line(port: int, query: str) -> None:
    assert ask(port, f"/api/runs{query}", let_in(port)).status == 400


def test_the_page_and_its_parts_name_no_other_place() -> None:
    """Third-party requests would tell others what is looked at; a comment's address is none."""
    from crosswire.engine.console.server import STATIC

    for path in sorted(STATIC.glob("*.*")):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
    assert " style=" not in (STATIC / "console.html").read_text()
    assert Path(STATIC / "uplot" / "LICENSE").read_text().startswith("The MIT License")
