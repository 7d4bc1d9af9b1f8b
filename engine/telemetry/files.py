"""The files for Prometheus and Grafana that come with the package, copied to where those read them."""

import shutil
from importlib.resources import files
from pathlib import Path

from crosswire.nic.host.process import HostError


def telemetry_files() -> list[Path]:
    """List them, by name."""
    folder = Path(str(files("crosswire"))).joinpath("engine", "telemetry")
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".yml"))


def write_telemetry(folder: Path) -> list[Path]:
    """Copy all of them into `folder`; return the copies. HostError, FileExistsError: nothing is written."""
    if not folder.is_dir():
        raise HostError(f"{folder}: no such folder")
    copies = [(file, folder / file.name) for file in telemetry_files()]
    for _, copy in copies:
        if copy.exists():
            raise FileExistsError(f"{copy}: exists already; remove it, or name another folder")
    for file, copy in copies:
        shutil.copyfile(file, copy)
        copy.chmod(0o644)
    return [copy for _, copy in copies]
