"""Checks of interrupts: that none but the card's own queue comes to the loop's core."""

from crosswire.nic.host.doctor.check import Finding, Plan, check, judge
from crosswire.nic.host.doctor.cpu import housekeeping, measured
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.doctor.lists import cpus_text, mask_text, parse_cpus, parse_mask
from crosswire.nic.host.doctor.setting import set_file

_SOURCE = "Firedancer, configure/irq-affinity.c"
_SHOWN_MAX = 4


def _of_the_cards(host: Host, plan: Plan) -> set[str]:
    """List the interrupts that belong to the interfaces that are looked at."""
    found = set()
    for wire in plan.wires:
        for path in host.paths(f"/sys/class/net/{wire.name}/device/msi_irqs/*"):
            found.add(path.rpartition("/")[2])
    return found


@check("interrupts", why="each interrupt takes the core for 2 to 10 us, and its caches with it", source=_SOURCE)
def affinity(host: Host, plan: Plan) -> Finding:
    """Ask for interrupts to go elsewhere; those of the card's own queues may come."""
    cores = plan.cores(host)
    rest = cpus_text(housekeeping(host, cores))
    own = _of_the_cards(host, plan)
    coming = []
    for path in host.paths("/proc/irq/[0-9]*/effective_affinity_list"):
        number = path.split("/")[3]
        # Where one goes in fact follows what it is allowed only when it comes the next time.
        allowed = host.text(f"/proc/irq/{number}/smp_affinity_list") or host.text(path) or ""
        if number not in own and parse_cpus(host.text(path) or "") & parse_cpus(allowed) & cores:
            coming.append(number)
    more = "" if len(coming) <= _SHOWN_MAX else f", {len(coming) - _SHOWN_MAX} more"
    return judge(
        not coming,
        ", ".join(coming[:_SHOWN_MAX]) + more,
        f"none on {cpus_text(cores)}",
        changes=[set_file(f"/proc/irq/{number}/smp_affinity_list", rest) for number in coming],
    )


@check("default of interrupts", why="where interrupts go that are set up later", source=_SOURCE)
def default_affinity(host: Host, plan: Plan) -> Finding:
    """Ask for a default without the core."""
    path = "/proc/irq/default_smp_affinity"
    found, cores = parse_mask(host.need(path)), plan.cores(host)
    rest = housekeeping(host, cores)
    return judge(not found & cores, cpus_text(found), cpus_text(rest), changes=[set_file(path, mask_text(rest))])


@check(
    "irqbalance",
    why="it moves interrupts back to the loop's core while the engine runs",
    source=f"{_SOURCE}; irqbalance(1)",
    is_slow=True,
)
def balancer(host: Host, plan: Plan) -> Finding:
    """Ask for irqbalance not to run."""
    is_running = "irqbalance" in host.processes()
    return judge(
        not is_running,
        "runs" if is_running else "does not run",
        "does not run",
        mend="systemctl disable --now irqbalance, or name the core in IRQBALANCE_BANNED_CPULIST",
    )


@check("interrupts while measured", why="what came to the core in spite of all affinity", source="proc_interrupts(5)")
def counted(host: Host, plan: Plan) -> Finding:
    """Ask for less than one interrupt a second on the core while it was measured."""
    seen = measured(plan)
    rate = seen.interrupts / seen.seconds
    return judge(
        rate < 1, f"{rate:,.0f} a second", "under 1 a second", mend="nohz_full for the tick, affinity for the others"
    )
