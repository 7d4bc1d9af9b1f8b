"""The systemd units that come with the package, written for an installation of it."""

import sys
from pathlib import Path

from crosswire.engine.shipped import need_folder, shipped, write_new
from crosswire.nic.host.process import HostError

COMMAND = "/opt/crosswire/bin/crosswire"  # in the units as they are shipped


def unit_files() -> list[Path]:
    """List them, by name."""
    return shipped("deploy", (".service",))


def installed_command() -> Path:
    """Find the `crosswire` that belongs to this interpreter. HostError: it is not installed as a command."""
    command = Path(sys.executable).with_name("crosswire")
    if not command.is_file():
        raise HostError(f"{command}: no such file; install the package into the environment that is to run")
    return command


def write_units(folder: Path) -> list[Path]:
    """Write all units into `folder`; return their paths. HostError, FileExistsError: nothing is written."""
    command = installed_command()
    need_folder(folder, "; systemd's is /etc/systemd/system")
    if any(each.isspace() or each in "%$\\\"'" for each in str(command)):
        raise HostError(f"{command}: a unit would read this path otherwise; install the package elsewhere")
    return write_new(folder, {unit.name: unit.read_text().replace(COMMAND, str(command)) for unit in unit_files()})
