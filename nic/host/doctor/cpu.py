"""Checks of the processors: that the loop's core is the loop's alone, awake and at speed."""

import re

from crosswire.nic.host.doctor.check import Finding, Jitter, Plan, Severity, check, judge
from crosswire.nic.host.doctor.host import AbsentError, Host
from crosswire.nic.host.doctor.lists import cpus_text, mask_text, parse_cpus, parse_mask
from crosswire.nic.host.doctor.setting import set_file

CPUS = "/sys/devices/system/cpu"
IDLE_LATENCY_US_MAX = 1  # of waking from an idle state that may stay allowed
HOLES_OVER_5_US_MAX = 10  # a second
_KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD, in the flags of /proc/PID/stat
_RIGTORP = "rigtorp.se/low-latency-guide"
_FIREDANCER = "Firedancer, src/app/shared/commands/configure"


def online(host: Host) -> frozenset[int]:
    """List the processors that are there."""
    return parse_cpus(host.need(f"{CPUS}/online"))


def housekeeping(host: Host, cores: frozenset[int]) -> frozenset[int]:
    """List the processors that are left for everything else. AbsentError: none."""
    rest = online(host) - cores
    if not rest:
        raise AbsentError(f"no processor is left beside {cpus_text(cores)}")
    return rest


def boot_list(host: Host, parameter: str) -> frozenset[int]:
    """Read a list of processors of the kernel's command line; it may stand there behind flags."""
    found = re.search(rf"(?:^|\s){parameter}=(\S*)", host.need("/proc/cmdline"))
    parts = found[1].split(",") if found else []
    if "all" in parts:
        return online(host)
    return parse_cpus(",".join(part for part in parts if part[:1].isdigit()))


def wanted_cores(host: Host, plan: Plan) -> tuple[frozenset[int], str]:
    """Tell which cores a boot parameter should name, and how that is said."""
    if plan.core is None:
        return frozenset(), "the loop's core"
    return frozenset({plan.core}), str(plan.core)


def boot_parameters(host: Host, plan: Plan) -> str:
    """Say what is to be added to the kernel's command line."""
    core = "N" if plan.core is None else plan.core
    return f"boot with isolcpus=managed_irq,domain,{core} nohz_full={core} rcu_nocbs={core}"


@check(
    "loop's core",
    why="a loop that can't be pinned where it is configured does not start",
    source="sched_setaffinity(2)",
)
def loop_core(host: Host, plan: Plan) -> Finding:
    """Ask whether the loop can be pinned."""
    if plan.core is None:
        raise AbsentError("no core is known: name a configuration")
    usable = online(host) & host.calls.affinity()
    return judge(
        plan.core in usable,
        f"{plan.core} of {cpus_text(usable)}",
        f"one of {cpus_text(usable)}",
        otherwise=Severity.FAIL,
        mend=f"set live.core to one of {cpus_text(usable)}, or start with another affinity (taskset -c)",
    )


@check(
    "isolated cores",
    why="the scheduler puts other tasks on a core that is not isolated, each for milliseconds",
    source=f"kernel-internals.org/sched/rt-tuning; {_RIGTORP}",
)
def isolated(host: Host, plan: Plan) -> Finding:
    """Ask for isolcpus."""
    found = parse_cpus(host.need(f"{CPUS}/isolated"))
    cores, wanted = wanted_cores(host, plan)
    return judge(bool(found) and cores <= found, cpus_text(found), wanted, mend=boot_parameters(host, plan))


@check(
    "tick",
    why="the timer interrupts a core that is not in nohz_full 100 to 1000 times a second",
    source=f"docs.kernel.org/timers/no_hz; {_FIREDANCER}/nohz-full.c",
)
def tick(host: Host, plan: Plan) -> Finding:
    """Ask for nohz_full."""
    text = host.text(f"{CPUS}/nohz_full")
    found = boot_list(host, "nohz_full") if text is None else parse_cpus(text)
    cores, wanted = wanted_cores(host, plan)
    return judge(bool(found) and cores <= found, cpus_text(found), wanted, mend=boot_parameters(host, plan))


@check(
    "RCU callbacks",
    why="the kernel frees memory in callbacks on the core itself unless rcu_nocbs moves them away",
    source=f"docs.kernel.org/timers/no_hz; {_FIREDANCER}/rcu-nocbs.c",
)
def rcu_callbacks(host: Host, plan: Plan) -> Finding:
    """Ask for rcu_nocbs; nohz_full implies it."""
    found = boot_list(host, "rcu_nocbs") | boot_list(host, "nohz_full")
    cores, wanted = wanted_cores(host, plan)
    return judge(bool(found) and cores <= found, cpus_text(found), wanted, mend=boot_parameters(host, plan))


