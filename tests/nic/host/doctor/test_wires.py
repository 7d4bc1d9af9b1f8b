"""Every check of an interface and of a file, against cards and paths that are made up."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.host.doctor.check import Check, KeptPath, Plan, Severity, Wire, ask
from crosswire.nic.host.doctor.examine import examine, questions
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.ethtool import Card, Feature, Rule, Stamps
from crosswire.nic.host.neighbour import NUD_FAILED, NUD_PERMANENT, NUD_STALE, Neighbour
from tests.support.made_host import MadeCalls, made_host

NET = "/sys/class/net/eth1"
CONF = "/proc/sys/net/ipv4/conf"
GATEWAY, GROUP = 0x0A000001, 0xEF010101
BARE = Card()
LOOP = Plan(is_configured=True, core=2)
ETH1 = Wire(name="eth1", ring="af_xdp", require="generic")
STEERED = replace(ETH1, groups=((GROUP, 6200),), queue=1)
POLLED = replace(ETH1, busy_poll_us=20)
WAY = replace(ETH1, gateways=(GATEWAY,))
MAC = 0x020000000001
NODES = {"/sys/devices/system/node/node0/cpulist": "0-3", "/sys/devices/system/node/node1/cpulist": "4-7"}


def groups(name: str, **words: int) -> Card:
    """A card with one group of words; an underscore stands for a hyphen."""
    return Card(groups={name: {key.replace("_", "-"): value for key, value in words.items()}})


def channels(combined: int, **more: Any) -> Card:
    return replace(groups("channels", combined=combined, rx=0, tx=0), **more)


def features(**states: str) -> Card:
    """A card with features: "on", "off", "on fixed", "off fixed"."""
    return Card(
        features={
            name.replace("_", "-"): Feature(state.startswith("on"), state.endswith("fixed"))
            for name, state in states.items()
        }
    )


@dataclass
class Case:
    """One interface, and what a check of it says. `sets`: what mends it, as "place name" or a path."""

    name: str
    severity: str
    value: str
    card: Card | None = BARE
    wire: Wire = ETH1
    files: dict[str, str] = field(default_factory=dict)
    neighbours: dict[int, Neighbour | None] = field(default_factory=dict)
    far: Card | None = None
    sets: dict[str, str] = field(default_factory=dict)
    plan: Plan = LOOP


def offload(name: str, feature: str) -> list[Case]:
    key = feature.replace("-", "_")
    return [
        Case(name, "ok", "off", features(**{key: "off"})),
        Case(name, "warn", "on", features(**{key: "on"}), sets={f"eth1 {feature}": "off"}),
        Case(name, "info", "on, fixed", features(**{key: "on fixed"})),
        Case(name, "skip", "-"),
    ]


CASES = [
    Case("link", "ok", "up"),
    Case("link", "fail", "down", Card(is_up=False, has_carrier=False)),
    Case("link", "fail", "no carrier", Card(has_carrier=False)),
    Case("link", "fail", "eth1: no such interface", None),
    Case("driver", "ok", "ice", Card(driver="ice"), replace(ETH1, require="zerocopy")),
    Case("driver", "ok", "veth", Card(driver="veth"), replace(ETH1, require="native")),
    Case("driver", "info", "igb", Card(driver="igb")),
    Case("driver", "warn", "igb", Card(driver="igb"), replace(ETH1, require="native")),
    Case("driver", "warn", "veth", Card(driver="veth"), replace(ETH1, require="zerocopy")),
    Case("driver", "skip", "-"),
    Case("XDP program", "ok", "none"),
    Case("XDP program", "fail", "program 12", Card(program=12)),
    Case("XDP program", "info", "program 12", Card(program=12), replace(ETH1, ring="sockets")),
    Case("XDP program", "skip", "-", None),
    Case("queues", "ok", "1", channels(1)),
    Case("queues", "ok", "8", channels(8), replace(ETH1, ring="af_packet")),
    Case("queues", "ok", "8, steered", channels(8), replace(ETH1, steers=True)),
    Case("queues", "ok", "2, steered", channels(2, spread=(0,))),
    Case("queues", "ok", "2, steered", channels(2, rules=(Rule(GROUP, 6200, 1),)), STEERED),
    Case("queues", "warn", "2", channels(2, rules=(Rule(GROUP, 6200, 0),)), STEERED, sets={"eth1 combined": "1"}),
    Case("queues", "warn", "2", channels(2, rules=(Rule(GROUP, 6201, 1),)), STEERED, sets={"eth1 combined": "1"}),
    Case("queues", "fail", "1, and the ring on 1", channels(1), STEERED),
    Case("queues", "skip", "-"),
    Case("flow steering", "ok", "one queue", channels(1)),
    Case("flow steering", "ok", "one queue"),
    Case("flow steering", "info", "the card has none", channels(4)),
    Case("flow steering", "warn", "off", channels(4, features={"rx-ntuple-filter": Feature(False)}),
         sets={"eth1 rx-ntuple-filter": "on"}),
    Case("flow steering", "warn", "on, 0 rules",
         channels(4, features={"rx-ntuple-filter": Feature(True)}, rules=()), STEERED),
    Case("flow steering", "ok", "on, 1 rules",
         channels(4, features={"rx-ntuple-filter": Feature(True)}, rules=(Rule(0, 6200, 1),)), STEERED),
    Case("flow steering", "skip", "-", None),
    Case("rings", "ok", "1024 of 4096", groups("rings", rx=1024, rx_max=4096)),
    Case("rings", "ok", "256 of 256", groups("rings", rx=256, rx_max=256)),
    Case("rings", "warn", "256 of 4096", groups("rings", rx=256, rx_max=4096), sets={"eth1 rx": "512"}),
    Case("rings", "warn", "4096 of 4096", groups("rings", rx=4096, rx_max=4096), sets={"eth1 rx": "1024"}),
    Case("rings", "skip", "-"),
    Case("coalescing", "ok", "0 us", groups("coalescing", rx_usecs=0, adaptive_rx=0)),
    Case("coalescing", "ok", "50 us; live sets it", groups("coalescing", rx_usecs=50, adaptive_rx=0),
         replace(ETH1, sets_coalescing=True)),
    Case("coalescing", "warn", "50 us, adaptive", groups("coalescing", rx_usecs=50, adaptive_rx=1),
         sets={"eth1 rx-usecs": "0", "eth1 adaptive-rx": "0"}),
    Case("coalescing", "skip", "-"),
    *offload("receive offload (gro)", "rx-gro"),
    *offload("large receive offload (lro)", "rx-lro"),
    *offload("hardware receive offload", "rx-gro-hw"),
    *offload("UDP receive offload", "rx-udp-gro-forwarding"),
    *offload("VLAN offload", "rx-vlan-hw-parse"),
    Case("checksums of a veth", "ok", "off", replace(features(tx_checksum_ip_generic="off"), driver="veth")),
    Case("checksums of a veth", "fail", "eth1 on", replace(features(tx_checksum_ip_generic="on"), driver="veth"),
         sets={"eth1 tx-checksum-ip-generic": "off"}),
    Case("checksums of a veth", "info", "eth1 on", replace(features(tx_checksum_ip_generic="on"), driver="veth"),
         replace(ETH1, ring="sockets"), sets={"eth1 tx-checksum-ip-generic": "off"}),
    Case("checksums of a veth", "fail", "far on",
         replace(features(tx_checksum_ip_generic="off"), driver="veth", peer="far"),
         far=features(tx_checksum_ip_generic="on"), sets={"far tx-checksum-ip-generic": "off"}),
    Case("checksums of a veth", "skip", "-", Card(driver="ice")),
    Case("pause frames", "ok", "off", groups("pause", autoneg=0, rx=0, tx=0)),
    Case("pause frames", "warn", "autoneg, rx", groups("pause", autoneg=1, rx=1, tx=0),
         sets={"eth1 autoneg": "0", "eth1 rx": "0"}),
    Case("pause frames", "skip", "-"),
    Case("interrupt deferral", "ok", "0 / 0",
         files={f"{NET}/napi_defer_hard_irqs": "0", f"{NET}/gro_flush_timeout": "0"}),
    Case("interrupt deferral", "ok", "100 / 200000", wire=POLLED,
         files={f"{NET}/napi_defer_hard_irqs": "100", f"{NET}/gro_flush_timeout": "200000"}),
    Case("interrupt deferral", "warn", "0 / 200000", wire=POLLED,
         files={f"{NET}/napi_defer_hard_irqs": "0", f"{NET}/gro_flush_timeout": "200000"},
         sets={f"{NET}/napi_defer_hard_irqs": "2"}),
    Case("interrupt deferral", "warn", "0 / 0", wire=POLLED,
         files={f"{NET}/napi_defer_hard_irqs": "0", f"{NET}/gro_flush_timeout": "0"},
         sets={f"{NET}/napi_defer_hard_irqs": "2", f"{NET}/gro_flush_timeout": "200000"}),
    Case("interrupt deferral", "warn", "2 / 20000",
         files={f"{NET}/napi_defer_hard_irqs": "2", f"{NET}/gro_flush_timeout": "20000"},
         sets={f"{NET}/napi_defer_hard_irqs": "0", f"{NET}/gro_flush_timeout": "0"}),
    Case("interrupt deferral", "warn", "a veth has no NAPI", Card(driver="veth"), POLLED,
         files={f"{NET}/napi_defer_hard_irqs": "2", f"{NET}/gro_flush_timeout": "20000"}),
    Case("interrupt deferral", "skip", "-"),
    Case("reverse path filter", "ok", "off",
         files={f"{CONF}/all/rp_filter": "0", f"{CONF}/eth1/rp_filter": "0"}),
    Case("reverse path filter", "warn", "loose", files={f"{CONF}/all/rp_filter": "2", f"{CONF}/eth1/rp_filter": "1"},
         sets={f"{CONF}/all/rp_filter": "0", f"{CONF}/eth1/rp_filter": "0"}),
    Case("reverse path filter", "warn", "strict", files={f"{CONF}/all/rp_filter": "0", f"{CONF}/eth1/rp_filter": "1"},
         sets={f"{CONF}/eth1/rp_filter": "0"}),
    Case("reverse path filter", "skip", "-"),
    Case("neighbour", "ok", "10.0.0.1 permanent", wire=WAY, neighbours={GATEWAY: Neighbour(MAC, NUD_PERMANENT)}),
    Case("neighbour", "warn", "10.0.0.1 stale", wire=WAY, neighbours={GATEWAY: Neighbour(MAC, NUD_STALE)},
         sets={"eth1 10.0.0.1": "02:00:00:00:00:01 128"}),
    Case("neighbour", "warn", "10.0.0.1 unknown", wire=WAY, neighbours={GATEWAY: None}),
    Case("neighbour", "fail", "10.0.0.1 failed", wire=WAY, neighbours={GATEWAY: Neighbour(0, NUD_FAILED)}),
    Case("neighbour", "skip", "-"),
    Case("NUMA node", "ok", "one node", files={f"{NET}/device/numa_node": "-1"}),
    Case("NUMA node", "ok", "card 0, core 0", files={f"{NET}/device/numa_node": "0", **NODES}),
    Case("NUMA node", "warn", "card 1, core 0", files={f"{NET}/device/numa_node": "1", **NODES}),
    Case("NUMA node", "skip", "-", files={f"{NET}/device/numa_node": "1", **NODES}, plan=Plan()),
    Case("hardware timestamps", "ok", "PHC 0, all", Card(stamps=Stamps(0x7F, 0, 0x3))),
    Case("hardware timestamps", "info", "no clock", Card(stamps=Stamps(0x1A, -1, 0))),
    Case("hardware timestamps", "info", "no hardware receive", Card(stamps=Stamps(0x1A, 0, 2))),
    Case("hardware timestamps", "info", "not for every frame", Card(stamps=Stamps(0x7F, 0, 1 << 5))),
    Case("hardware timestamps", "skip", "-"),
]  # fmt: skip


def check_of(case: Case, root: Path) -> Check:
    question = next(each for each in questions("wire") if each.name == case.name)
    cards = {name: card for name, card in (("eth1", case.card), ("far", case.far)) if card is not None}
    host = made_host(root, dict(case.files), MadeCalls(cards=cards, neighbours=case.neighbours))
    return ask(question, case.name, host, case.plan, case.wire)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.severity}-{case.value}")
def test_an_interface_is_judged(case: Case, tmp_path: Path) -> None:
    made = check_of(case, tmp_path)
    assert (made.severity.value, made.value.startswith(case.value)) == (case.severity, True), made
    told = {f"{each.setting.place} {each.setting.name}".strip(): each.wanted for each in made.changes}
    assert told == case.sets
    assert made.severity not in (Severity.WARN, Severity.FAIL) or made.mend


def test_every_check_of_an_interface_is_shown_well_ill_and_missing() -> None:
    for question in questions("wire"):
        seen = {case.severity for case in CASES if case.name == question.name}
        assert "ok" in seen, question.name
        assert seen & {"warn", "fail", "info"}, question.name
        assert question.name == "link" or "skip" in seen, question.name


def test_an_interface_that_is_not_configured_is_only_told_of(tmp_path: Path) -> None:
    """It may be the one that people log in by: `--fix` mends what warns or fails."""
    host = made_host(tmp_path, {}, MadeCalls(cards={"eth1": replace(channels(8), is_up=False)}))
    for plan, severity in ((Plan(), Severity.INFO), (Plan(is_configured=True), Severity.FAIL)):
        found = {each.name: each for each in examine(host, replace(plan, wires=(Wire(name="eth1"),)))}
        assert found["eth1: link"].severity is severity
        assert found["eth1: queues"].severity in (Severity.OK, Severity.INFO)


def test_a_far_end_that_is_not_there_hides_no_near_one(tmp_path: Path) -> None:
    near = replace(features(tx_checksum_ip_generic="on"), driver="veth")
    case = Case("checksums of a veth", "fail", "eth1 on", near, replace(ETH1, far=("", "nowhere")))
    assert check_of(case, tmp_path).severity is Severity.FAIL


def test_a_command_names_its_namespace(tmp_path: Path) -> None:
    case = Case("receive offload (gro)", "warn", "on", features(rx_gro="on"), replace(ETH1, namespace="trading"))
    assert check_of(case, tmp_path).mend == "ip netns exec trading ethtool -K eth1 rx-gro off"


def test_a_namespace_that_is_not_there_fails() -> None:
    plan = Plan(is_configured=True, wires=(Wire(name="eth1", namespace="not-there-at-all"),))
    found = [each for each in examine(Host(), plan) if each.name.startswith("eth1: ")]
    assert [(each.name, each.severity) for each in found] == [("eth1: link", Severity.FAIL)]
    assert "not-there-at-all" in found[0].value


def judged(kept: KeptPath) -> Check:
    (question,) = questions("path")
    return ask(question, "ownership", Host(), Plan(), kept)


def test_files_are_ours_and_keys_are_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    assert judged(KeptPath(what="it", path=file)).severity is Severity.FAIL
    assert judged(KeptPath(what="it", path=tmp_path / "a" / "b", is_made=True)).value == "not made yet"
    file.write_text("")
    file.chmod(0o644)
    assert judged(KeptPath(what="it", path=file)).severity is Severity.OK
    secret = judged(KeptPath(what="it", path=file, is_secret=True))
    assert (secret.severity, secret.mend) == (Severity.FAIL, f"chmod 600 {file}")
    file.chmod(0o600)
    assert judged(KeptPath(what="it", path=file, is_secret=True)).severity is Severity.OK
    file.chmod(0o666)
    open_to_all = judged(KeptPath(what="it", path=file))
    assert (open_to_all.severity, open_to_all.mend) == (Severity.FAIL, f"chmod go-w {file}")
    tmp_path.chmod(0o777)
    file.chmod(0o600)
    assert judged(KeptPath(what="it", path=file)).value == f"{tmp_path} can be written to by others"
