"""A real Prometheus (Debian's package) that scrapes a monitor, and what it answers."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.telemetry.files import write_telemetry

SCRAPE_S = 1
PATIENCE_S = 60.0
METRICS = "127.0.0.1:9464"  # as the shipped configuration has it


def needs_prometheus() -> None:
    """Skip without it; in CI, which has it, that is a failure."""
    if shutil.which("prometheus") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have prometheus (Debian's package)")
        pytest.skip("needs prometheus")


def free_port() -> int:
    """Find a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Prometheus:
    """A running one."""

    def __init__(self, port: int, process: int) -> None:
        self.port, self.process = port, process

    def get(self, path: str, **words: str) -> Any:
        """Ask its API; return the data. AssertionError: it refuses."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Give the labels and values of an instant query."""
        rows = self.get("query", query=expression)["result"]
        return [(row["metric"], float(row["value"][1])) for row in rows]

    def value(self, expression: str) -> float:
        """Give the one value of an instant query."""
        ((_, value),) = self.query(expression)
        return value

    def until(self, expression: str, wanted: float) -> None:
        """Wait until a query has this one value."""
        deadline_s = time.monotonic() + PATIENCE_S
        while [value for _, value in self.query(expression)] != [wanted]:
            assert time.monotonic() < deadline_s, (expression, self.query(expression), self.get("targets"))
            time.sleep(0.2)


@contextmanager
def prometheus(folder: Path, metrics: str, scrape_s: int = SCRAPE_S) -> Iterator[Prometheus]:
    """Start one with the configuration and rules that come with Crosswire, for a monitor's metrics at this address."""
    folder.mkdir()
    write_telemetry(folder)
    config = folder / "crosswire-prometheus.yml"
    text = config.read_text()
    assert METRICS in text
    config.write_text(text.replace(METRICS, metrics).replace("interval: 5s", f"interval: {scrape_s}s"))
    port = free_port()
    words = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        found = Prometheus(port, process.pid)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                found.get("status/buildinfo")
                break
            except OSError:
                assert time.monotonic() < deadline_s, (folder / "log").read_text()
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
