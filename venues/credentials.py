"""The API key of an order session, from a file that only its owner can read; it is printed nowhere."""

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.nic.host.process import keep_memory_private
from crosswire.nic.host.trust import belongs_to_another, who_could_change
from crosswire.venues.errors import VenueError

FILE_BYTES_MAX = 4096


@dataclass(frozen=True)
class Credentials:
    """`secret` is left out of every text that Python makes of this."""

    client_id: str
    secret: bytes = field(repr=False)


def load_credentials(path: Path) -> Credentials:
    """Read `client_id` and `secret` of a TOML file; VenueError, without a word of its contents, if it can't be used.

    From here on the process can't be traced, nor its memory read, by others of the same user, and it dumps no core.
    """
    try:
        found = who_could_change(path)
        if found is not None:
            raise VenueError(f"{path}: these credentials could be replaced: {found[0]} {found[1]}")
        # What is checked is what is read. Without O_NONBLOCK a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            check_file(path, os.fstat(descriptor))
            keep_memory_private()
            raw = tomllib.loads(os.read(descriptor, FILE_BYTES_MAX).decode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise VenueError(f"{path}: credentials can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise VenueError(f"{path}: credentials are not valid TOML") from None
    values = []
    for key in ("client_id", "secret"):
        value = raw.get(key)
        if not isinstance(value, str) or not value.isascii() or not value:
            raise VenueError(f"{path}: {key} is missing, or not an ASCII text")
        values.append(value)
    if set(raw) != {"client_id", "secret"}:
        raise VenueError(f"{path}: credentials have keys beside client_id and secret")
    return Credentials(values[0], values[1].encode())


def check_file(path: Path, facts: os.stat_result) -> None:
    """Raise VenueError unless these are the facts of a plain file of ours that nobody else can read."""
    if not stat.S_ISREG(facts.st_mode):
        raise VenueError(f"{path}: credentials must be a plain file")
    if belongs_to_another(facts):
        raise VenueError(f"{path}: these credentials belong to user {facts.st_uid}")
    if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise VenueError(f"{path}: others may read these credentials; `chmod 600` it")
