"""Goal: Prometheus is told what the structs hold, under names that are documented, and nobody is let do more than read.

Method: a run of real structs that trades nothing is changed by hand; the page is read by prometheus_client's parser.
"""

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from crosswire.engine.config import ConfigError, ControlConfig
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import endpoint as endpoint_module
from crosswire.engine.monitor.address import Address, address_of_metrics
from crosswire.engine.monitor.endpoint import CONNECTIONS_MAX, HEAD_BYTES_MAX, Endpoint, Scrape, outcome_of
from crosswire.engine.monitor.metrics import UP, Collector, Kind, Metric, buckets_of, render
from crosswire.engine.monitor.monitor import is_over, listen
from crosswire.engine.monitor.own_metrics import OWN_METRICS
from crosswire.engine.monitor.run_metrics import RUN_METRICS
from crosswire.nic.histogram import Histogram, add_latency
from crosswire.risk.gate import Veto
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.session import SessionState
from tests.engine.monitor.support import FakeRun, FakeWatch, make_core
from tests.support.paths import ROOT

pytestmark = pytest.mark.control
PATIENCE_S = 20.0
LABELS = {each.name: each.labels for each in (UP, *RUN_METRICS, *OWN_METRICS)}


@pytest.fixture(scope="module")
def run() -> FakeRun:
    config, core = make_core()
    return FakeRun(config, core, Path("/nowhere/20261129T000000Z-00000000"))


