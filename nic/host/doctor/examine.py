"""All checks of a host: processors, interrupts, memory, kernel, clocks, interfaces, files."""

from collections.abc import Iterator
from dataclasses import replace

from crosswire.nic.host.doctor import clock, cpu, files, interface, interrupts, kernel, memory
from crosswire.nic.host.doctor.check import QUESTIONS, Check, Plan, Question, Severity, Wire, ask
from crosswire.nic.host.doctor.host import Host, host_inside
from crosswire.nic.host.process import HostError

GROUPS = (cpu, interrupts, memory, kernel, clock, interface, files)  # imported: each registers its checks
_ORDER = [module.__name__ for module in GROUPS]
WORST_FIRST = (Severity.FAIL, Severity.WARN, Severity.INFO, Severity.OK, Severity.SKIP)
EXIT_CODES = {Severity.WARN: 1, Severity.FAIL: 2}
SELF_TEST = "self test"


def questions(about: str) -> list[Question]:
    """List the registered checks of the host, of a wire or of a path, in the order of their groups."""
    found = [each for each in QUESTIONS if each.about == about]
    return sorted(found, key=lambda each: _ORDER.index(each.ask.__module__))


def examine(host: Host, plan: Plan, is_quick: bool = False) -> list[Check]:
    """Make every check; with `is_quick` those that look at no process and need no measurement."""
    asked = [each for each in questions("host") if not (is_quick and each.is_slow)]
    found = [ask(each, each.name, host, plan) for each in asked]
    for wire in plan.wires:
        found += _of_wire(host, plan, wire)
    for each in questions("path"):
        found += [ask(each, f"{each.name} of {kept.what}", host, plan, kept) for kept in plan.paths]
    if not is_quick:
        found.append(_self_test())
    return found


def _of_wire(host: Host, plan: Plan, wire: Wire) -> Iterator[Check]:
    """Check one interface, in its network namespace."""
    try:
        with host_inside(host, wire.namespace) as there:
            for each in questions("wire"):
                yield _as_known(plan, ask(each, f"{wire.name}: {each.name}", there, plan, wire))
    except HostError as error:
        wanted = f"namespace {wire.namespace}"
        yield Check(
            name=f"{wire.name}: link",
            value=str(error),
            wanted=wanted,
            severity=Severity.FAIL,
            why="an interface that is not there carries nothing",
            mend="crosswire testbed up, or name another in live.namespace",
        )


def _as_known(plan: Plan, found: Check) -> Check:
    """Only tell of an interface that nobody has said is traded on: it may be the one that people log in by."""
    if plan.is_configured or found.severity not in EXIT_CODES:
        return found
    return replace(found, severity=Severity.INFO)


def _self_test() -> Check:
    """Say where the rings are measured against the kernel's stack."""
    why = "not checked: it takes a minute and both cores; crosswire bench stack measures the rings beside the kernel's"
    return Check(name=SELF_TEST, value="-", wanted="-", severity=Severity.SKIP, why=why, mend="")


def worst_first(checks: list[Check]) -> list[Check]:
    """Put checks in the order of their severities, each in the order in which they were made."""
    return sorted(checks, key=lambda each: WORST_FIRST.index(each.severity))


def exit_code(checks: list[Check]) -> int:
    """Return 2 if a check fails, 1 if one warns, else 0."""
    return max((EXIT_CODES.get(each.severity, 0) for each in checks), default=0)
