"""`crosswire doctor`: look at the host, say what is wrong, mend what can be mended, undo that."""

from dataclasses import dataclass, replace
from pathlib import Path

from crosswire.engine.config import load_config, need_live
from crosswire.engine.doctor.cli import Ask, Tell
from crosswire.engine.doctor.plan import general_plan, plan_of, spun_core
from crosswire.nic.host.doctor.check import Check, Plan, Severity
from crosswire.nic.host.doctor.examine import examine
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.doctor.jitter import Measured, measure
from crosswire.nic.host.doctor.mend import Mender, mender, record_path
from crosswire.nic.host.process import HostError, has_capability


@dataclass(frozen=True)
class DoctorOptions:
    """What is looked at. `jitter_s` 0: nothing is measured."""

    config: Path | None
    output: Path
    core: int | None = None
    jitter_s: float = 0.0
    only: tuple[str, ...] = ()


def make_plan(options: DoctorOptions) -> Plan:
    """Tell what is to be checked. ConfigError."""
    if options.config is None:
        return general_plan(Host(), options.core, options.output)
    config = load_config(options.config)
    plan = plan_of(config, need_live(config, options.config), options.config, options.output)
    return plan if options.core is None else replace(plan, core=options.core)


def measure_jitter(options: DoctorOptions, plan: Plan) -> Measured | None:
    """Spin on the loop's core, as the loop would; None: it is not asked for. HostError."""
    if options.jitter_s == 0:
        return None
    is_fifo = plan.is_fifo if plan.is_configured else has_capability("CAP_SYS_NICE")
    return measure(Host(), spun_core(Host(), plan), options.jitter_s, is_fifo)


def make_checks(options: DoctorOptions, plan: Plan) -> list[Check]:
    """Make the checks that are asked for. HostError: there is none of that name."""
    found = examine(Host(), plan)
    if options.only:
        found = [each for each in found if any(part in each.name for part in options.only)]
        if not found:
            raise HostError(f"doctor: no check has {' or '.join(options.only)} in its name")
    return found


def mend_checks(checks: list[Check], ask: Ask, tell: Tell) -> None:
    """Mend what can be mended, each after asking; tell what the kernel refuses, and go on. HostError."""
    with mender(Host(), record_path()) as hand:
        for each in checks:
            if each.severity not in (Severity.FAIL, Severity.WARN):
                continue
            tell(f"{each.severity} {each.name}: {each.value}, wanted {each.wanted} - {each.why}")
            if not each.changes:
                tell(f"  yours to do: {each.mend}")
                continue
            for change in each.changes:
                tell(f"  {change.command()}")
            answer = ask("  do it? [y]es, [n]o, [q]uit")
            if answer == "q":
                break
            if answer == "y":
                _mend_one(hand, each, tell)
        if hand.record.changed:
            tell(f"what was there before is in {hand.path}; crosswire doctor --undo restores it")


def _mend_one(hand: Mender, check: Check, tell: Tell) -> None:
    done = refused = 0
    for change in check.changes:
        try:
            done += hand.apply(change)
        except HostError as error:
            refused += 1
            tell(f"  refused: {error}")
    tell(f"  {done} done, {refused} refused")


def undo_changes(tell: Tell) -> int:
    """Put back all that was mended; return how many changes could not be. HostError."""
    with mender(Host(), record_path()) as hand:
        if not hand.record.changed:
            tell("nothing is there to undo")
        return hand.undo(tell)
