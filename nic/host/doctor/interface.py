"""Checks of each interface: that it gives the ring every frame, whole, at once, and on the right queue."""

from crosswire.nic.host.doctor.check import Finding, Plan, Severity, Wire, check, judge
from crosswire.nic.host.doctor.host import AbsentError, Host, host_inside
from crosswire.nic.host.doctor.setting import Change, keep_neighbour, set_feature, set_file, set_word, state_name
from crosswire.nic.host.ethtool import Card
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.neighbour import NUD_FAILED, NUD_PERMANENT, NUD_REACHABLE
from crosswire.nic.host.process import HostError

KNOWN_DRIVERS = ("ixgbe", "i40e", "ice")
VETH = "veth"
RING_MIN, RING_MAX = 512, 1024
DEFER_IRQS, FLUSH_NS = 2, 200_000
CHECKSUMS = ("tx-checksum-ip-generic", "tx-checksum-ipv4")
_OFFLOADS = "Firedancer, configure/ethtool-offloads.c"
_CHANNELS = "Firedancer, configure/ethtool-channels.c"
_RINGS = "RTC-Testbench issues 55 and 62"
_BUSY = "kernel 7fd3253a and 6f8b12d6; dpdk.org, AF_XDP; Firedancer, configure/sysfs-poll.c"


def group_of(card: Card, group: str) -> dict[str, int]:
    """Return a group of words. AbsentError: the driver does not have it."""
    words = card.groups.get(group)
    if words is None:
        raise AbsentError(f"the driver has no {group}")
    return dict(words)


