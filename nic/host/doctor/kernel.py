"""Checks of the kernel's settings: what it does on every core now and then, and what it lets a ring do."""

import re

from crosswire.nic.host.doctor.check import Finding, Plan, Severity, check, judge
from crosswire.nic.host.doctor.host import AbsentError, Host
from crosswire.nic.host.doctor.setting import set_file
from crosswire.nic.host.process import CAPABILITIES

_PRACTICE = "common practice; no source read"
STAT_INTERVAL_S_MIN = 10


def _zero(host: Host, path: str) -> Finding:
    found = host.number(path)
    return judge(found == 0, found, "0", changes=[set_file(path, 0)])


@check(
    "real-time throttling",
    why="950000 stops a thread that spins under FIFO for 50 ms of every second (seen as a gap of 39 ms)",
    source="sched(7)",
)
def throttling(host: Host, plan: Plan) -> Finding:
    """Ask for no throttling where the loop is scheduled FIFO."""
    path = "/proc/sys/kernel/sched_rt_runtime_us"
    found = host.number(path)
    return judge(
        found == -1 or (plan.is_configured and not plan.is_fifo),
        found,
        "-1 with FIFO",
        otherwise=Severity.FAIL if plan.is_fifo else Severity.INFO,
        changes=[set_file(path, -1)],
    )


@check("watchdog", why="its thread and timer run on every core", source=_PRACTICE)
def watchdog(host: Host, plan: Plan) -> Finding:
    """Ask for no watchdog."""
    return _zero(host, "/proc/sys/kernel/watchdog")


@check("NMI watchdog", why="an interrupt that can't be masked, on every core", source=_PRACTICE)
def nmi_watchdog(host: Host, plan: Plan) -> Finding:
    """Ask for no NMI watchdog."""
    return _zero(host, "/proc/sys/kernel/nmi_watchdog")


@check("timer migration", why="timers of idle cores move to busy ones, as the loop's is", source=_PRACTICE)
def timer_migration(host: Host, plan: Plan) -> Finding:
    """Ask for timers to stay where they are."""
    return _zero(host, "/proc/sys/kernel/timer_migration")


@check("statistics interval", why="every core adds up its memory statistics at this interval", source=_PRACTICE)
def statistics(host: Host, plan: Plan) -> Finding:
    """Ask for a long interval."""
    path = "/proc/sys/vm/stat_interval"
    found, wanted = host.number(path), STAT_INTERVAL_S_MIN
    return judge(found >= wanted, f"{found} s", f"{wanted} s or more", changes=[set_file(path, wanted)])


@check(
    "kernel",
    why="busy polling was broken for AF_XDP in 6.13 and 6.14",
    source='bpf-examples issue 138; "xsk: Bring back busy polling support", January 2025',
)
def version(host: Host, plan: Plan) -> Finding:
    """Ask for a kernel that is not known to be bad where the rings are busy-polled."""
    release = host.calls.release()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    is_bad = numbers is not None and numbers.groups() in (("6", "13"), ("6", "14"))
    is_used = any(wire.busy_poll_us for wire in plan.wires)
    return judge(
        not is_bad,
        release,
        "not 6.13 or 6.14 with busy_poll_us",
        otherwise=Severity.WARN if is_used else Severity.INFO,
        mend="set busy_poll_us = 0, or take another kernel",
    )


@check(
    "BPF compiler",
    why="an XDP program that is interpreted costs each frame",
    source="docs.kernel.org/admin-guide/sysctl/net",
)
def bpf_compiler(host: Host, plan: Plan) -> Finding:
    """Ask for the just-in-time compiler."""
    path = "/proc/sys/net/core/bpf_jit_enable"
    found = host.text(path)
    if found is None:  # a kernel that always compiles has no such file, nor has a namespace
        raise AbsentError(f"this host has no {path}")
    return judge(found == "1", found, "1", changes=[set_file(path, 1)])


@check(
    "BPF hardening",
    why="2 blinds the constants of root's programs too, 1 those of others: slower code",
    source="bpf(2)",
)
def bpf_hardening(host: Host, plan: Plan) -> Finding:
    """Ask for programs as they are."""
    return _zero(host, "/proc/sys/net/core/bpf_jit_harden")


@check("capabilities", why="without them the rings that are configured can't be opened", source="capabilities(7)")
def capabilities(host: Host, plan: Plan) -> Finding:
    """Ask for what the configuration needs."""
    held = host.calls.capabilities()
    names = plan.capabilities or ("CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_SYS_NICE")
    missing = [name for name in names if not held >> CAPABILITIES[name] & 1]
    return judge(
        not missing,
        f"without {', '.join(missing)}" if missing else "all that are needed",
        ", ".join(each.removeprefix("CAP_") for each in names),
        otherwise=Severity.FAIL if plan.is_configured else Severity.INFO,
        mend="run as root, or setcap them on the interpreter",
    )
