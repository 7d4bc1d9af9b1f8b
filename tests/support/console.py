"""The web console as a user starts it, and a browser to look at it with."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT, recording

READY_MS = 120_000  # on a machine that compiles meanwhile
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def make_run(folder: Path, example: str = "binance-btc", config: str = "") -> Path:
    """Backtest an example, or another configuration under its name, in a folder; return the run's."""
    if example.startswith("binance"):
        recording(f"binance/spot/{example.removeprefix('binance-')}usdt_20240808.gz")
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    if config:
        (folder / "examples" / f"{example}.toml").write_text(config)
    path = folder / "examples" / f"{example}.toml"
    command = [
        sys.executable,
        "-m",
        "crosswire.engine.cli",
        "backtest",
        path,
        "--output",
        folder / "runs",
        "--no-report",
    ]
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "runs" / example / "latest").resolve()


@contextmanager
def console(*arguments: object, cwd: Path = ROOT) -> Iterator[str]:
    """Start `crosswire console`; give the address that it prints."""
    command = [sys.executable, "-m", "crosswire.engine.cli", "console", *map(str, arguments)]
    server = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://"), server.communicate()[1]
        yield address
    finally:
        server.terminate()
        server.communicate(timeout=20)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Debian's Chromium without a window. Without it a test skips; in CI that is a failure.

    Playwright drives it: its wheel has the driver, it waits for what it is asked for, and it takes any Chromium.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("in CI: chromium is missing")
        pytest.skip("chromium is missing: apt install chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root, as CI does.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def wait_for_turn(page: Any) -> int:
    """Wait until a run is shown; return its turn."""
    page.wait_for_selector("body[data-turn]", timeout=READY_MS)
    return int(page.locator("body").get_attribute("data-turn"))


def go_to(page: Any, kind: str, value: object) -> int:
    """Go to a turn, frame, time, opportunity or order, as a user does; return the turn shown."""
    page.select_option("#go-kind", kind)
    page.fill("#go-value", str(value))
    page.click("#go button")
    return settled(page)


def settled(page: Any) -> int:
    """Wait until the page has its answer; return the turn shown."""
    page.wait_for_selector('#main[aria-busy="false"]')
    return wait_for_turn(page)
