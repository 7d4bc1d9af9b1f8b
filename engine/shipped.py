"""Files that come with the package and are written to where other programs read them."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from crosswire.nic.host.process import HostError


def shipped(folder: str, suffixes: Iterable[str]) -> list[Path]:
    """List the files of a folder of `engine` that end so, by name."""
    places = Path(str(files("crosswire"))).joinpath("engine", folder).iterdir()
    return sorted(path for path in places if path.suffix in suffixes)


def need_folder(folder: Path, usual: str = "") -> None:
    """Refuse a folder that is not there; `usual`: where it would be. HostError."""
    if not folder.is_dir():
        raise HostError(f"{folder}: no such folder{usual}")


def write_new(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write texts by their names, to be read by everybody; return the files. FileExistsError: nothing is written."""
    written = {folder / name: text for name, text in texts.items()}
    for path in written:
        if path.exists():
            raise FileExistsError(f"{path}: exists already; remove it, or name another folder")
    for path, text in written.items():
        path.write_text(text)
        path.chmod(0o644)
    return list(written)
