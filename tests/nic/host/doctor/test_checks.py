"""Every check of the host against made-up files: what is well, what is not, and what this host does not have."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.host.doctor.check import Check, Jitter, Plan, Severity, Wire, ask
from crosswire.nic.host.doctor.examine import questions
from crosswire.nic.host.doctor.host import Discipline
from crosswire.nic.host.doctor.setting import PLACES
from tests.support.made_host import MadeCalls, made_host

CPU = "/sys/devices/system/cpu"
KERNEL = "/proc/sys/kernel"
THP = "/sys/kernel/mm/transparent_hugepage"
HUGE = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB"
CLOCK = "/sys/devices/system/clocksource/clocksource0"
QUIET = Jitter(core=2, seconds=3.0, over_5_us=2, over_100_us=0, longest_ns=8_000, switches=0, faults=0, interrupts=1)
NOISY = Jitter(
    core=2, seconds=3.0, over_5_us=3000, over_100_us=3, longest_ns=39_000_000, switches=4, faults=9, interrupts=750
)
EIGHT = {f"{CPU}/online": "0-7"}
NODE = {"/sys/devices/system/node/node0/cpulist": "0-7"}
LOCK_LIMIT = "Limit   Soft Limit   Hard Limit   Units\nMax locked memory   {}   {}   bytes"
LOOP = Plan(is_configured=True, core=2)
FIFO = Plan(is_configured=True, core=2, is_fifo=True)
POLLING = Plan(is_configured=True, core=2, wires=(Wire(name="eth1", busy_poll_us=20),))
LOCKING = Plan(is_configured=True, locks_memory=True)
RING = Plan(is_configured=True, core=2, wires=(Wire(name="eth1", memory_bytes=9 << 20),))
STATUS = "Name:\t{}\nState:\tS\nCpus_allowed_list:\t{}"
STAT = "7 ({}) S 1 1 1 0 -1 {} 0 0"


@dataclass
class Case:
    """One host, and what a check of it says."""

    name: str
    severity: str
    value: str
    files: dict[str, str | bytes] = field(default_factory=dict)
    plan: Plan = LOOP
    calls: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)  # by path, what mends it


def idle(*states: tuple[str, int, int]) -> dict[str, str | bytes]:
    """Files of the idle states of processor 2: (name, latency in us, disabled)."""
    found: dict[str, str | bytes] = dict(EIGHT)
    for number, (name, latency, disabled) in enumerate(states):
        place = f"{CPU}/cpu2/cpuidle/state{number}"
        found |= {f"{place}/name": name, f"{place}/latency": str(latency), f"{place}/disable": str(disabled)}
    return found


def process(name: str, allowed: str, flags: int = 0) -> dict[str, str | bytes]:
    return {"/proc/7/status": STATUS.format(name, allowed), "/proc/7/stat": STAT.format(name, flags)}


def zero(name: str, path: str) -> list[Case]:
    """The cases of a setting that should be 0."""
    return [
        Case(name, "ok", "0", {path: "0"}),
        Case(name, "warn", "1", {path: "1"}, sets={path: "0"}),
        Case(name, "skip", "-"),
        Case(name, "skip", "-", {path: "what?"}),
    ]


CASES = [
    Case("loop's core", "ok", "2 of 0-7", EIGHT),
    Case("loop's core", "fail", "2 of 0-1,3", EIGHT, calls={"cpus": frozenset({0, 1, 3})}),
    Case("loop's core", "fail", "2 of 0-1", {f"{CPU}/online": "0-1"}),
    Case("loop's core", "skip", "-", EIGHT, Plan()),
    Case("isolated cores", "ok", "2-3", {f"{CPU}/isolated": "2-3"}),
    Case("isolated cores", "ok", "6", {f"{CPU}/isolated": "6"}, Plan()),
    Case("isolated cores", "warn", "3,5", {f"{CPU}/isolated": "3,5"}),
    Case("isolated cores", "warn", "none", {f"{CPU}/isolated": ""}),
    Case("isolated cores", "skip", "-"),
    Case("tick", "ok", "2", {f"{CPU}/nohz_full": "2"}),
    Case("tick", "ok", "1-3", {"/proc/cmdline": "quiet nohz_full=1-3 ro"}),
    Case("tick", "warn", "none", {f"{CPU}/nohz_full": "(null)"}),
    Case("tick", "warn", "none", {"/proc/cmdline": "quiet"}),
    Case("tick", "skip", "-"),
    Case("RCU callbacks", "ok", "2", {"/proc/cmdline": "rcu_nocbs=2"}),
    Case("RCU callbacks", "ok", "1-2", {"/proc/cmdline": "nohz_full=1-2"}),
    Case("RCU callbacks", "ok", "0-7", {"/proc/cmdline": "rcu_nocbs=all", **EIGHT}),
    Case("RCU callbacks", "warn", "3", {"/proc/cmdline": "xrcu_nocbs=2 rcu_nocbs=3"}),
    Case("RCU callbacks", "skip", "-"),
    Case("tasks on the core", "ok", "0", process("sshd", "0-1,3-7")),
    Case("tasks on the core", "ok", "0", process("kworker/2:1", "2", 0x04208060)),
    Case("tasks on the core", "warn", "1: sshd", process("sshd", "0-7")),
    Case("tasks on the core", "warn", "1: init", process("init", "0-7", 0x00400101)),
    Case("tasks on the core", "warn", "1: a) b", process("a) b", "2")),
    Case("tasks on the core", "skip", "-", process("sshd", "0-7"), Plan()),
    Case("work queues", "ok", "0-1,3-7", {"/sys/devices/virtual/workqueue/cpumask": "fb", **EIGHT}),
    Case(
        "work queues", "warn", "0-7", {"/sys/devices/virtual/workqueue/cpumask": "ff", **EIGHT},
        sets={"/sys/devices/virtual/workqueue/cpumask": "fb"},
    ),
    Case("work queues", "skip", "-", EIGHT),
    Case(
        "work queues", "skip", "-",
        {f"{CPU}/online": "2", "/sys/devices/virtual/workqueue/cpumask": "4"},
    ),
    Case("idle states", "ok", "none deep", idle(("POLL", 0, 0), ("C1", 1, 0), ("C6", 133, 1))),
    Case("idle states", "ok", "C6", idle(("C6", 133, 0)) | {"/dev/cpu_dma_latency": bytes(4)}),
    Case("idle states", "warn", "C6", idle(("C1", 1, 0), ("C6", 133, 0)) | {"/dev/cpu_dma_latency": b"\0\x94\x35\x77"},
         sets={f"{CPU}/cpu2/cpuidle/state1/disable": "1"}),
    Case("idle states", "skip", "-", EIGHT),
    Case("frequency governor", "ok", "performance", {f"{CPU}/cpu2/cpufreq/scaling_governor": "performance"}),
    Case("frequency governor", "warn", "powersave", {f"{CPU}/cpu2/cpufreq/scaling_governor": "powersave"},
         sets={f"{CPU}/cpu2/cpufreq/scaling_governor": "performance"}),
    Case("frequency governor", "skip", "-"),
    Case("turbo", "ok", "off", {f"{CPU}/intel_pstate/no_turbo": "1"}),
    Case("turbo", "ok", "off", {f"{CPU}/cpufreq/boost": "0"}),
    Case("turbo", "info", "on", {f"{CPU}/intel_pstate/no_turbo": "0"}, sets={f"{CPU}/intel_pstate/no_turbo": "1"}),
    Case("turbo", "info", "on", {f"{CPU}/cpufreq/boost": "1"}, sets={f"{CPU}/cpufreq/boost": "0"}),
    Case("turbo", "skip", "-"),
    Case("SMT", "ok", "off", {f"{CPU}/smt/active": "0"}),
    Case("SMT", "ok", "on; the", {f"{CPU}/smt/active": "1", f"{CPU}/cpu2/topology/thread_siblings_list": "2"}),
    Case("SMT", "warn", "on; siblings 6", {f"{CPU}/smt/active": "1", f"{CPU}/cpu6/online": "1",
         f"{CPU}/cpu2/topology/thread_siblings_list": "2,6"}, sets={f"{CPU}/cpu6/online": "0"}),
    Case("SMT", "warn", "on; siblings 0",
         {f"{CPU}/smt/active": "1", f"{CPU}/cpu2/topology/thread_siblings_list": "0,2"}),
    Case("SMT", "skip", "-"),
    Case("mitigations", "info", "1 mitigated, 1 open, 0 not", {f"{CPU}/vulnerabilities/meltdown": "Mitigation: PTI",
         f"{CPU}/vulnerabilities/mds": "Vulnerable"}),
    Case("mitigations", "skip", "-"),
    Case("steal", "ok", "0 ticks", {"/proc/stat": "cpu  1 2 3 4 5 6 7 9 0 0\ncpu2 1 2 3 4 5 6 7 0 0 0"}),
    Case("steal", "warn", "9 ticks", {"/proc/stat": "cpu  1 2 3 4 5 6 7 9 0 0\ncpu2 1 2 3 4 5 6 7 9 0 0"}),
    Case("steal", "skip", "-", {"/proc/stat": "cpu  1 2 3 4 5 6 7 9 0 0"}),
    Case("holes over 5 us", "warn", "10.0 a second", plan=Plan(core=2, jitter=replace(QUIET, over_5_us=30))),
    Case("holes over 5 us", "ok", "9.7 a second", plan=Plan(core=2, jitter=replace(QUIET, over_5_us=29))),
    *[
        case
        for name, bad in (
            ("holes over 100 us", "3 in 3 s, longest 39,000 us"),
            ("holes over 5 us", "1000.0 a second"),
            ("forced switches", "4 in 3 s"),
            ("interrupts while measured", "250 a second"),
            ("page faults", "9 in 3 s"),
        )
        for case in (
            Case(name, "ok", "", plan=Plan(core=2, jitter=QUIET)),
            Case(name, "warn", bad, plan=Plan(core=2, jitter=NOISY)),
            Case(name, "skip", "-"),
        )
    ],
    Case("interrupts", "ok", "none", {"/proc/irq/24/effective_affinity_list": "0", **EIGHT}),
    Case("interrupts", "ok", "none", {"/proc/irq/9/effective_affinity_list": "2",
         "/sys/class/net/eth1/device/msi_irqs/9": "msix", **EIGHT}, POLLING),
    Case("interrupts", "ok", "none", {"/proc/irq/24/effective_affinity_list": "2",
         "/proc/irq/24/smp_affinity_list": "0-1", **EIGHT}),
    Case("interrupts", "warn", "9, 24", {"/proc/irq/24/effective_affinity_list": "2",
         "/proc/irq/9/effective_affinity_list": "1-3", "/proc/irq/5/effective_affinity_list": "", **EIGHT},
         sets={"/proc/irq/9/smp_affinity_list": "0-1,3-7", "/proc/irq/24/smp_affinity_list": "0-1,3-7"}),
    Case("interrupts", "skip", "-", EIGHT, Plan()),
    Case("default of interrupts", "ok", "0-1", {"/proc/irq/default_smp_affinity": "3", **EIGHT}),
    Case("default of interrupts", "warn", "0-7", {"/proc/irq/default_smp_affinity": "ff", **EIGHT},
         sets={"/proc/irq/default_smp_affinity": "fb"}),
    Case("default of interrupts", "skip", "-", EIGHT),
    Case("irqbalance", "ok", "does not run", {"/proc/12/comm": "chronyd"}),
    Case("irqbalance", "warn", "runs", {"/proc/12/comm": "irqbalance"}),
    Case("transparent huge pages", "ok", "madvise", {f"{THP}/enabled": "always [madvise] never"}),
    Case("transparent huge pages", "warn", "always", {f"{THP}/enabled": "[always] madvise never"},
         sets={f"{THP}/enabled": "madvise"}),
    Case("transparent huge pages", "skip", "-"),
    Case("huge page compaction", "ok", "defer+madvise",
         {f"{THP}/defrag": "always defer [defer+madvise] madvise never"}),
    Case("huge page compaction", "warn", "always", {f"{THP}/defrag": "[always] defer defer+madvise madvise never"},
         sets={f"{THP}/defrag": "madvise"}),
    Case("huge page compaction", "skip", "-"),
    *zero("page merging", "/sys/kernel/mm/ksm/run"),
    *zero("NUMA balancing", f"{KERNEL}/numa_balancing"),
    Case("huge pages", "ok", "5 of 8 free on node 0",
         {f"{HUGE}/nr_hugepages": "8", f"{HUGE}/free_hugepages": "5", **NODE}, RING),
    Case("huge pages", "warn", "1 of 8 free on node 0",
         {f"{HUGE}/nr_hugepages": "8", f"{HUGE}/free_hugepages": "1", **NODE}, RING,
         sets={f"{HUGE}/nr_hugepages": "12"}),
    Case("huge pages", "info", "1 of 8 free", {"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "8",
         "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "1"}, Plan()),
    Case("huge pages", "skip", "-", NODE, RING),
    Case("swap", "ok", "none", {"/proc/swaps": "Filename Type Size Used Priority"}),
    Case("swap", "warn", "/dev/sda2", {"/proc/swaps": "Filename Type Size\n/dev/sda2 partition 8 0 -2"}),
    Case("swap", "skip", "-"),
    Case("locked memory", "ok", "unlimited", {"/proc/self/limits": LOCK_LIMIT.format("unlimited", "unlimited")},
         LOCKING,
         calls={"capability_bits": 0}),
    Case("locked memory", "ok", "8,192 KiB, but", {"/proc/self/limits": LOCK_LIMIT.format(8 << 20, 8 << 20)}, LOCKING),
    Case("locked memory", "warn", "8,192 KiB", {"/proc/self/limits": LOCK_LIMIT.format(8 << 20, 8 << 20)}, Plan(),
         calls={"capability_bits": 0}),
    Case("locked memory", "fail", "8,192 KiB", {"/proc/self/limits": LOCK_LIMIT.format(8 << 20, 8 << 20)},
         LOCKING, calls={"capability_bits": 0}),
    Case("locked memory", "warn", "not asked for", {"/proc/self/limits": LOCK_LIMIT.format("unlimited", "unlimited")}),
    Case("locked memory", "skip", "-", {"/proc/self/limits": "Limit"}),
    Case("real-time throttling", "ok", "-1", {f"{KERNEL}/sched_rt_runtime_us": "-1"}, FIFO),
    Case("real-time throttling", "ok", "950000", {f"{KERNEL}/sched_rt_runtime_us": "950000"}),
    Case("real-time throttling", "info", "950000", {f"{KERNEL}/sched_rt_runtime_us": "950000"}, Plan(),
         sets={f"{KERNEL}/sched_rt_runtime_us": "-1"}),
    Case("real-time throttling", "fail", "950000", {f"{KERNEL}/sched_rt_runtime_us": "950000"}, FIFO,
         sets={f"{KERNEL}/sched_rt_runtime_us": "-1"}),
    Case("real-time throttling", "skip", "-"),
    *zero("watchdog", f"{KERNEL}/watchdog"),
    *zero("NMI watchdog", f"{KERNEL}/nmi_watchdog"),
    *zero("timer migration", f"{KERNEL}/timer_migration"),
    Case("statistics interval", "ok", "120 s", {"/proc/sys/vm/stat_interval": "120"}),
    Case("statistics interval", "warn", "1 s", {"/proc/sys/vm/stat_interval": "1"},
         sets={"/proc/sys/vm/stat_interval": "10"}),
    Case("statistics interval", "skip", "-"),
    Case("kernel", "ok", "6.12.5", plan=POLLING),
    Case("kernel", "info", "6.13.2", calls={"kernel": "6.13.2"}),
    Case("kernel", "warn", "6.14.0-rc1", plan=POLLING, calls={"kernel": "6.14.0-rc1"}),
    Case("kernel", "ok", "6.140.0", plan=POLLING, calls={"kernel": "6.140.0"}),
    Case("BPF compiler", "ok", "1", {"/proc/sys/net/core/bpf_jit_enable": "1"}),
    Case("BPF compiler", "warn", "0", {"/proc/sys/net/core/bpf_jit_enable": "0"},
         sets={"/proc/sys/net/core/bpf_jit_enable": "1"}),
    Case("BPF compiler", "skip", "-"),
    *zero("BPF hardening", "/proc/sys/net/core/bpf_jit_harden"),
    Case("capabilities", "ok", "all"),
    Case("capabilities", "fail", "without CAP_NET_RAW", plan=Plan(is_configured=True, capabilities=("CAP_NET_RAW",)),
         calls={"capability_bits": 1 << 12}),
    Case("capabilities", "info", "without CAP_BPF, CAP_NET_RAW", plan=Plan(),
         calls={"capability_bits": 1 << 12 | 1 << 14 | 1 << 23}),
    Case("clock source", "ok", "tsc",
         {f"{CLOCK}/current_clocksource": "tsc", f"{CLOCK}/available_clocksource": "tsc hpet"}),
    Case("clock source", "warn", "hpet",
         {f"{CLOCK}/current_clocksource": "hpet", f"{CLOCK}/available_clocksource": "tsc hpet"},
         sets={f"{CLOCK}/current_clocksource": "tsc"}),
    Case("clock source", "warn", "hpet",
         {f"{CLOCK}/current_clocksource": "hpet", f"{CLOCK}/available_clocksource": "hpet"}),
    Case("clock source", "skip", "-"),
    Case("time-stamp counter", "ok", "constant",
         {"/proc/cpuinfo": "processor: 0\nflags\t: tsc constant_tsc nonstop_tsc"}),
    Case("time-stamp counter", "fail", "not nonstop_tsc", {"/proc/cpuinfo": "flags\t: tsc constant_tsc"}),
    Case("time-stamp counter", "skip", "-"),
    Case("clock offset", "ok", "+120 ns"),
    Case("clock offset", "warn", "-1,000 ns", calls={"kept": Discipline(True, -1_000, 5)}),
    Case("clock offset", "warn", "not synchronised", calls={"kept": Discipline(False, 0, 0)}),
    Case("time masters", "ok", "chronyd", {"/proc/9/comm": "chronyd", "/proc/10/comm": "ptp4l"}),
    Case("time masters", "warn", "none", {"/proc/9/comm": "ptp4l"}),
    Case("time masters", "warn", "chronyd, phc2sys", {"/proc/9/comm": "chronyd", "/proc/10/comm": "phc2sys"}),
    Case("socket busy poll", "ok", "0 / 0",
         {"/proc/sys/net/core/busy_poll": "0", "/proc/sys/net/core/busy_read": "0"}),
    Case("socket busy poll", "info", "50 / 0",
         {"/proc/sys/net/core/busy_poll": "50", "/proc/sys/net/core/busy_read": "0"},
         sets={"/proc/sys/net/core/busy_poll": "0"}),
    Case("socket busy poll", "skip", "-"),
]  # fmt: skip
NEVER_SKIPPED = {"irqbalance", "kernel", "capabilities", "clock offset", "time masters"}  # every host can tell
NEVER_GOOD = {"mitigations"}  # a decision


def check_of(case: Case, root: Path) -> Check:
    question = next(each for each in questions("host") if each.name == case.name)
    return ask(question, case.name, made_host(root, case.files, MadeCalls(**case.calls)), case.plan)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.severity}-{case.value}")
def test_a_host_is_judged(case: Case, tmp_path: Path) -> None:
    made = check_of(case, tmp_path)
    assert (made.severity.value, made.value.startswith(case.value)) == (case.severity, True), made
    assert {each.setting.place: each.wanted for each in made.changes} == case.sets
    if made.severity in (Severity.WARN, Severity.FAIL):
        assert made.mend
    if made.severity is Severity.OK:
        assert not made.mend
    if made.severity is Severity.SKIP:
        assert made.why.startswith("not checked: ")


@pytest.mark.parametrize("case", [case for case in CASES if case.sets], ids=lambda case: f"{case.name}-{case.value}")
def test_what_mends_a_check_makes_it_good(case: Case, tmp_path: Path) -> None:
    """Writing what a check would have written, into the made-up host, gives a host that is well."""
    changed: dict[str, str | bytes] = dict(case.sets)
    for path in case.sets:
        assert path.startswith(PLACES)
        if path.endswith("/online"):
            changed[path.rpartition("/")[0].replace("cpu6", "cpu2") + "/topology/thread_siblings_list"] = "2"
        if path.endswith("nr_hugepages"):
            changed[path.replace("nr_", "free_")] = "5"
    mended = Case(case.name, "ok", "", case.files | changed, case.plan, case.calls)
    assert check_of(mended, tmp_path).severity is Severity.OK


def test_every_check_is_shown_well_ill_and_missing() -> None:
    for question in questions("host"):
        seen = {case.severity for case in CASES if case.name == question.name}
        assert question.name in NEVER_GOOD or "ok" in seen, question.name
        assert seen & {"warn", "fail", "info"}, question.name
        assert question.name in NEVER_SKIPPED or "skip" in seen, question.name


@given(data=st.data())
def test_no_file_whatever_it_says_ends_the_doctor(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case = data.draw(st.sampled_from([each for each in CASES if each.files]))
    spoilt = data.draw(st.sampled_from(sorted(case.files)))
    text = data.draw(st.one_of(st.binary(max_size=12), st.sampled_from([b"", b"-", b"1-", b"f-g", b"\xff", b"cpu2"])))
    made = check_of(Case(case.name, "", "", case.files | {spoilt: text}, case.plan), tmp_path_factory.mktemp("host"))
    assert made.severity in Severity