def values_of(page: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Read a page: samples by name, then by their labels' values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[label] for label in LABELS.get(sample.name, sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def told(run: FakeRun | None) -> dict[str, dict[tuple[str, ...], float]]:
    return values_of(render(Collector(FakeWatch(run), RUN_METRICS, lambda: ())))


def test_the_page_tells_what_the_structs_hold(run: FakeRun) -> None:
    engine, names = run.engine, [(venue.name, venue.instrument[0].symbol) for venue in run.config.venue]
    engine.state.frames, engine.state.fills, engine.state.now_ns = 7, 3, 5_000_000_000
    engine.gate.vetoes[Veto.STALE_BOOK] = 4
    engine.gate.venues[1].session_state = SessionState.READY
    engine.gate.asked[Why.OPERATOR] = TradingState.CANCEL_ONLY
    engine.gate.state = TradingState.CANCEL_ONLY
    engine.gate.tops[0].receive_time_ns = 3_500_000_000
    engine.market.books[1].valid = 1
    engine.venues[0].losses = 2
    engine.gate.positions[0].position_lots = -5
    engine.gate.positions[0].fees_e9 = 250_000_000
    engine.gate.positions[0].fills = 1
    engine.journal.dropped = 6
    page = told(run)
    assert page["crosswire_up"] == {(): 1}
    assert page["crosswire_run_info"] == {(run.config.name, run.folder.name): 1}
    assert (page["crosswire_frames_total"], page["crosswire_fills_total"]) == ({(): 7}, {(): 3})
    assert page["crosswire_vetoes_total"][("stale_book",)] == 4
    assert sum(page["crosswire_vetoes_total"].values()) == 4
    states = page["crosswire_session_state"]
    assert [name for name, is_it in states.items() if is_it and name[0] == names[1][0]] == [(names[1][0], "ready")]
    assert [state for (state,), is_it in page["crosswire_trading_state"].items() if is_it] == ["cancel_only"]
    asked = {reason: value for (reason,), value in page["crosswire_trading_state_asked"].items() if value}
    assert asked == {"operator": TradingState.CANCEL_ONLY}
    assert page["crosswire_book_age_seconds"] == {names[0]: 1.5}
    assert page["crosswire_book_valid"] == {names[0]: 0, names[1]: 1}
    assert page["crosswire_session_losses_total"] == {(names[0][0],): 2, (names[1][0],): 0}
    instrument = engine.market.instruments[0]
    position = {labels[:2]: value for labels, value in page["crosswire_position"].items()}
    assert position == {names[0]: pytest.approx(-5 * instrument.lot_e9 / 1e9), names[1]: 0}
    assert sum(page["crosswire_fees"].values()) == 0.25
    assert page["crosswire_journal_records_dropped_total"] == {(): 6}
    assert page["crosswire_loop_age_seconds"][()] > 1e9  # this loop's clock stands in 1970


def test_without_a_run_and_after_its_end_the_page_says_so(run: FakeRun) -> None:
    assert told(None) == {"crosswire_up": {(): 0}}
    run.alive = False
    try:
        page = told(run)
    finally:
        run.alive = True
    assert page["crosswire_up"] == {(): 0}
    assert set(page) > {"crosswire_frames_total", "crosswire_profit"}


def test_a_limit_is_told_with_what_of_it_is_used(run: FakeRun) -> None:
    run.engine.gate.profit_e9 = -run.engine.gate.loss_max_e9 // 4
    page = told(run)
    assert page["crosswire_limit_used_ratio"][("limits.loss_max",)] == pytest.approx(0.25)
    assert page["crosswire_limit"][("limits.loss_max",)] == pytest.approx(run.engine.gate.loss_max_e9 / 1e9)


def test_what_can_not_be_read_is_left_out_and_counted(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(_run: object) -> None:
        raise ValueError("half-written")

    collector = Collector(FakeWatch(run), RUN_METRICS, lambda: ())
    whole = values_of(render(collector))
    monkeypatch.setattr("crosswire.engine.monitor.snapshot.Snapshot.positions", torn)
    page = values_of(render(collector))
    assert set(whole) - set(page) == {"crosswire_position", "crosswire_instrument_profit"}
    assert collector.unreadable == 2


@given(st.lists(st.integers(-10, 1 << 40), max_size=50))
def test_buckets_sum_to_what_was_counted(latencies_ns: list[int]) -> None:
    histogram = Histogram()
    for latency_ns in latencies_ns:
        add_latency(histogram, latency_ns)
    kept = [each for each in latencies_ns if each >= 0]
    buckets, sum_s = buckets_of(histogram)
    assert buckets[-1] == ("+Inf", len(kept))
    for bound, count in buckets[:-1]:
        assert count == sum(each <= round(float(bound) * 1e9) for each in kept)
    assert sum_s == pytest.approx(sum(kept) / 1e9, rel=0.0626, abs=1e-9)


def test_every_metric_is_documented_once_and_nothing_else() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text()
    rows = dict(re.findall(r"^\| `(crosswire_\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert list(rows) == list(LABELS)
    for metric in (UP, *RUN_METRICS, *OWN_METRICS):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert rows[metric.name] == f"{metric.kind} | {labels} | {metric.help}"


@pytest.mark.parametrize(
    "text", ["127.0.0.1", ":9464", "0.0.0.0:9464", "localhost:9464", "127.0.0.1:0", "127.0.0.1:70000", "1.2.3:4", "a"]
)
def test_an_address_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"control\.metrics = .*: must be <one IPv4 address"):
        address_of_metrics(ControlConfig(keys="keys", metrics=text))


@dataclass
class Served:
    endpoint: Endpoint
    port: int
    pages: list[float]  # when each was made

    def ask(self, head: bytes = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") -> bytes:
        """Say something and read until the other end closes."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            connection.sendall(head)
            content = b""
            while more := connection.recv(1 << 16):
                content += more
        return content

    def until(self, outcome: Scrape, count: int) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.endpoint.counts[outcome] < count:
            assert time.monotonic() < deadline_s, self.endpoint.counts
            time.sleep(0.01)


@contextmanager
def served(page: bytes | Exception = b"page") -> Iterator[Served]:
    pages: list[float] = []

    def make() -> bytes:
        pages.append(time.monotonic())
        if isinstance(page, Exception):
            raise page
        return page

    listener = socket.create_server(("127.0.0.1", 0))
    with Endpoint(listener, make) as endpoint:
        endpoint.open()
        yield Served(endpoint, listener.getsockname()[1], pages)


def test_the_page_is_made_anew_only_now_and_then() -> None:
    with served() as each:
        for _ in range(5):
            assert each.ask().endswith(b"\r\n\r\npage")
        each.until(Scrape.ANSWERED, 5)
        assert len(each.pages) < 5
        time.sleep(endpoint_module.PAGE_S)
        before = len(each.pages)
        with urllib.request.urlopen(f"http://127.0.0.1:{each.port}/metrics?x=1", timeout=PATIENCE_S) as answer:
            assert (answer.read(), answer.headers["Content-Type"]) == (b"page", endpoint_module.CONTENT_TYPE)
        assert len(each.pages) == before + 1


@pytest.mark.parametrize(
    ("head", "status", "outcome"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404", Scrape.NOT_FOUND),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405", Scrape.METHOD),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", b"421", Scrape.HOST),
        (b"GET /metrics\r\n\r\n", b"400", Scrape.MALFORMED),
        (b"\x16\x03\x01" + bytes(range(200)) + b"\r\n\r\n", b"400", Scrape.MALFORMED),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX, b"400", Scrape.MALFORMED),
    ],
)
def test_what_is_no_scrape_is_refused_and_counted(head: bytes, status: bytes, outcome: Scrape) -> None:
    with served() as each:
        assert each.ask(head).startswith(b"HTTP/1.1 " + status)
        each.until(outcome, 1)
        assert each.pages == []


@pytest.mark.parametrize("host", [b"127.0.0.1:9464", b"localhost", b"127.0.0.1", b"10.0.0.5"])
def test_an_address_in_the_host_is_let_in(host: bytes) -> None:
    assert outcome_of(b"GET /metrics HTTP/1.1\r\nhost: " + host + b"\r\n\r\n", True) is Scrape.ANSWERED


def test_a_page_that_can_not_be_made_is_an_answer_and_the_next_is_tried() -> None:
    with served(RuntimeError("torn")) as each:
        assert each.ask().startswith(b"HTTP/1.1 500")
        each.until(Scrape.FAILED, 1)
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{each.port}/metrics", timeout=PATIENCE_S)
        assert len(each.pages) == 2
        assert not is_over([], each.endpoint)


def test_who_is_slow_or_too_many_does_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "ASK_S", 0.5)
    monkeypatch.setattr(endpoint_module, "TAKE_S", 0.5)
    with served(b"x" * (64 << 20)) as each:
        silent = [socket.create_connection(("127.0.0.1", each.port)) for _ in range(CONNECTIONS_MAX + 5)]
        each.until(Scrape.CROWDED, 5)
        each.until(Scrape.SLOW, CONNECTIONS_MAX)
        reader = socket.create_connection(("127.0.0.1", each.port))
        reader.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        each.until(Scrape.SLOW, CONNECTIONS_MAX + 1)  # it never reads
        assert each.ask(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404")
        for connection in (*silent, reader):
            connection.close()


def test_a_thread_that_fails_ends_the_monitor_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as each:
        monkeypatch.setattr(each.endpoint, "_accept", None)
        with socket.create_connection(("127.0.0.1", each.port)):
            each.endpoint._thread.join(PATIENCE_S)
        assert is_over([1], None)
        with pytest.raises(ControlError, match=r"the metrics have failed \(TypeError.*the run goes on"):
            is_over([], each.endpoint)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ControlError, match=f"tcp://127.0.0.1:{port}: Address already in use"):
            listen(Address(host="127.0.0.1", port=port))


def test_a_run_stays_mapped_while_it_is_read(run: FakeRun) -> None:
    watch = FakeWatch(run)
    probe = Metric("crosswire_probe", Kind.GAUGE, (), "", lambda _run: [((), float(watch.lock.locked()))])
    assert values_of(render(Collector(watch, [probe], lambda: ())))["crosswire_probe"] == {(): 1}
    assert not watch.lock.locked()
