"""The checks that `crosswire live` makes before it opens anything: those that take no time."""

from pathlib import Path

from crosswire.engine.config import RunConfig
from crosswire.engine.doctor.plan import plan_of
from crosswire.engine.live.steady import SteadyConsole
from crosswire.engine.telemetry.log import Level
from crosswire.nic.host.doctor.check import Check, Severity
from crosswire.nic.host.doctor.examine import examine
from crosswire.nic.host.doctor.host import Host
from crosswire.nic.host.process import HostError


def check_host(config: RunConfig, config_path: Path, output: Path, console: SteadyConsole) -> None:
    """Print a line for each check that fails, and one for those that warn. HostError: [live] checks = "refuse"."""
    live = config.live
    if live is None or live.checks == "off":
        return
    found = examine(Host(), plan_of(config, live, config_path, output), is_quick=True)
    failed = [each for each in found if each.severity is Severity.FAIL]
    for each in failed:
        console.say(line_of(each), "host_check", Level.WARNING, check=each.name, value=each.value, wanted=each.wanted)
    warned = sum(each.severity is Severity.WARN for each in found)
    if warned:
        console.say(f"host: {warned} warnings: crosswire doctor {config_path}", "host_checks", warnings=warned)
    if failed and live.checks == "refuse":
        names = ", ".join(each.name for each in failed)
        raise HostError(
            f'host: {names}: [live] checks = "refuse", and crosswire doctor {config_path} says what mends it'
        )


def line_of(check: Check) -> str:
    """Say in one line what is wrong, and what mends it."""
    mend = f"; {check.mend}" if check.mend else ""
    return f"host: {check.name}: {check.value}, wanted {check.wanted}: {check.why}{mend}"
