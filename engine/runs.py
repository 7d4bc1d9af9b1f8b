"""Run folders: `<output>/<name>/<UTC time>-<digest>`, one a run, which nothing removes; `latest` points to the last."""

import hashlib
import os
import time
from pathlib import Path

from crosswire.nic.journal.files import FOLDER

LATEST = "latest"
RUNS_A_SECOND_MAX = 1000  # of one name and configuration


def make_run_folder(output: Path, name: str, config_text: str) -> Path:
    """Make the folder of a run that begins now. OSError."""
    parent = output / name
    parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(config_text.encode()).hexdigest()[:8]
    stem = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{digest}"
    for number in range(1, RUNS_A_SECOND_MAX):
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        point_latest(parent, folder)
        return folder
    raise FileExistsError(f"{parent / stem}: {RUNS_A_SECOND_MAX} runs began in this second")


def point_latest(parent: Path, folder: Path) -> None:
    """Have `latest` point to a folder, at once: there is no moment without it."""
    link = parent / f".{LATEST}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(parent / LATEST)


def run_folders(parent: Path) -> list[Path]:
    """List the folders of a name's runs, the last one first."""
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if (path / FOLDER).is_dir() and not path.is_symlink()]
    return sorted(folders, key=run_order, reverse=True)


def run_order(folder: Path) -> tuple[str, int]:
    """Sort runs by when they began, also within a second."""
    stem, _, rest = folder.name.partition("-")
    number = rest.partition("-")[2]
    return stem, int(number) if number.isdigit() else 1
