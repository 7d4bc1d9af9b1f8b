"""Goal: the rules and the dashboard speak of metrics that there are, and each alert fires for its reason and no other.

Method: promtool, which comes with Prometheus, plays made-up series to the rules as they are shipped.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.monitor.metrics import UP, Kind
from crosswire.engine.monitor.own_metrics import OWN_METRICS
from crosswire.engine.monitor.run_metrics import RUN_METRICS
from crosswire.engine.telemetry.files import telemetry_files
from tests.support.command import ask

RULES = "crosswire-alerts.yml"
METRICS = {each.name: each for each in (UP, *RUN_METRICS, *OWN_METRICS)}
TARGET = {"job", "instance"}  # labels that Prometheus adds
WHERE = 'job="crosswire", instance="a:9464"'
ALIVE = ("crosswire_up", "", "1x200")
DEAD = ("crosswire_up", "", "0x200")
GROWS, STAYS = "0x100 1x100", "5x200"
LOSS = 'limit="strategy.one.limits.loss_max"'

Series = tuple[str, str, str]  # name, labels beside the target's, values each 5 s


@dataclass(frozen=True)
class Case:
    """What makes one alert fire, and what does not though it is near."""

    fires: Sequence[Series]
    quiet: Sequence[Sequence[Series]]


def while_alive(name: str, labels: str, bad: str, good: str) -> Case:
    """Make the case of an alert that is only for a run that is traded."""
    return Case([ALIVE, (name, labels, bad)], [[ALIVE, (name, labels, good)], [DEAD, (name, labels, bad)]])


def growing(name: str, labels: str = "") -> Case:
    """Make the case of an alert for what is counted anew, not for what was long ago."""
    return Case([(name, labels, GROWS)], [[(name, labels, STAYS)]])


def above_zero(name: str, labels: str = "") -> Case:
    """Make the case of an alert for what may never be counted."""
    return Case([(name, labels, "0x50 1x150")], [[(name, labels, "0x200")]])


CASES = {
    "CrosswireMonitorDown": Case([("up", "", "1x50 0x150")], [[("up", "", "1x200")], [("up", "", "1x117 0x3 1x80")]]),
    "CrosswireEngineDown": Case([("crosswire_up", "", "1x50 0x150")], [[ALIVE], [("crosswire_up", "", "1x117 0x83")]]),
    "CrosswireLoopSilent": while_alive("crosswire_loop_age_seconds", "", "0x50 0+5x150", "0.001x200"),
    "CrosswireAlarm": above_zero("crosswire_alarms_total"),
    "CrosswireAccountDiffers": above_zero("crosswire_account_strangers_total", 'venue="v"'),
    "CrosswireNotActive": while_alive("crosswire_trading_state", 'state="active"', "1x50 0x150", "1x200"),
    "CrosswireSessionLost": while_alive("crosswire_session_state", 'venue="v", state="ready"', "1x50 0x150", "1x200"),
    "CrosswireBookLost": while_alive(
        "crosswire_book_valid", 'venue="v", instrument="i"', "1x50 0x150", "1x119 0x2 1x80"
    ),
    "CrosswireFeedStale": while_alive("crosswire_book_age_seconds", 'venue="v"', "0+5x200", "9x200"),
    "CrosswireFeedGaps": growing("crosswire_feed_gaps_total", 'venue="v"'),
    "CrosswireRingDrops": growing("crosswire_ring_drops_total", 'venue="v"'),
    "CrosswireStandstill": growing("crosswire_standstills_total"),
    "CrosswireClocksDiffer": growing("crosswire_feed_latency_negative_total"),
    "CrosswireLossNearLimit": Case(
        [("crosswire_limit_used_ratio", LOSS, "0x50 0.81x150")],
        [
            [("crosswire_limit_used_ratio", LOSS, "0.79x200")],
            [("crosswire_limit_used_ratio", 'limit="limits.account.gross_max"', "0.9x200")],
        ],
    ),
    "CrosswireLimitNearlyUsed": Case(
        [("crosswire_limit_used_ratio", 'limit="limits.account.gross_max"', "0x50 0.96x150")],
        [
            [("crosswire_limit_used_ratio", 'limit="limits.account.gross_max"', "0.94x200")],
            [("crosswire_limit_used_ratio", LOSS, "0.99x200")],
        ],
    ),
    "CrosswireRecordsDropped": above_zero("crosswire_journal_records_dropped_total"),
}


def needs_promtool() -> None:
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have promtool (Debian's package prometheus)")
        pytest.skip("needs promtool")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    code, lines, error = ask("telemetry", tmp_path)
    assert (code, error) == (0, "")
    assert lines[:-1] == [str(tmp_path / path.name) for path in telemetry_files()]
    return tmp_path


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def rules_test(rules: str, alert: str, series: Sequence[Series], firing: int) -> dict[str, Any]:
    """Make one test of promtool's: after ten minutes of these series so many of this alert fire."""
    input_series = [
        {"series": f"{name}{{{WHERE}{labels and ', ' + labels}}}", "values": values} for name, labels, values in series
    ]
    expression = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    expected = {"expr": expression, "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": firing}]}
    return {"name": f"{alert} {firing}", "interval": "5s", "input_series": input_series, "promql_expr_test": [expected]}


