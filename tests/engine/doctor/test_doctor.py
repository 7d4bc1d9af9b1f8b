"""`crosswire doctor` as a user runs it: on this host, and on a network that was made badly on purpose."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from crosswire.engine.cli import app
from crosswire.nic.host.doctor.check import Severity
from crosswire.nic.host.doctor.examine import questions
from crosswire.nic.host.doctor.host import Host, host_inside
from crosswire.nic.host.doctor.setting import Setting, read_setting
from crosswire.nic.host.ethtool import read_card
from crosswire.nic.host.neighbour import find_neighbour
from crosswire.nic.host.testbed import Testbed
from tests.support.bad_network import config_of
from tests.support.paths import ROOT

KEYS = ["name", "value", "wanted", "severity", "why", "mend"]
EXCHANGE = 0x0A620002
FEATURES = ("rx-gro", "rx-udp-gro-forwarding", "rx-vlan-hw-parse", "tx-checksum-ip-generic", "tx-tcp-segmentation")
SYSTEM_FILES = (
    "/proc/sys/net/ipv4/conf/all/rp_filter",
    "/proc/sys/net/ipv4/conf/{0}/rp_filter",
    "/sys/class/net/{0}/gro_flush_timeout",
    "/sys/class/net/{0}/napi_defer_hard_irqs",
)
# Checks that are wrong on the network below, each for a reason of its own.
WRONG = {
    "queues",
    "receive offload (gro)",
    "UDP receive offload",
    "VLAN offload",
    "checksums of a veth",
    "interrupt deferral",
    "reverse path filter",
    "neighbour",
}


def run(*words: object, answers: str = "") -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, words)], input=answers)


def everything(network: Testbed) -> dict[str, Any]:
    """All that a mend of this network might touch, and what lies beside it."""
    link, found = network.links[0], {}
    for namespace, interface in ((network.engine, link.engine_interface), (network.exchange, link.exchange_interface)):
        with host_inside(Host(), namespace) as there:
            card = read_card(interface)
            found[interface] = (card.features, {name: dict(words) for name, words in card.groups.items()})
            for path in SYSTEM_FILES:
                found[f"{namespace}:{path}"] = there.text(path.format(interface))
            if namespace == network.engine:
                found["neighbour"] = find_neighbour(interface, EXCHANGE)
    return found


def severities(result: Result) -> dict[str, str]:
    return {each["name"]: each["severity"] for each in json.loads(result.stdout)}


def test_json_is_a_list_of_checks_and_the_exit_code_its_worst(state: Path) -> None:
    done = run("--json")
    checks = json.loads(done.stdout)
    assert all(list(each) == KEYS and all(isinstance(text, str) for text in each.values()) for each in checks)
    named = {each["name"] for each in checks}
    assert {each.name for each in questions("host")} <= named
    found = {each["severity"] for each in checks}
    assert found <= set(Severity)
    assert done.exit_code == (2 if "fail" in found else 1 if "warn" in found else 0)
    assert not state.exists()


def test_without_anything_above_info_the_exit_code_is_0() -> None:
    done = run("--json", "--only", "mitigations")
    assert (done.exit_code, [each["severity"] for each in json.loads(done.stdout)]) == (0, ["info"])


def test_the_table_has_100_columns_and_the_worst_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = run().stdout.splitlines()
    assert max(map(len, lines)) <= 100
    first = [line.split()[0] for line in lines[1:] if line[:4].strip() in ("fail", "warn", "info", "ok")]
    ranks = [("fail", "warn", "info", "ok").index(each) for each in first if each in ("fail", "warn", "info", "ok")]
    assert ranks == sorted(ranks)
    assert len(ranks) > 20


@pytest.mark.netns
def test_a_network_made_badly_is_mended_and_undone(bad: Testbed, tmp_path: Path, state: Path) -> None:
    config, near = config_of(bad, tmp_path), bad.links[0].engine_interface
    before = everything(bad)
    only = ("--only", f"{near}: ")
    seen = severities(run(config, "--json", *only))
    wrong = {name.removeprefix(f"{near}: ") for name, each in seen.items() if each in ("warn", "fail")}
    assert wrong == WRONG
    assert everything(bad) == before, "a check is a pure read"

    mended = run(config, "--json", "--fix", "--yes", *only)
    assert mended.exit_code == 0, mended.stderr
    assert not {name for name, each in severities(mended).items() if each in ("warn", "fail")}
    after = everything(bad)
    assert after != before
    assert oct(state.stat().st_mode & 0o777) == "0o600"
    record = state.read_text()

    again = run(config, "--json", "--fix", "--yes", *only)
    assert again.exit_code == 0
    assert (everything(bad), state.read_text()) == (after, record), "mending twice changes nothing"

    undone = run("--undo")
    assert undone.exit_code == 0, undone.stdout
    assert everything(bad) == before
    assert not state.exists()
    told = [line for line in undone.stdout.splitlines() if line.startswith("restored")]
    assert len(told) == len(json.loads(record)["changed"])
    assert run("--undo").stdout.strip() == "nothing is there to undo"


@pytest.mark.netns
def test_each_mend_is_asked_for(bad: Testbed, tmp_path: Path, state: Path) -> None:
    config, near = config_of(bad, tmp_path), bad.links[0].engine_interface
    only = ("--only", f"{near}: receive offload", "--only", f"{near}: UDP", "--only", f"{near}: VLAN")
    done = run(config, "--fix", *only, answers="y\nn\nq\n")
    assert done.exit_code == 1
    with host_inside(Host(), bad.engine):
        found = read_card(near).features
    assert [found[name].is_on for name in FEATURES[:3]] == [False, True, True]
    assert len(json.loads(state.read_text())["changed"]) == 1
    assert f"ip netns exec {bad.engine} ethtool -K {near} rx-gro off" in done.stdout
    assert run("--undo").exit_code == 0


@pytest.mark.netns
def test_a_mend_that_is_refused_half_way_leaves_what_was_done_in_the_record(
    bad: Testbed, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crosswire.nic.host.doctor import mend
    from crosswire.nic.host.process import HostError

    real: Callable[..., None] = mend.write_setting

    def refuse(host: Host, setting: Setting, text: str) -> None:
        if setting.place.endswith("napi_defer_hard_irqs"):
            raise HostError(f"{setting.place}: Input/output error")
        real(host, setting, text)

    config, before = config_of(bad, tmp_path), everything(bad)
    with monkeypatch.context() as patch:
        patch.setattr(mend, "write_setting", refuse)
        done = run(config, "--json", "--fix", "--yes", "--only", bad.links[0].engine_interface)
    assert done.exit_code == 1
    assert "refused: /sys/class/net" in done.stderr
    # Two venues share the interface: the refusal comes twice, the rest is mended once.
    assert run("--undo").exit_code == 0
    assert everything(bad) == before


@pytest.mark.netns
def test_settings_of_a_namespace_are_not_the_hosts(bad: Testbed) -> None:
    setting = Setting(kind="file", place=SYSTEM_FILES[0], namespace=bad.engine)
    assert read_setting(Host(), setting) == "2"
    assert Path(SYSTEM_FILES[0]).read_text().strip() == Host().text(SYSTEM_FILES[0])


def test_only_root_mends(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for option in ("--fix", "--undo"):
        done = run(option)
        assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
        assert "as root only" in done.stderr
    assert not state.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("not-there.toml",), "no such file"),
        (("--only", "no such check"), "no check has no such check in its name"),
        (("--jitter", "-1"), "must be more than 0"),
        (("--jitter", "1", "--core", "99999"), "core 99999"),
        (("--fix", "--undo"), "not both"),
        (("--jitter", "0.01", "--plot", "/not/there.html"), "/not/there.html.partial: No such file"),
    ],
)
def test_what_can_not_be_done_is_one_line(words: tuple[str, ...], message: str) -> None:
    done = run(*words)
    assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (3, 1, "")
    assert message in done.stderr


def test_jitter_is_measured_judged_and_drawn(tmp_path: Path) -> None:
    page = tmp_path / "jitter.html"
    names = ("holes", "forced", "page faults", "measured")
    only = [word for name in names for word in ("--only", name)]
    done = run("--json", "--jitter", "0.2", "--plot", page, *only)
    checks = {each["name"]: each for each in json.loads(done.stdout)}
    assert len(checks) == 5
    assert {each["severity"] for each in checks.values()} <= {"ok", "warn"}
    assert "in 0.2 s, longest" in checks["holes over 100 us"]["value"]
    shown = page.read_text().partition("<script")[0]
    assert f"Jitter of core {max(os.sched_getaffinity(0))}" in shown
    assert "0.2 s: longest hole" in shown
    assert "Holes by size" in shown


def test_an_interpreter_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosswire.nic.host.doctor.jitter.NO_JIT", True)
    done = run("--jitter", "0.1")
    assert (done.exit_code, "unset CROSSWIRE_NO_JIT" in done.stderr) == (3, True)


def test_the_page_of_the_checks_has_every_check() -> None:
    """docs/doctor.md is written from the code: `python -m tests.doctor_page` writes it anew."""
    from tests.doctor_page import written

    assert (ROOT / "docs" / "doctor.md").read_text() == written()
