"""Checks of memory: that no page is looked for, moved, merged or fetched while the loop runs."""

from crosswire.nic.host.doctor.check import Finding, Plan, Severity, Wire, check, judge
from crosswire.nic.host.doctor.cpu import measured
from crosswire.nic.host.doctor.host import AbsentError, Host, chosen
from crosswire.nic.host.doctor.lists import parse_cpus
from crosswire.nic.host.doctor.setting import set_file
from crosswire.nic.host.process import CAPABILITIES

_RIGTORP = "rigtorp.se/low-latency-guide"
_HUGE = "/sys/kernel/mm/transparent_hugepage"
_PAGE_BYTES = 1 << 21
_QUIET_DEFRAG = ("never", "madvise", "defer", "defer+madvise")


@check("transparent huge pages", why="with `always` khugepaged moves memory that is in use", source=_RIGTORP)
def transparent(host: Host, plan: Plan) -> Finding:
    """Ask for them only where they are asked for."""
    found = chosen(host.need(f"{_HUGE}/enabled"))
    changes = [set_file(f"{_HUGE}/enabled", "madvise")]
    return judge(found in ("never", "madvise"), found, "never or madvise", changes=changes)


@check("huge page compaction", why="with `always` whoever touches a page first waits for compaction", source=_RIGTORP)
def defrag(host: Host, plan: Plan) -> Finding:
    """Ask for no compaction of what did not ask for it."""
    found = chosen(host.need(f"{_HUGE}/defrag"))
    return judge(found in _QUIET_DEFRAG, found, "not always", changes=[set_file(f"{_HUGE}/defrag", "madvise")])


@check("page merging", why="ksmd unmaps pages to compare them; the next write faults", source=_RIGTORP)
def merging(host: Host, plan: Plan) -> Finding:
    """Ask for no same-page merging."""
    path = "/sys/kernel/mm/ksm/run"
    found = host.number(path)
    return judge(found in (0, 2), found, "0", changes=[set_file(path, 0)])


@check("NUMA balancing", why="it unmaps pages to see who uses them: faults in the loop", source=_RIGTORP)
def balancing(host: Host, plan: Plan) -> Finding:
    """Ask for no balancing."""
    path = "/proc/sys/kernel/numa_balancing"
    found = host.number(path)
    return judge(found == 0, found, "0", changes=[set_file(path, 0)])


def node_of(host: Host, plan: Plan) -> int | None:
    """Tell the NUMA node of the loop's core; None: it is not known, or there is only one."""
    for path in host.paths("/sys/devices/system/node/node[0-9]*/cpulist"):
        if plan.core is not None and plan.core in parse_cpus(host.text(path) or ""):
            return int(path.split("/")[5].removeprefix("node"))
    return None


@check(
    "huge pages",
    why="a ring in pages of 4 KB misses the TLB; without reserved ones it takes transparent ones, if there are any",
    source="Firedancer, configure/hugetlbfs.c; docs.kernel.org/admin-guide/mm/hugetlbpage",
)
def reserved(host: Host, plan: Plan) -> Finding:
    """Ask for as many free ones as the rings take, on the core's node."""
    node = node_of(host, plan)
    places = [f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"] if node is not None else []
    places += ["/sys/kernel/mm/hugepages/hugepages-2048kB"]
    place = next((each for each in places if host.text(f"{each}/nr_hugepages") is not None), places[-1])
    total, free = host.number(f"{place}/nr_hugepages"), host.number(f"{place}/free_hugepages")
    needed = sum(-(-wire.memory_bytes // _PAGE_BYTES) for wire in plan.wires)
    where = f" on node {node}" if node is not None and place == places[0] else ""
    if not plan.is_configured:
        return Finding(value=f"{free} of {total} free", wanted="enough for the rings", severity=Severity.INFO)
    return judge(
        free >= needed,
        f"{free} of {total} free{where}",
        f"{needed} free",
        changes=[set_file(f"{place}/nr_hugepages", total + needed - free)],
    )


@check("swap", why="a page that was swapped out is read from the disk", source="swapoff(8)")
def swap(host: Host, plan: Plan) -> Finding:
    """Ask for none."""
    places = [line.split()[0] for line in host.need("/proc/swaps").splitlines()[1:] if line.strip()]
    return judge(not places, ", ".join(places), "none", mend="swapoff -a, and no swap in /etc/fstab")


@check(
    "locked memory",
    why="with lock_memory all memory stays resident, and a ring's is accounted; the limit refuses that",
    source="mlockall(2); docs.kernel.org/networking/af_xdp",
)
def locked(host: Host, plan: Plan) -> Finding:
    """Ask for no limit, or for the capability that has none."""
    limits = host.need("/proc/self/limits")
    line = next((each for each in limits.splitlines() if each.startswith("Max locked memory")), "")
    fields = line.removeprefix("Max locked memory").split()
    if not fields:
        raise AbsentError("/proc/self/limits has no line of locked memory")
    if plan.is_configured and not plan.locks_memory:
        return judge(False, "not asked for", "lock_memory", mend="set live.lock_memory = true")
    is_free = bool(host.calls.capabilities() >> CAPABILITIES["CAP_IPC_LOCK"] & 1)
    shown = fields[0] if fields[0] == "unlimited" else f"{int(fields[0]) >> 10:,} KiB"
    return judge(
        fields[0] == "unlimited" or is_free,
        f"{shown}{', but CAP_IPC_LOCK' if is_free else ''}",
        "unlimited, or CAP_IPC_LOCK",
        otherwise=Severity.FAIL if plan.locks_memory else Severity.WARN,
        mend="LimitMEMLOCK=infinity in the unit, or memlock unlimited in /etc/security/limits.conf",
    )


@check(
    "NUMA node", about="wire", why="a frame that crosses nodes takes 100 ns and more longer", source="aeron-tuning.com"
)
def same_node(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for the card on the core's node."""
    card = host.number(f"/sys/class/net/{wire.name}/device/numa_node")
    if card < 0 or not host.paths("/sys/devices/system/node/node[1-9]*"):
        return judge(True, "one node", "one, or the core's")
    node = node_of(host, plan)
    if node is None:
        raise AbsentError(f"no core is known: name a configuration; the card is on node {card}")
    cores = host.text(f"/sys/devices/system/node/node{card}/cpulist") or ""
    return judge(card == node, f"card {card}, core {node}", "the same", mend=f"set live.core to one of {cores}")


@check("page faults", why="a page fault costs more than a whole trade", source="getrusage(2), ru_minflt")
def faults(host: Host, plan: Plan) -> Finding:
    """Ask for none while it was measured."""
    seen = measured(plan)
    return judge(seen.faults == 0, f"{seen.faults} in {seen.seconds:g} s", "0", mend="set live.lock_memory = true")
