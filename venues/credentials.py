"""The API key of an order session, from a file that only its owner can read; it is printed nowhere."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.nic.host.process import HostError
from crosswire.nic.host.secret_file import read_secret_file
from crosswire.venues.errors import VenueError


@dataclass(frozen=True)
class Credentials:
    """`secret` is left out of every text that Python makes of this."""

    client_id: str
    secret: bytes = field(repr=False)


def load_credentials(path: Path) -> Credentials:
    """Read `client_id` and `secret` of a TOML file; VenueError, without a word of its contents, if it can't be used.

    The process is private from here on, as `read_secret_file` says.
    """
    try:
        raw = tomllib.loads(read_secret_file(path, "credentials").decode())
    except HostError as error:
        raise VenueError(str(error)) from None
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
