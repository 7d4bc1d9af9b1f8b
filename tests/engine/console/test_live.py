"""The page of a live run: who may ask for what, and that what is not of now never looks as if it were.

Method: a monitor's server in this process over real structs, the console's own application, and a browser.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvicorn

from crosswire.engine.console.guard import make_token
from crosswire.engine.console.live.view import edge_bps, live_view
from crosswire.engine.console.live.watch import STALE_S, LiveWatch
from crosswire.engine.console.server import make_app
from crosswire.engine.console.shelf import Shelf
from crosswire.engine.control.mailbox import CommandKind
from crosswire.engine.monitor.top.look import find_edges, traded_of
from tests.engine.monitor.support import Monitor, serving
from tests.engine.monitor.top.test_top import HERE, THERE, TRADED, book
from tests.support.console import DESKTOP, PHONE

pytestmark = pytest.mark.console
TOKEN = make_token()
SEEN_MS = 20_000


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with TemporaryDirectory(prefix="cw-") as folder, serving(Path(folder) / "m") as monitor:
        yield monitor


@contextmanager
def served(monitor: Monitor, name: str) -> Iterator[tuple[int, LiveWatch]]:
    """Serve the console of a client; give its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    traded = traded_of(monitor.run.config)
    with LiveWatch(monitor.client(name, 2.0), monitor.client(name, 2.0), traded) as watch:
        app = make_app(Shelf(monitor.folder, []), token=TOKEN, port=port, live=watch)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()
        watch.start()
        try:
            yield port, watch
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def opened(browser: Any, port: int, **options: Any) -> Iterator[Any]:
    """Open the page; nothing may be said to the browser's console but that a request failed."""
    context = browser.new_context(viewport=DESKTOP, **options)
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if "Failed to load resource" not in line.text else None)
    page.goto(f"http://127.0.0.1:{port}/live?token={TOKEN}")
    page.wait_for_selector("body[data-run]", timeout=SEEN_MS)
    yield page
    assert not said, said
    context.close()


def see(page: Any, place: str, what: str) -> None:
    page.locator(place, has_text=what).wait_for(timeout=SEEN_MS)


def posted(monitor: Monitor) -> list[CommandKind]:
    return [each.kind for each in monitor.run.posted]


def turning(monitor: Monitor) -> threading.Event:
    """Have the run's clock go on, as a loop that turns does, until the event is set."""
    is_over = threading.Event()

    def turn() -> None:
        while not is_over.wait(0.2):
            monitor.run.engine.state.now_ns = time.time_ns()

    threading.Thread(target=turn, daemon=True).start()
    return is_over


def test_a_trader_asks_in_two_steps_and_nothing_is_done_before_the_last(browser: Any, monitor: Monitor) -> None:
    is_over = turning(monitor)
    with served(monitor, "tess") as (port, _), opened(browser, port) as page:
        page.keyboard.press("p")
        see(page, "#question-text", "pause: cancel everything")
        page.keyboard.press("n")
        page.click('[data-command="kill"]')
        page.keyboard.press("Escape")
        page.click('[data-command="kill"]')
        page.keyboard.press("Enter")  # what has the focus leaves it
        assert posted(monitor) == []
        page.keyboard.press("p")
        page.keyboard.press("y")
        see(page, "#told", "paused")
        page.keyboard.press("f")
        page.keyboard.press("y")
        see(page, "#question-text", "this will cancel everything and close")
        assert posted(monitor) == [CommandKind.PAUSE]
        page.keyboard.press("n")
        see(page, "#told", "not confirmed, nothing is done")
        page.click('[data-command="flatten"]')
        page.keyboard.press("y")
        see(page, "#question-text", "this will")
        page.keyboard.press("y")
        see(page, "#told", "flattening has begun")
        assert posted(monitor) == [CommandKind.PAUSE, CommandKind.FLATTEN]
        page.select_option("#set-name", "limits.loss_max")
        page.fill("#set-value", "<b>nothing</b>")
        page.press("#set-value", "Enter")
        see(page, "#told.bad", "<b>nothing</b>: is no number")
        page.fill("#set-value", "1")
        page.press("#set-value", "Enter")
        see(page, "#told", "set: all values hold")
        see(page, "#log", "flatten")
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for control in page.locator("button:visible, select:visible, input:visible, [role=img]:visible").all():
            assert '"' in control.aria_snapshot().splitlines()[0], control
    is_over.set()


def test_a_viewer_sees_why_nothing_can_be_asked_for(browser: Any, monitor: Monitor) -> None:
    is_over = turning(monitor)
    with served(monitor, "vera") as (port, _), opened(browser, port) as page:
        see(page, "#refusals", "pause, reduce only, cancel all, kill: vera is a viewer: this needs a operator")
        assert page.locator("#commands button:disabled").count() == 6
        assert page.locator("#set button").is_disabled()
        page.keyboard.press("k")
        assert page.locator("#question").is_hidden()
        code, told = post(port, "command", {"command": "kill"})  # the monitor itself refuses what a page lets through
        assert (code, "vera is a viewer" in told) == (400, True)
    assert posted(monitor) == []
    is_over.set()