@check(
    "tasks on the core",
    why="a second task that may run on the loop's core takes it away for whole time slices",
    source="sched(7); proc_pid_status(5)",
    is_slow=True,
)
def tasks(host: Host, plan: Plan) -> Finding:
    """Count the processes that may run on the core."""
    cores = plan.cores(host)
    names = []
    for path in host.paths("/proc/[0-9]*/status"):
        status, stat = host.text(path), host.text(path.removesuffix("us"))
        allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)", status or "", re.MULTILINE)
        # The flags are the seventh field behind the name, which may hold anything but ends with the last bracket.
        fields = (stat or "").rpartition(")")[2].split()
        if allowed is None or len(fields) < 7 or int(fields[6]) & _KERNEL_THREAD:
            continue
        if parse_cpus(allowed[1]) & cores:
            names.append((status or "").partition("\n")[0].removeprefix("Name:").strip())
    shown = f"{len(names)}: {', '.join(sorted(set(names))[:3])}" if names else "0"
    return judge(
        not names,
        shown,
        f"0 that may run on {cpus_text(cores)}",
        mend="isolate the core, or keep others off it: AllowedCPUs= of system.slice and user.slice (systemd)",
    )


@check(
    "work queues",
    why="kernel workers run on every core that their mask has",
    source=f"{_FIREDANCER}/kworkers.c; kernel-per-CPU-kthreads.rst",
)
def work_queues(host: Host, plan: Plan) -> Finding:
    """Ask for a mask without the core."""
    path = "/sys/devices/virtual/workqueue/cpumask"
    found, cores = parse_mask(host.need(path)), plan.cores(host)
    rest = housekeeping(host, cores)
    return judge(not found & cores, cpus_text(found), cpus_text(rest), changes=[set_file(path, mask_text(rest))])


@check(
    "idle states",
    why="a core takes 10 to 200 us to wake from deep sleep; the loop's never sleeps, those that serve the card do",
    source=f"redno2 guide; {_RIGTORP}",
)
def idle_states(host: Host, plan: Plan) -> Finding:
    """Ask for no idle state that is slow to wake from, or for a held /dev/cpu_dma_latency."""
    try:
        held_us = host.raw_number("/dev/cpu_dma_latency")
    except AbsentError:
        held_us = IDLE_LATENCY_US_MAX + 1
    cores = frozenset({plan.core}) if plan.core is not None else online(host)
    patterns = [f"{CPUS}/cpu{core}/cpuidle/state*/latency" for core in sorted(cores)]
    places = [path.removesuffix("/latency") for pattern in patterns for path in host.paths(pattern)]
    if not places:
        raise AbsentError("this host has no cpuidle states")
    deep = [
        place
        for place in places
        if host.number(f"{place}/latency") > IDLE_LATENCY_US_MAX and host.text(f"{place}/disable") == "0"
    ]
    names = sorted({host.text(f"{place}/name") or place.rpartition("/")[2] for place in deep})
    return judge(
        not deep or held_us <= IDLE_LATENCY_US_MAX,
        ", ".join(names) or "none deep",
        f"none above {IDLE_LATENCY_US_MAX} us",
        changes=[set_file(f"{place}/disable", 1) for place in deep],
    )


@check("frequency governor", why="other governors let the frequency fall, and raise it too late", source=_RIGTORP)
def governor(host: Host, plan: Plan) -> Finding:
    """Ask for the governor `performance`."""
    cores = frozenset({plan.core}) if plan.core is not None else online(host)
    paths = [f"{CPUS}/cpu{core}/cpufreq/scaling_governor" for core in sorted(cores)]
    found = {path: text for path in paths if (text := host.text(path)) is not None}
    if not found:
        raise AbsentError(f"this host has no {paths[0]}")
    wrong = [path for path, text in found.items() if text != "performance"]
    shown = ", ".join(sorted(set(found.values())))
    return judge(not wrong, shown, "performance", changes=[set_file(path, "performance") for path in wrong])


@check("turbo", why="a frequency that depends on what the other cores do makes latency depend on it", source=_RIGTORP)
def turbo(host: Host, plan: Plan) -> Finding:
    """Ask whether the frequency is fixed; either is a choice."""
    intel, other = f"{CPUS}/intel_pstate/no_turbo", f"{CPUS}/cpufreq/boost"
    if host.text(intel) is not None:
        is_on, change = host.number(intel) == 0, set_file(intel, 1)
    else:
        is_on, change = host.number(other) == 1, set_file(other, 0)
    return judge(not is_on, "on" if is_on else "off", "off, or a decision", otherwise=Severity.INFO, changes=[change])


