"""Run folders: `<output>/<name>/<UTC time>-<digest>`, one a run, which nothing removes; `latest` points to the last."""

import hashlib
import os
import time
from pathlib import Path

from crosswire.nic.host.file_lock import hold_file
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import FOLDER, LOCK
from crosswire.nic.journal.reader import JournalError

LATEST = "latest"


def make_run_folder(output: Path, name: str, config_text: str, *, is_variant: bool = False) -> Path:
    """Make the folder of a run that begins now, and sorts behind all earlier ones whatever the clock says. OSError.

    `latest` does not go to a variant: it stays with the run that somebody asked for by its own configuration.
    """
    parent = output / name
    parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(config_text.encode()).hexdigest()[:8]
    while True:
        begun, number = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), 1
        last = run_folders(parent)[:1]
        if last and run_order(last[0])[0] >= begun:
            begun, number = run_order(last[0])[0], run_order(last[0])[1] + 1
        folder = parent / f"{begun}-{digest}{f'-{number}' if number > 1 else ''}"
        try:
            (folder / FOLDER).mkdir(parents=True)
        except FileExistsError:
            continue  # another process was faster
        if not is_variant:
            point_latest(parent, folder)
        return folder


class NameLock(Owner):
    """Keeps a name's account for one process: two would trade on the same positions, and give the same order ids."""

    def __init__(self, file: int) -> None:
        self.file = file

    def close(self) -> None:
        """Let go of the name."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def hold_name(output: Path, name: str) -> NameLock:
    """Take a name for this process. HostError: another one trades under it. OSError."""
    parent = output / name
    parent.mkdir(parents=True, exist_ok=True)
    try:
        return NameLock(hold_file(parent / LOCK))
    except BlockingIOError:
        raise HostError(f"{parent}: another process trades under this name; stop it, or give the run another") from None


def point_latest(parent: Path, folder: Path) -> None:
    """Have `latest` point to a folder, at once: there is no moment without it."""
    link = parent / f".{LATEST}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(parent / LATEST)


def journal_in(folder: Path) -> Path:
    """Find the journal of a run's folder. JournalError: there is none."""
    if not (folder / FOLDER).is_dir():
        raise JournalError(f"{folder}: holds no journal; name a run's folder, as runs/NAME/latest")
    return folder / FOLDER


def run_folders(parent: Path) -> list[Path]:
    """List the folders of a name's runs, the last one first."""
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if (path / FOLDER).is_dir() and not path.is_symlink()]
    return sorted(folders, key=run_order, reverse=True)


def run_order(folder: Path) -> tuple[str, int]:
    """Tell when a run began: the second, and which of that second's it is."""
    begun, _, rest = folder.name.partition("-")
    number = rest.partition("-")[2]
    return begun, int(number) if number.isdigit() else 1