def test_what_is_not_of_now_is_said_and_greyed(browser: Any, monitor: Monitor) -> None:
    """A loop that stands still; a monitor, then a console that do not answer."""
    is_over = turning(monitor)
    with served(monitor, "tess") as (port, watch), opened(browser, port) as page:
        assert page.locator("#stale").is_hidden()
        is_over.set()
        see(page, "#stale", "the run's loop has not turned since")
        assert page.evaluate("getComputedStyle(document.querySelector('.grid')).opacity") == "0.5"
        is_over = turning(monitor)
        page.locator("#stale").wait_for(state="hidden", timeout=SEEN_MS)
        watch.looking.timeout_s = 0.001  # as if nobody answered
        see(page, "#stale", "no answer in")
        assert page.locator("#book-left table, #book-left p").count()  # what was seen last is still there
        watch.looking.timeout_s = 2.0
        page.locator("#stale").wait_for(state="hidden", timeout=SEEN_MS)
        page.context.set_offline(True)
        see(page, "#stale", "the console does not answer")
        page.click('[data-command="kill"]')
        page.keyboard.press("y")
        see(page, "#told.bad", "the console does not answer")
        page.context.set_offline(False)
        page.locator("#stale").wait_for(state="hidden", timeout=SEEN_MS)
        monitor.run.alive = False
        see(page, "#stale", "The run has ended")
    assert posted(monitor) == []
    is_over.set()


def post(port: int, path: str, body: object, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    own = f"http://127.0.0.1:{port}"
    given = {"Cookie": f"crosswire_console_{port}={TOKEN}", "Origin": own, "Content-Type": "application/json"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", f"/api/live/{path}", content, given | headers)
    response = connection.getresponse()
    told = response.read().decode()
    connection.close()
    return response.status, told


def test_only_the_consoles_own_page_with_its_token_can_ask(monitor: Monitor) -> None:
    with served(monitor, "tess") as (port, _):
        kill = {"command": "kill"}
        for origin in ("", "null", "http://evil.example", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"):
            assert post(port, "command", kill, Origin=origin)[0] == 403
        assert post(port, "command", kill, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert post(port, "command", kill, Host="evil.example")[0] == 421
        assert post(port, "command", kill, Cookie="")[0] == 401
        assert post(port, f"command?token={TOKEN}", kill, Cookie="")[0] == 401
        for bad in (b"", b"{", b"[" * 20_000, b'"kill"', {"command": "hello"}, {"command": "kill", "more": 1}, {}):
            assert post(port, "command", bad)[0] == 400
        assert post(port, "command", kill, **{"Content-Type": "text/plain"})[0] == 400
        assert post(port, "confirm", {"token": "guessed"}) == (
            400, '{"error":"nothing to confirm: it is good once, for 30 s"}'
        )  # fmt: skip
        assert posted(monitor) == []
        assert post(port, "command", kill)[0] == 200
    assert posted(monitor) == [CommandKind.KILL]


def test_an_edge_of_the_chart_is_that_of_the_table() -> None:
    rows = [book(HERE, "60000", "60001"), book(THERE, "60100", "60101")]
    tops = {each.instrument: (float(each.bids[0].price), float(each.asks[0].price)) for each in rows}
    for each in find_edges(rows, TRADED):
        shown = edge_bps(tops, each.buy, each.sell, TRADED)
        assert shown is not None
        assert abs(shown - float(each.edge_bps)) <= 0.00005
    assert edge_bps({}, HERE, THERE, TRADED) is None


def test_a_look_that_fails_keeps_what_was_seen_and_its_age(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    with LiveWatch(monitor.client("vera"), monitor.client("vera"), traded_of(monitor.run.config)) as watch:
        assert live_view(watch, None)["state"] == "none"
        watch.look_once()
        assert live_view(watch, None)["state"] == "live"
        monkeypatch.setattr("crosswire.engine.console.live.view.time.monotonic", lambda: now_s[0])
        now_s[0] = watch.seen.begun_s + STALE_S + 0.1
        assert live_view(watch, None)["state"] == "stale"
        with pytest.raises(ValueError, match="instruments 0 to"):
            live_view(watch, [0, 99])
        now_s[0] = watch.seen.begun_s
        monkeypatch.setattr(watch.looking, "limits", lambda: 1 / 0)
        watch.look_once()
        shown = live_view(watch, None)
        assert (shown["state"], shown["error"]) == ("stale", "ZeroDivisionError: division by zero")
        assert shown["instruments"]
        assert watch.remembered()[-1].tops == {}
