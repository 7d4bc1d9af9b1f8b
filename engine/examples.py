"""The example configurations that come with the package, copied to where their data may be written."""

import shutil
from importlib.resources import files
from pathlib import Path


def example_files() -> list[Path]:
    """List all of them, by name."""
    return sorted(Path(str(files("crosswire"))).joinpath("examples").glob("*.toml"))


def copy_examples(folder: Path) -> list[Path]:
    """Copy every example into `folder`; return the copies. FileExistsError, before any copy, if a name is taken."""
    copies = [(example, folder / example.name) for example in example_files()]
    for _, copy in copies:
        if copy.exists():
            raise FileExistsError(f"{copy}: exists already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for example, copy in copies:
        shutil.copyfile(example, copy)
    return [copy for _, copy in copies]