@check("link", about="wire", why="an interface that is down carries nothing", source="netdevice(7)")
def link(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for an interface that is up, with a carrier."""
    try:
        card = host.calls.card(wire.name)
    except HostError as error:
        return Finding(
            value=str(error), wanted="up", severity=Severity.FAIL, mend="name another in venue.live.interface"
        )
    shown = "up" if card.is_up and card.has_carrier else "no carrier" if card.is_up else "down"
    return judge(
        shown == "up", shown, "up", otherwise=Severity.FAIL, mend=f"ip link set {wire.name} up; look at the cable"
    )


@check(
    "driver",
    about="wire",
    why="drivers' own XDP modes have crashed hosts: begin with generic",
    source="Firedancer networking guide; Firedancer PR 7323",
)
def driver(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for a driver that is known to work as near as the configuration goes."""
    found = host.calls.card(wire.name).driver
    if found is None:
        raise AbsentError("it tells no driver")
    is_near = wire.ring == "af_xdp" and wire.require in ("native", "zerocopy")
    good = found in KNOWN_DRIVERS or (found == VETH and wire.require != "zerocopy")
    return judge(
        good,
        found,
        f"one of {', '.join(KNOWN_DRIVERS)}",
        otherwise=Severity.WARN if is_near else Severity.INFO,
        mend='set require = "generic", or try this driver before trading on it',
    )


@check(
    "XDP program",
    about="wire",
    why="an interface takes one program; ours would be refused",
    source="bpf-link, `bpftool net`",
)
def program(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for no program of somebody else's."""
    found = host.calls.card(wire.name).program
    return judge(
        found == 0,
        f"program {found}" if found else "none",
        "none before the engine's",
        otherwise=Severity.FAIL if wire.ring == "af_xdp" else Severity.INFO,
        mend=f"end the run that has it, or: ip link set {wire.name} xdp off",
    )


def _queues(card: Card) -> int:
    words = group_of(card, "channels")
    return words["combined"] + words["rx"]


@check("queues", about="wire", why="a ring has one queue: what arrives on another one is not seen", source=_CHANNELS)
def queues(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for one queue, or for our flow on the ring's."""
    card = host.calls.card(wire.name)
    words = group_of(card, "channels")
    found = _queues(card)
    if wire.ring == "af_xdp" and wire.queue >= found:
        return Finding(
            value=f"{found}, and the ring on {wire.queue}",
            wanted=f"more than {wire.queue}",
            severity=Severity.FAIL,
            mend=f"set venue.live.queue to at most {found - 1}",
        )
    steered = wire.steers or _is_steered(card, wire) or card.spread == (wire.queue,)
    matters = wire.ring == "af_xdp" or not plan.is_configured
    name = "combined" if words["combined"] else "rx"
    return judge(
        found == 1 or steered or not matters,
        f"{found}{', steered' if steered and found > 1 else ''}",
        "1, or our groups on one",
        changes=[set_word(wire.name, "channels", name, 1, wire.namespace)],
    )


def _is_steered(card: Card, wire: Wire) -> bool:
    """Tell whether rules bring every group to the ring's queue."""
    rules = {(rule.ip, rule.port) for rule in card.rules or () if rule.queue == wire.queue}
    return bool(wire.groups) and all({(ip, port), (0, port), (ip, 0)} & rules for ip, port in wire.groups)


@check(
    "flow steering",
    about="wire",
    why="receive-side scaling puts each group on any queue",
    source=f"common practice; {_CHANNELS}",
)
def steering(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for ntuple filters, and for a rule for each group, where there are several queues."""
    card = host.calls.card(wire.name)
    try:
        found = _queues(card)
    except AbsentError:
        found = 1
    if found == 1:
        return judge(True, "one queue", "one queue, or on")
    feature = card.features.get("rx-ntuple-filter")
    if feature is None or (feature.is_fixed and not feature.is_on):
        return judge(False, "the card has none", "one queue, or on", otherwise=Severity.INFO, mend="use one queue")
    if not feature.is_on:
        changes = [set_feature(wire.name, "rx-ntuple-filter", True, wire.namespace)]
        return judge(False, "off", "on", changes=changes)
    is_done = wire.steers or _is_steered(card, wire)
    count = len(card.rules or ())
    return judge(
        is_done or not wire.groups,
        f"on, {count} rules",
        "on, a rule for each group",
        mend="set venue.live.flow_steering = true",
    )


@check("rings", about="wire", why="short ones lose bursts, long ones fall out of the cache", source=_RINGS)
def rings(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for a receive ring of moderate length."""
    words = group_of(host.calls.card(wire.name), "rings")
    found, most = words["rx"], words["rx-max"]
    low, high = min(RING_MIN, most), min(RING_MAX, most)
    wanted = low if found < low else high
    return judge(
        low <= found <= high,
        f"{found} of {most}",
        f"{low} to {high}" if low < high else str(high),
        changes=[set_word(wire.name, "rings", "rx", wanted, wire.namespace)],
    )


@check("coalescing", about="wire", why="the card waits for more frames before it tells of the first", source=_RINGS)
def coalescing(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for receive interrupts at once."""
    words = group_of(host.calls.card(wire.name), "coalescing")
    wrong = [name for name in ("adaptive-rx", "rx-usecs") if words[name]]
    shown = f"{words['rx-usecs']} us{', adaptive' if words['adaptive-rx'] else ''}"
    if wrong and wire.sets_coalescing:
        return judge(True, f"{shown}; live sets it", "0 us, not adaptive")
    changes = [set_word(wire.name, "coalescing", name, 0, wire.namespace) for name in wrong]
    return judge(not wrong, shown, "0 us, not adaptive", changes=changes)


def _feature_off(host: Host, wire: Wire, name: str) -> Finding:
    feature = host.calls.card(wire.name).features.get(name)
    if feature is None:
        raise AbsentError(f"the driver has no {name}")
    if feature.is_on and feature.is_fixed:
        return judge(False, "on, fixed", "off", otherwise=Severity.INFO, mend="the driver keeps it on: another card")
    changes = [set_feature(wire.name, name, False, wire.namespace)]
    return judge(not feature.is_on, "on" if feature.is_on else "off", "off", changes=changes)


@check(
    "receive offload (gro)",
    about="wire",
    why="packets of one flow wait for each other and become one",
    source=_OFFLOADS,
)
def generic_receive(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for it to be off."""
    return _feature_off(host, wire, "rx-gro")


@check(
    "large receive offload (lro)",
    about="wire",
    why="the card merges segments: what a ring sees is no longer what was sent",
    source=_OFFLOADS,
)
def large_receive(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for it to be off."""
    return _feature_off(host, wire, "rx-lro")


@check("hardware receive offload", about="wire", why="the card merges packets of one flow", source=_OFFLOADS)
def hardware_receive(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for it to be off."""
    return _feature_off(host, wire, "rx-gro-hw")


@check("UDP receive offload", about="wire", why="datagrams of one flow are chained into one", source=_OFFLOADS)
def datagram_receive(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for it to be off."""
    return _feature_off(host, wire, "rx-udp-gro-forwarding")


@check(
    "VLAN offload",
    about="wire",
    why="the card takes the tag out of the frame, so that no program sees it",
    source=_OFFLOADS,
)
def vlan(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for it to be off."""
    return _feature_off(host, wire, "rx-vlan-hw-parse")


def _unsummed(card: Card, interface: str, namespace: str) -> list[Change]:
    return [
        set_feature(interface, name, False, namespace)
        for name in CHECKSUMS
        if (feature := card.features.get(name)) is not None and feature.is_on and not feature.is_fixed
    ]


def _far_unsummed(host: Host, looked_in: str, interface: str, namespace: str) -> list[Change]:
    """Look at the far end of a veth, which may be in another namespace; one that can't be found is none of ours."""
    try:
        with host_inside(host, looked_in) as there:
            return _unsummed(there.calls.card(interface), interface, namespace)
    except HostError:
        return []


@check(
    "checksums of a veth",
    about="wire",
    why="no card fills them in: AF_XDP sees the pseudo-header's sum only (2062 of 2062 frames), which is damage to it",
    source="nic/host/testbed.py, measured",
)
def checksums(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask both ends of a veth to fill in their checksums themselves."""
    card = host.calls.card(wire.name)
    if card.driver != VETH:
        raise AbsentError("it is no veth: the card fills in checksums")
    changes = _unsummed(card, wire.name, wire.namespace)
    ends = [f"{wire.name} on"] if changes else []
    namespace, far = wire.far or (wire.namespace, card.peer)
    if far:
        others = _far_unsummed(host, namespace if wire.far else "", far, namespace)
        ends += [f"{far} on"] if others else []
        changes += others
    matters = wire.ring in ("af_xdp", "")
    return judge(
        not changes,
        ", ".join(ends) or "off",
        "off at both ends",
        otherwise=Severity.FAIL if wire.ring == "af_xdp" else Severity.WARN if matters else Severity.INFO,
        changes=changes,
    )


@check(
    "pause frames",
    about="wire",
    why="a switch or card that is told to pause holds back orders and market data",
    source="ethtool(8), -a",
)
def pause(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for none, either way."""
    words = group_of(host.calls.card(wire.name), "pause")
    wrong = [name for name in ("autoneg", "rx", "tx") if words[name]]
    changes = [set_word(wire.name, "pause", name, 0, wire.namespace) for name in wrong]
    return judge(not words["rx"] and not words["tx"], ", ".join(wrong) or "off", "off", changes=changes)


@check(
    "interrupt deferral",
    about="wire",
    why="a busy-polled queue wants its interrupts late, any other at once",
    source=_BUSY,
)
def deferral(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for deferred interrupts with busy polling, and for none without it."""
    names = ("napi_defer_hard_irqs", "gro_flush_timeout")
    paths = [f"/sys/class/net/{wire.name}/{name}" for name in names]
    found = [host.number(path) for path in paths]
    shown = f"{found[0]} / {found[1]}"
    if wire.busy_poll_us and host.calls.card(wire.name).driver == VETH:
        return judge(False, "a veth has no NAPI to poll", "busy_poll_us = 0", mend="set venue.live.busy_poll_us = 0")
    wanted = (DEFER_IRQS, FLUSH_NS) if wire.busy_poll_us else (0, 0)
    is_good = all(found) if wire.busy_poll_us else not any(found)
    changes = [
        set_file(path, each, wire.namespace)
        for path, each, now in zip(paths, wanted, found, strict=True)
        if (now == 0) == bool(wire.busy_poll_us)
    ]
    return judge(is_good, shown, f"{wanted[0]} / {wanted[1]}{' or more' if wire.busy_poll_us else ''}", changes=changes)


@check("socket busy poll", why="sockets that nobody asked to poll would burn their readers' cores", source=_BUSY)
def socket_busy_poll(host: Host, plan: Plan) -> Finding:
    """Ask for no busy polling of all sockets: the rings ask for their own."""
    paths = [f"/proc/sys/net/core/{name}" for name in ("busy_poll", "busy_read")]
    found = [host.number(path) for path in paths]
    wrong = [set_file(path, 0) for path, each in zip(paths, found, strict=True) if each]
    shown, wanted = f"{found[0]} / {found[1]} us", "0 / 0; rings set busy_poll_us"
    return judge(not wrong, shown, wanted, otherwise=Severity.INFO, changes=wrong)


@check(
    "reverse path filter",
    about="wire",
    why="it drops multicast whose source is routed elsewhere, without a word",
    source="docs.kernel.org/networking/ip-sysctl",
)
def reverse_path(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for no filter; the stricter of the interface's and of all counts."""
    base = "/proc/sys/net/ipv4/conf"
    paths = [f"{base}/all/rp_filter", f"{base}/{wire.name}/rp_filter"]
    found = [host.number(path) for path in paths]
    changes = [set_file(path, 0, wire.namespace) for path, each in zip(paths, found, strict=True) if each]
    names = ("off", "strict", "loose")
    shown = names[max(found)] if max(found) < len(names) else str(max(found))
    return judge(not changes, shown, "off", changes=changes)


@check(
    "neighbour",
    about="wire",
    why="an entry that grows old is asked for again while orders wait",
    source="ip-neighbour(8)",
)
def neighbour(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for every gateway's Ethernet address to be known, and to stay so."""
    if not wire.gateways:
        raise AbsentError("no gateway without gateway_mac is configured")
    shown, changes, worst = [], [], Severity.OK
    for ip in wire.gateways:
        found = host.calls.neighbour(wire.name, ip)
        state = "unknown" if found is None else state_name(found.state)
        shown.append(f"{ip_text(ip)} {state}")
        if found is not None and found.state in (NUD_REACHABLE, NUD_PERMANENT):
            continue
        worst = Severity.FAIL if worst is Severity.FAIL or (found and found.state == NUD_FAILED) else Severity.WARN
        if found is not None and found.mac:
            changes.append(keep_neighbour(wire.name, ip, found.mac, wire.namespace))
    return judge(
        worst is Severity.OK,
        ", ".join(shown),
        "reachable or permanent",
        otherwise=worst,
        mend="reach the gateway once (ping), then make it permanent, or set venue.live.gateway_mac",
        changes=changes,
    )