def all_tests() -> Iterator[dict[str, Any]]:
    for alert, case in CASES.items():
        yield rules_test(RULES, alert, case.fires, 1)
        for series in case.quiet:
            yield rules_test(RULES, alert, series, 0)


def run_rules(folder: Path) -> subprocess.CompletedProcess[str]:
    document = {"rule_files": [RULES], "evaluation_interval": "5s", "tests": list(all_tests())}
    (folder / "rules-test.yml").write_text(json.dumps(document))  # JSON is YAML
    return promtool(folder, "test", "rules", "rules-test.yml")


def test_every_alert_fires_for_its_reason_and_no_other(written: Path) -> None:
    needs_promtool()
    text = (written / RULES).read_text()
    assert re.findall(r"alert: (\w+)", text) == list(CASES)
    done = run_rules(written)
    assert done.returncode == 0, done.stdout + done.stderr
    assert promtool(written, "check", "config", "crosswire-prometheus.yml").returncode == 0


def test_rules_that_are_wrong_are_noticed(written: Path) -> None:
    """What judges the rules does judge them."""
    needs_promtool()
    rules = written / RULES
    rules.write_text(rules.read_text().replace("crosswire_alarms_total > 0", "crosswire_alarms_total > 1"))
    done = run_rules(written)
    assert done.returncode == 1
    failed = [line for line in (done.stdout + done.stderr).splitlines() if "ALERTS{" in line]
    assert ["CrosswireAlarm" in line for line in failed] == [True]


def metrics_in(expression: str) -> set[str]:
    names = set(re.findall(r"\bcrosswire_\w+", expression))
    return {name.removesuffix("_bucket") if name.endswith("_bucket") else name for name in names}


def test_rules_and_dashboard_name_metrics_and_labels_that_there_are(written: Path) -> None:
    dashboard = json.loads((written / "crosswire-dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked = [(target["expr"], re.findall(r"{{(\w+)}}", target["legendFormat"])) for target in targets]
    for rule in (written / RULES).read_text().split("- alert: ")[1:]:
        asked.append((rule.partition("labels:")[0], re.findall(r"\$labels\.(\w+)", rule)))
    assert len(asked) > len(CASES) + 30
    for expression, labels in asked:
        names = metrics_in(expression)
        assert names <= set(METRICS), expression
        known = TARGET.union(*(METRICS[name].labels for name in names))
        used = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)
        assert {*labels, *used} <= known, expression
        for name in names:
            assert ("_bucket" in expression) == (METRICS[name].kind is Kind.HISTOGRAM), expression


def test_panels_do_not_overlap(written: Path) -> None:
    dashboard = json.loads((written / "crosswire-dashboard.json").read_text())
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_nothing_is_written_over(written: Path) -> None:
    before = {path: path.read_text() for path in written.iterdir()}
    code, _, error = ask("telemetry", written)
    assert (code, "exists already" in error) == (1, True)
    assert {path: path.read_text() for path in written.iterdir()} == before
    code, _, error = ask("telemetry", written / "nowhere")
    assert (code, "no such folder" in error) == (1, True)
