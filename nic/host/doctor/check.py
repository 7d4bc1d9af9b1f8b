"""A check: one question about the host, what it finds, what is wanted, and what mends it.

Each is a function that reads and returns a `Finding`, registered with its name, its reason and its source by `check`.
What a host lacks ends a check by `AbsentError`: it is skipped, and says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from crosswire.nic.host.doctor.host import AbsentError, Host
from crosswire.nic.host.doctor.lists import parse_cpus
from crosswire.nic.host.doctor.setting import Change
from crosswire.nic.host.process import HostError

NOTHING = "-"


class Severity(StrEnum):
    """How bad it is: `fail` keeps the engine from working as configured, `warn` costs latency or certainty."""

    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """An interface that is looked at, and what the configuration asks of it. Without one only its name is known."""

    name: str
    namespace: str = ""
    ring: str = ""  # kind of the market data's; "": not known
    queue: int = 0
    require: str = ""  # af_xdp: how near to the driver
    groups: tuple[tuple[int, int], ...] = ()  # (ip, port) of the market data
    gateways: tuple[int, ...] = ()  # addresses whose Ethernet address is not configured
    busy_poll_us: int = 0
    sets_coalescing: bool = False  # the engine does it while it runs
    steers: bool = False  # the same
    memory_bytes: int = 0  # of the ring, in large pages
    far: tuple[str, str] | None = None  # (namespace, interface) of a testbed's exchange


@dataclass(frozen=True, kw_only=True)
class KeptPath:
    """A file or folder that nobody else may change, or with `is_secret` read."""

    what: str
    path: Path
    is_secret: bool = False
    is_made: bool = False  # the engine makes it when it is not there


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """What a spinning thread saw of a core."""

    core: int
    seconds: float
    over_5_us: int
    over_100_us: int
    longest_ns: int
    switches: int  # that were forced
    faults: int  # of pages
    interrupts: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the engine will do on this host."""

    is_configured: bool = False
    core: int | None = None  # the loop's
    is_fifo: bool = False
    locks_memory: bool = False
    capabilities: tuple[str, ...] = ()  # that are needed
    wires: tuple[Wire, ...] = ()
    paths: tuple[KeptPath, ...] = ()
    jitter: Jitter | None = None

    def cores(self, host: Host) -> frozenset[int]:
        """Tell the loop's core; without a configuration those that are isolated. AbsentError: there is none."""
        if self.core is not None:
            return frozenset({self.core})
        isolated = parse_cpus(host.text("/sys/devices/system/cpu/isolated") or "")
        if not isolated:
            raise AbsentError("no core is known: name a configuration, or isolate cores")
        return isolated


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found. `mend` says what to do; where that is `changes`, it is their commands."""

    value: str
    wanted: str
    severity: Severity
    mend: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of this host, as it is shown."""

    name: str
    value: str
    wanted: str
    severity: Severity
    why: str
    mend: str
    changes: tuple[Change, ...] = field(default=(), compare=False)

    def facts(self) -> dict[str, str]:
        """Return what `--json` prints of it."""
        return {key: str(getattr(self, key)) for key in ("name", "value", "wanted", "severity", "why", "mend")}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A check as it is registered. `ask` takes host and plan, and one of `wires` or `paths` where it is about one."""

    name: str
    about: str  # "host", "wire" or "path"
    why: str
    source: str
    ask: Callable[..., Finding]
    is_slow: bool  # looks at every process: not for the start of a run


QUESTIONS: list[Question] = []  # in the order in which they are asked
F = TypeVar("F", bound=Callable[..., Finding])


def check(name: str, *, why: str, source: str, about: str = "host", is_slow: bool = False) -> Callable[[F], F]:
    """Decorator: register a check."""

    def register(ask: F) -> F:
        QUESTIONS.append(Question(name=name, about=about, why=why, source=source, ask=ask, is_slow=is_slow))
        return ask

    return register


def judge(
    is_good: bool,
    value: object,
    wanted: str,
    *,
    otherwise: Severity = Severity.WARN,
    mend: str = "",
    changes: Sequence[Change] = (),
) -> Finding:
    """Make the finding of a check that is good, or `otherwise`; what is good needs no mending."""
    shown = str(value) or "none"
    if is_good:
        return Finding(value=shown, wanted=wanted, severity=Severity.OK)
    commands = "; ".join(each.command() for each in changes) or mend
    return Finding(value=shown, wanted=wanted, severity=otherwise, mend=commands, changes=tuple(changes))


def ask(question: Question, name: str, *arguments: object) -> Check:
    """Make one check."""
    try:
        found = question.ask(*arguments)
    # The last three: a file that says something else than expected. `live` asks at its start, and starts all the same.
    except (AbsentError, HostError, ValueError, LookupError, OSError) as reason:
        return Check(
            name=name, value=NOTHING, wanted=NOTHING, severity=Severity.SKIP, why=f"not checked: {reason}", mend=""
        )
    return Check(
        name=name,
        value=found.value,
        wanted=found.wanted,
        severity=found.severity,
        why=question.why,
        mend=found.mend,
        changes=found.changes,
    )
