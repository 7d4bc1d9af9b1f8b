"""Goal: what Prometheus has of a live run is what the run itself says at its end, and nothing that watches is in doubt.

Method: exchanges, engine and monitor as a user starts them, over AF_XDP, and Debian's Prometheus with the files that
come with Crosswire. It is started once, as all of it takes half a minute; every assertion is about that one run.
"""

import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, started
from tests.support.prometheus import Prometheus, free_port, needs_prometheus, prometheus

pytestmark = [pytest.mark.control, pytest.mark.netns]
MARKET_S, LIVE_S = 14, 12
STAGES = {"feed_latency": "feed", "order_round_trip": "order round trip", "receive_to_send": "receive to send"}


def test_prometheus_has_the_run_as_it_says_itself(config: Path) -> None:
    needs_prometheus()
    folder, metrics = config.parent, f"127.0.0.1:{free_port()}"
    config.write_text(config.read_text() + f'metrics = "{metrics}"\n[log]\nfolder = "logs"\n')
    with (
        started(folder, "monitor", config, "--output", folder / "runs") as monitor,
        started(folder, "exchange", config, "--wait", "--seconds", MARKET_S) as exchanges,
        prometheus(folder / "prometheus", metrics) as watching,
    ):
        monitor.wait_for(f"metrics at http://{metrics}/metrics", PATIENCE_S)
        watching.until("crosswire_up", 0)
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", folder / "runs", "--seconds", LIVE_S) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            watching.until("crosswire_up", 1)
            live.finish()
        watching.until("crosswire_up", 0)
        (summary,) = (folder / "runs").glob("*/latest/summary.json")
        said = json.loads(summary.read_text(), parse_float=Decimal)
        it_is_the_run_s_own_account(watching, said, summary.resolve().parent.name)
        it_was_watched_while_it_traded(watching)
        every_panel_can_be_asked(watching, folder / "prometheus")
        monitor.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in monitor.finish()
    the_logs_say_it_too(folder, said, summary.resolve().parent.name, live.text())


def it_is_the_run_s_own_account(watching: Prometheus, said: dict[str, Any], folder: str) -> None:
    assert watching.value(f'crosswire_run_info{{run="{folder}"}}') == 1
    assert watching.value("crosswire_frames_total") == said["frames"] > 1000
    assert watching.value("crosswire_orders_sent_total") == said["orders_sent"] > 0
    assert watching.value("crosswire_fills_total") == said["fills"] > 0
    refused = {labels["reason"]: value for labels, value in watching.query("crosswire_vetoes_total > 0")}
    assert sum(refused.values()) == sum(said["orders_vetoed"].values())
    for name, own in said["instruments"].items():
        venue, _, symbol = name.partition("/")
        labels = f'venue="{venue}", instrument="{symbol}"'
        assert watching.value(f"crosswire_position{{{labels}}}") == float(own["position"])
    for currency, fees in said["fees"].items():
        assert watching.value(f'crosswire_fees{{currency="{currency}"}}') == pytest.approx(float(fees), abs=1e-9)
    for venue in said["venues"]:
        counters = said["counters"]
        for metric, key in (("session_orders_sent_total", "orders sent"), ("ring_drops_total", "market data drops")):
            assert watching.value(f'crosswire_{metric}{{venue="{venue}"}}') == counters[f"{venue}: {key}"]
        assert watching.value(f'crosswire_ring_frames_total{{venue="{venue}"}}') > 100
    for stage, key in STAGES.items():
        counted = sum(count for _, count in said["latencies"][key]["buckets"])
        assert watching.value(f"crosswire_{stage}_seconds_count") == counted > 0


def it_was_watched_while_it_traded(watching: Prometheus) -> None:
    """More than its end was seen: frames grew from scrape to scrape, sessions were ready, and no page was refused."""
    assert watching.value("count_over_time(crosswire_frames_total[1m])") > LIVE_S / 2
    assert watching.value("max_over_time(rate(crosswire_frames_total[5s])[1m:1s])") > 0
    ready = watching.query('max_over_time(crosswire_session_state{state="ready"}[1m])')
    assert [value for _, value in ready] == [1, 1]
    assert [value for _, value in watching.query("max_over_time(crosswire_book_valid[1m])")] == [1, 1]
    refused = watching.query('crosswire_scrapes_total{outcome!="answered"} > 0')
    assert refused == []
    assert watching.value('crosswire_scrapes_total{outcome="answered"}') >= LIVE_S
    rules = watching.get("rules")["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} == {"ok"}


def the_logs_say_it_too(folder: Path, said: dict[str, Any], run: str, printed: str) -> None:
    """What was printed stands in the logs, with figures, and no key does."""
    live, monitor = (
        [json.loads(line) for line in (folder / "logs" / f"synthetic-{process}.jsonl").read_text().splitlines()]
        for process in ("live", "monitor")
    )
    events = [line["event"] for line in live]
    assert events[-1] == "ended"
    assert {"warmed_up", "ring_open", "confined", "trading", "status"} < set(events)
    assert live[-1]["fields"]["frames"] == said["frames"]
    assert live[-1]["fields"]["fills"] == said["fills"]
    assert {line["run"] for line in live[events.index("confined") :]} == {run}
    for line in live:
        assert (line["process"], line["name"]) == ("live", "synthetic")
        assert line["text"] in printed
    assert [line["event"] for line in monitor][-2:] == ["run_ended", "ended"]
    assert [line["fields"] for line in monitor if line["event"] in ("attached", "run_ended")] == [{"run": run}] * 2
    logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
    keys = [path.read_text().strip() for path in (folder / "keys").iterdir()]
    assert len(keys) > 3
    assert [key for key in keys if key in logs] == []


def every_panel_can_be_asked(watching: Prometheus, folder: Path) -> None:
    dashboard = json.loads((folder / "crosswire-dashboard.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    empty = []
    for expression in targets:
        asked = expression.replace('"$instance"', '".+"').replace("$__rate_interval", "1m")
        if not watching.query(asked) and ">" not in asked:
            empty.append(asked)
    # These have no series before something was refused.
    assert [each for each in empty if "monitor_refused" not in each] == []
