"""The bridge's benchmark tells what it says: a loss is counted, and every order's time is its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.sender import Sender
from tests.bench.bridge import Bench, show
from tests.bench.bridge_burst import Expected, judge, peak_per_s
from tests.bench.bridge_orders import measure_orders
from tests.support.paths import recording

pytestmark = pytest.mark.binance
MESSAGES = 600


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    running = Bench(recording("binance/usdm/btcusdt_20240808.gz"), tmp_path_factory.mktemp("bench"))
    yield running
    running.close()


def test_a_burst_that_is_taken_whole_loses_nothing(bench: Bench) -> None:
    burst = bench.burst(MESSAGES)
    assert burst["burst_lost"] == 0
    assert burst["burst_packets"] > MESSAGES / 2
    assert 0 < burst["burst_p50_us"] <= burst["burst_p99_us"] <= burst["burst_longest_us"]
    assert burst["burst_messages_per_s"] > 500


def test_packets_that_are_not_sent_are_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def sender(log: Log) -> Sender:
        made = Bench.sender(bench, log)
        send, packets = made.send, iter(range(1 << 30))
        made.send = lambda data: 0 if next(packets) % 100 == 99 else send(data)  # type: ignore[method-assign,assignment]
        return made

    monkeypatch.setattr(bench, "sender", sender)
    burst = bench.burst(MESSAGES)
    first = burst["burst_packets"] // 100
    assert burst["burst_lost"] in (first, first + 1)


def test_a_packet_with_another_content_is_lost() -> None:
    expected = Expected(packets={1: (7, -1), 2: (8, 0), 3: (9, 1), 4: (10, 1), 5: (11, 2)})
    told = {
        "packets": [(2, 8, 3_000), (3, 9, 5_000), (4, 0, 6_000), (5, 11, 7_000)],
        "sent_ns": [1_000, 2_000, 3_000],
    }
    burst = judge(expected, told)
    assert (burst["burst_lost"], burst["burst_packets"]) == (1, 4)
    assert (burst["burst_p50_us"], burst["burst_longest_us"]) == (4.0, 4.0)  # (3 - 1, 7 - 3) us


def test_the_peak_is_the_densest_window() -> None:
    assert peak_per_s([0, 20_000_000, 20_000_001, 29_999_999, 30_000_000, 60_000_000]) == 3 * 100


@pytest.mark.parametrize("kind", ["ed25519", "hmac"])
def test_orders_are_timed_from_end_to_end(tmp_path: Path, kind: str) -> None:
    orders = measure_orders(tmp_path, kind, 30)
    assert orders["orders"] == 30
    assert 0 < orders["order_handling_p50_us"] < orders["order_p50_us"] <= orders["order_p99_us"]


def test_the_closing_line_has_the_keys_that_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    market = dict.fromkeys(("p50_us", "p99_us", "handling_p50_us", "handling_p99_us", "messages_per_s"), 1.0)
    lost = [{"burst_lost": each, "burst_p99_us": 2.0, "burst_longest_us": 10.0 * each} for each in (0.0, 3.0, 1.0)]
    orders = [{"order_p50_us": 5.0, "order_p99_us": 6.0}]
    show({"picows": [market], "websockets": [market], "burst": lost, "ed25519": orders, "hmac": orders})
    closing = capsys.readouterr().out.splitlines()[-1]
    for told in ('"p50_us": 1.0', '"other_client_p99_us": 1.0', '"order_p99_us": 6.0', '"burst_p99_us": 2.0'):
        assert told in closing
    assert '"burst_lost": 4.0' in closing
    assert '"burst_longest_us": 30.0' in closing
