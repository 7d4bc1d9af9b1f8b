"""The files for Prometheus and Grafana that come with the package, copied to where those read them."""

from pathlib import Path

from crosswire.engine.shipped import need_folder, shipped, write_new


def telemetry_files() -> list[Path]:
    """List them, by name."""
    return shipped("telemetry", (".json", ".yml"))


def write_telemetry(folder: Path) -> list[Path]:
    """Copy all of them into `folder`; return the copies. HostError, FileExistsError: nothing is written."""
    need_folder(folder)
    return write_new(folder, {file.name: file.read_text() for file in telemetry_files()})
