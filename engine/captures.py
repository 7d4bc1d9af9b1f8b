"""Which captures are meant by files, folders and glob patterns, and how strictly they are taken."""

import glob
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from crosswire.engine.config import ConfigError, RunConfig, VenueConfig
from crosswire.engine.paths import named_path
from crosswire.nic.capture.defects import total
from crosswire.nic.capture.reader import CaptureError, check_capture
from crosswire.nic.capture.stamps import STAMPS_NAMED
from crosswire.nic.rings.replay import Replay
from crosswire.nic.warning import DataWarning

Name = str | PathLike[str]
# What tools call captures, rotated ones (x.pcap0, x.pcap.1) and compressed ones included. Whatever else lies in a
# folder is taken for one if it begins as one.
CAPTURE_NAME = re.compile(r"\.(pcap|pcapng|cap|ntar)[.\d]*(\.gz|\.zst)?$")


def find_captures(folder: Path, names: Sequence[Name], where: str) -> list[Path]:
    """List the captures that names in `folder` mean: files, folders of captures, and glob patterns.

    A folder's and a pattern's are sorted as people count, x2 before x10. ConfigError, which begins with `where`: a
    folder without captures, a pattern that nothing matches, a file given twice.
    """
    found: list[Path] = []
    for name in names:
        found += _named(folder, str(name), where)
    given: dict[tuple[int, int], Path] = {}
    for path in found:
        if path.exists():
            status = path.stat()
            first = given.setdefault((status.st_dev, status.st_ino), path)
            if first is not path:
                twice = f"{path} is given twice" if first == path else f"{path} is the same file as {first}"
                raise ConfigError(f"{where}: {twice}: its frames would count twice")
    return found


def _named(folder: Path, name: str, where: str) -> list[Path]:
    path = named_path(folder, name)
    if path.is_dir():
        captures = [each for each in sorted(path.iterdir(), key=_natural) if _is_capture(each)]
        if not captures:
            raise ConfigError(f"{where}: {path}: a folder without captures")
        return captures
    if path.exists() or not glob.has_magic(name):
        return [path]
    matching = [each for each in sorted(map(Path, glob.glob(str(path))), key=_natural) if each.is_file()]
    if not matching:
        raise ConfigError(f"{where}: {path}: no file matches")
    return matching


def is_there(folder: Path, name: str) -> bool:
    """Tell whether a name means anything that exists."""
    path = named_path(folder, name)
    return path.exists() or (glob.has_magic(name) and bool(glob.glob(str(path))))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key of a name: numbers in it by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _is_capture(path: Path) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    if CAPTURE_NAME.search(path.name):
        return True  # one that is damaged is an error, not nothing
    try:
        check_capture(path)
    except CaptureError:
        return False
    return True


def capture_warnings(config: RunConfig, config_path: Path) -> list[DataWarning]:
    """Read all captures of a run and tell what is wrong with them. ConfigError, CaptureError."""
    tallies = []
    for venue in config.venue:
        if venue.captures:
            with open_captures(venue, config_path) as replay:
                replay.skip_all()
                tallies.append(replay.tally())
    return total(tallies).warnings()


def venue_captures(venue: VenueConfig, config_path: Path) -> list[Path]:
    """List the captures of a venue. ConfigError: see `find_captures`."""
    return find_captures(config_path.parent, venue.captures, f"{config_path}: venue {venue.name}: captures")


def open_captures(venue: VenueConfig, config_path: Path, cursors: int = 1, *, begins_starved: bool = False) -> Replay:
    """Replay the captures of a venue, with the time stamps that its configuration says. ConfigError, CaptureError."""
    paths, stamps = venue_captures(venue, config_path), STAMPS_NAMED[venue.capture_stamps]
    return Replay(paths, cursors=cursors, begins_starved=begins_starved, stamps=stamps)


def check_strict(warnings: Sequence[DataWarning]) -> None:
    """Refuse what is less than the whole truth. ConfigError names the first that is wrong."""
    if warnings:
        others = f" (and {len(warnings) - 1} more kinds of warning)" if len(warnings) > 1 else ""
        raise ConfigError(f"--strict: {warnings[0]}{others}")
