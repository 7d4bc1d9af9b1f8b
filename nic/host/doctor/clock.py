"""Checks of clocks: that the counter the loop reads is one, and that the host's clock has one master."""

from crosswire.nic.host.doctor.check import Finding, Plan, Severity, Wire, check, judge
from crosswire.nic.host.doctor.host import AbsentError, Host
from crosswire.nic.host.doctor.setting import set_file

_SOURCES = "/sys/devices/system/clocksource/clocksource0"
_GUIDE = "redno2 guide"
_STAMPS = "NVIDIA MLNX_EN, time-stamping; docs.kernel.org/networking/timestamping"
OFFSET_NS_MAX = 1_000
# Those that set the host's clock. ptp4l sets a card's, and phc2sys the host's from that.
MASTERS = ("chronyd", "ntpd", "openntpd", "phc2sys", "systemd-timesyn", "systemd-timesyncd", "timemaster")


@check("clock source", why="with any other the host's clock costs a system call or a trap to read", source=_GUIDE)
def clock_source(host: Host, plan: Plan) -> Finding:
    """Ask for the time-stamp counter."""
    found = host.need(f"{_SOURCES}/current_clocksource")
    # What the kernel has marked unstable is no longer in the list, and can't be chosen.
    has_it = "tsc" in host.need(f"{_SOURCES}/available_clocksource").split()
    changes = [set_file(f"{_SOURCES}/current_clocksource", "tsc")] if has_it else []
    return judge(found == "tsc", found, "tsc", mend="boot with tsc=reliable clocksource=tsc", changes=changes)


@check(
    "time-stamp counter",
    why="the loop's clock is this counter: it must run at one rate, and in deep sleep too",
    source=f"{_GUIDE}; Intel SDM vol. 3, invariant TSC",
)
def counter(host: Host, plan: Plan) -> Finding:
    """Ask for an invariant counter."""
    lines = host.need("/proc/cpuinfo").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    missing = [flag for flag in ("constant_tsc", "nonstop_tsc") if flag not in flags]
    return judge(
        not missing,
        f"not {' nor '.join(missing)}" if missing else "constant, does not stop",
        "constant_tsc nonstop_tsc",
        otherwise=Severity.FAIL,
        mend="use another processor, or have the hypervisor show its invariant TSC",
    )


@check(
    "clock offset",
    why="feed latency, stale books and order times are only as good as the host's clock",
    source="adjtimex(2)",
)
def offset(host: Host, plan: Plan) -> Finding:
    """Ask for a clock that is kept, within a microsecond."""
    found = host.calls.discipline()
    shown = f"{found.offset_ns:+,} ns, error {found.error_ns:,} ns" if found.is_synchronised else "not synchronised"
    return judge(
        found.is_synchronised and abs(found.offset_ns) < OFFSET_NS_MAX,
        shown,
        f"within {OFFSET_NS_MAX:,} ns",
        mend="run ptp4l and phc2sys where the venue or colocation gives PTP, else chronyd",
    )


@check("time masters", why="two that set one clock pull it to and fro", source=_STAMPS, is_slow=True)
def masters(host: Host, plan: Plan) -> Finding:
    """Ask for exactly one program that sets the host's clock."""
    found = sorted(set(MASTERS) & set(host.processes()))
    if not found:
        return judge(False, "none", "one", mend="run one of phc2sys (with ptp4l) and chronyd")
    return judge(
        len(found) == 1, ", ".join(found), "one", mend=f"stop all but one: systemctl disable --now {found[-1]}"
    )


@check(
    "hardware timestamps",
    about="wire",
    why="the card's stamp of a frame has no jitter of the host's in it",
    source=_STAMPS,
)
def stamps(host: Host, plan: Plan, wire: Wire) -> Finding:
    """Ask for a card with a clock that stamps every received frame."""
    found = host.calls.card(wire.name).stamps
    if found is None:
        raise AbsentError("the driver tells no timestamping")
    return judge(
        not found.lacks,
        found.lacks[0] if found.lacks else f"PHC {found.clock}, all frames",
        "PHC, all frames",
        otherwise=Severity.INFO,
        mend="take a card that stamps in hardware; stamps are the kernel's, or made at the poll, without one",
    )