@check("SMT", why="a sibling thread shares the core's caches and units", source=f"{_RIGTORP}; {_FIREDANCER}")
def smt(host: Host, plan: Plan) -> Finding:
    """Ask for SMT to be off, or the siblings of the core offline."""
    if host.number(f"{CPUS}/smt/active") == 0:
        return judge(True, "off", "off")
    cores = plan.cores(host)
    siblings: set[int] = set()
    for core in cores:
        siblings |= parse_cpus(host.need(f"{CPUS}/cpu{core}/topology/thread_siblings_list")) - cores
    # Processor 0 often can't be taken offline: then the file is not there, and SMT is switched off at boot.
    changes = [set_file(f"{CPUS}/cpu{each}/online", 0) for each in sorted(siblings)]
    movable = all(host.text(each.setting.place) is not None for each in changes)
    return judge(
        not siblings,
        f"on; siblings {cpus_text(siblings)}" if siblings else "on; the siblings are offline, or the loop's own",
        "off, or its siblings offline",
        mend="boot with nosmt",
        changes=changes if movable else (),
    )


@check(
    "mitigations",
    why="each system call pays for them: a decision, so it is only told",
    source="docs.kernel.org/hw-vuln",
)
def mitigations(host: Host, plan: Plan) -> Finding:
    """Tell how many vulnerabilities are mitigated."""
    paths = host.paths(f"{CPUS}/vulnerabilities/*")
    if not paths:
        raise AbsentError(f"this host has no {CPUS}/vulnerabilities")
    texts = [host.text(path) or "" for path in paths]
    counts = [sum(text.startswith(word) for text in texts) for word in ("Mitigation", "Vulnerable", "Not affected")]
    shown = f"{counts[0]} mitigated, {counts[1]} open, {counts[2]} not affected"
    return Finding(value=shown, wanted="a decision", severity=Severity.INFO)


@check(
    "steal", why="time that the hypervisor gave to others: no tuning of this host brings it back", source="proc_stat(5)"
)
def steal(host: Host, plan: Plan) -> Finding:
    """Ask for no stolen time since boot."""
    name = "cpu" if plan.core is None else f"cpu{plan.core}"
    for line in host.need("/proc/stat").splitlines():
        fields = line.split()
        if fields[:1] == [name] and len(fields) > 8:
            ticks = int(fields[8])
            return judge(
                ticks == 0, f"{ticks} ticks since boot", "0", mend="use a machine of your own, not a virtual one"
            )
    raise AbsentError(f"/proc/stat has no line {name} with stolen time")


def measured(plan: Plan) -> Jitter:
    """Return the measurement. AbsentError: there was none."""
    if plan.jitter is None:
        raise AbsentError("it takes a measurement: --jitter 3")
    return plan.jitter


_NOISE = "isolate the core and move interrupts off it: see the checks of that name"


@check(
    "holes over 100 us", why="a hole is time in which no frame was read", source=f"{_RIGTORP}: at most 18 us isolated"
)
def long_holes(host: Host, plan: Plan) -> Finding:
    """Ask for no long hole while it was measured."""
    seen = measured(plan)
    shown = f"{seen.over_100_us} in {seen.seconds:g} s, longest {seen.longest_ns / 1000:,.0f} us"
    return judge(seen.over_100_us == 0, shown, "0", mend=_NOISE)


@check("holes over 5 us", why="an interrupt or a context switch is a hole of 2 to 10 us", source=_RIGTORP)
def short_holes(host: Host, plan: Plan) -> Finding:
    """Ask for few short holes while it was measured."""
    seen = measured(plan)
    rate = seen.over_5_us / seen.seconds
    return judge(
        rate < HOLES_OVER_5_US_MAX, f"{rate:.1f} a second", f"under {HOLES_OVER_5_US_MAX} a second", mend=_NOISE
    )


@check("forced switches", why="the scheduler took the core away from the loop", source="getrusage(2), ru_nivcsw")
def switches(host: Host, plan: Plan) -> Finding:
    """Ask for no forced context switch while it was measured."""
    seen = measured(plan)
    return judge(seen.switches == 0, f"{seen.switches} in {seen.seconds:g} s", "0", mend=_NOISE)
