"""A live run's page in a browser: what is clicked is what the run does, by its journal and the account there."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import DESKTOP, PHONE, chromium, console
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, started
from tests.support.run_operator import MARKET_S, Operator, nothing_is_left

pytestmark = [pytest.mark.control, pytest.mark.console, pytest.mark.netns]
PATIENCE_MS = PATIENCE_S * 1000
LIMIT = "limits.loss_max"
SHOWN = {
    "#positions": "deribit/BTC-PERPETUAL",
    "#best": "bridge/BTCUSDT",
    "#latency": "receive to send",
    "#health": "ready",
    "#limits": LIMIT,
    "#book-left": "Size",
    "#edges": "after fees",
}


def test_a_run_is_paused_limited_flattened_and_killed_from_the_browser(config: Path) -> None:
    folder, operator = config.parent, Operator(config)
    with (
        started(folder, "exchange", config, "--wait", "--seconds", MARKET_S) as exchanges,
        started(folder, "monitor", config, "--output", operator.runs) as monitor,
        chromium() as browser,
    ):
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", operator.runs) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            monitor.wait_for("attached to run", PATIENCE_S)
            operator.until("positions", lambda told: any(row["position"] for row in told["rows"]))
            with console("--live", config, "--as", "tess", "--output", operator.runs, cwd=folder) as address:
                asked_ns = sit_before(browser, address, operator, folder)
            assert live.process.wait(PATIENCE_S) == 1
            assert live.text().splitlines()[-1] == "crosswire: killed by tess"
        nothing_is_left(exchanges)
    records = operator.records()
    commands = [each for each in records if each["kind"] == "command"]
    assert [each["command"] for each in commands] == ["pause", "set", "set", "resume", "flatten", "kill"]
    sent_ns = [each["time_ns"] for each in records if each["kind"] == "order_sent"]
    for name, clicked_ns in asked_ns.items():
        done_ns = next(each["time_ns"] for each in commands if each["command"] == name)
        last_ns = max((each for each in sent_ns if each <= done_ns), default=done_ns)
        print(f"{name}: from the click to the loop's record {(done_ns - clicked_ns) / 1e6:.1f} ms, the last order frame"
              f" before it {(last_ns - clicked_ns) / 1e6:+.1f} ms from the click")  # fmt: skip
    paused_ns, resumed_ns = (next(c["time_ns"] for c in commands if c["command"] == n) for n in ("pause", "resume"))
    assert not [each for each in sent_ns if paused_ns < each < resumed_ns]


def sit_before(browser: Any, address: str, operator: Operator, folder: Path) -> dict[str, int]:
    """Look, pause, change a limit, resume, flatten, kill, each seen before the next; return when each was asked for."""
    page = browser.new_context(viewport=DESKTOP).new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("body[data-run]", timeout=PATIENCE_MS)
    see(page, "#trading", "active")
    for place, what in SHOWN.items():
        see(page, place, what)
    page.wait_for_timeout(8000)  # of charts
    look_at(page, folder)
    asked_ns = {"pause": ask(page, "pause")}
    see(page, "#trading", "cancel only")
    change_limit(page, operator)
    ask(page, "resume", is_confirmed=True)
    see(page, "#trading", "active")
    asked_ns["flatten"] = ask(page, "flatten", is_confirmed=True)
    see(page, "#reason", "flatten: flat")
    asked_ns["kill"] = ask(page, "kill")
    see(page, "#stale", "The run has ended")
    see(page, "#trading", "has ended")
    assert page.evaluate("document.body.classList.contains('stale')")
    assert not said, said
    return asked_ns


def look_at(page: Any, folder: Path) -> None:
    """Keep pictures, to be looked at and for docs/console.md; a phone need not scroll sideways."""
    page.screenshot(path=folder / "live-light.png")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(500)
    page.evaluate("document.querySelector('.books').scrollIntoView()")
    page.screenshot(path=folder / "live-dark.png")
    page.emulate_media(color_scheme="light")
    page.evaluate("scrollTo(0, 0)")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=folder / "live-phone.png")
    page.set_viewport_size(DESKTOP)


def change_limit(page: Any, operator: Operator) -> None:
    """Tighter in one step, back in two."""
    row = next(each for each in operator.say("parameters")["rows"] if each["name"] == LIMIT)
    for value, is_looser in ((row["value"] / 2, False), (row["value"], True)):
        page.select_option("#set-name", LIMIT)
        page.fill("#set-value", str(value))
        page.click("#set button")
        if is_looser:
            see(page, "#question-text", f"this will set {LIMIT}")
            page.keyboard.press("y")
        see(page, "#told", "set: all values hold")
        now = next(each for each in operator.say("parameters")["rows"] if each["name"] == LIMIT)
        assert now["value"] == value


def ask(page: Any, name: str, is_confirmed: bool = False) -> int:
    """Click a command and say yes, twice if the monitor wants it confirmed; when the last yes was said."""
    page.click(f'[data-command="{name}"]')
    see(page, "#question-text", f"{name}:")
    if is_confirmed:
        page.keyboard.press("y")
        see(page, "#question-text", "this will ")
    asked_ns = time.time_ns()
    page.keyboard.press("y")
    return asked_ns


def see(page: Any, place: str, what: str) -> None:
    page.locator(place, has_text=what).wait_for(timeout=PATIENCE_MS)
