"""Where the files that a configuration names are: beside it, or among the recordings that are not the project's own."""

import os
from pathlib import Path

VARIABLE = "CROSSWIRE_DATA"
PREFIX = f"${VARIABLE}/"


def recordings_folder() -> Path | None:
    """Find the folder of real recordings: what `CROSSWIRE_DATA` names, else `../shared/data` beside a checkout.

    None for an installed package while the variable is unset.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    root = Path(__file__).resolve().parents[1]
    return root.parent / "shared" / "data" if (root / "pyproject.toml").is_file() else None


def named_path(folder: Path, name: str) -> Path:
    """Find the file that a configuration in `folder` means by a name.

    `$CROSSWIRE_DATA/...` lies in the folder of recordings, or stays as it is written where there is none; every other
    name is relative to the configuration.
    """
    recordings = recordings_folder()
    if name.startswith(PREFIX) and recordings is not None:
        return recordings / name.removeprefix(PREFIX)
    return folder / name


def missing_recording(name: str) -> str:
    """Say in one line which recording is needed, where it was looked for, and where to read how to get it."""
    folder = recordings_folder()
    place = "" if folder is None else f"not in {folder}, "
    return (
        f"needs the recording {name.removeprefix(PREFIX)}: {place}set {VARIABLE} to its folder; docs/data.md says how"
    )
