"""The keys of the control plane: one folder, a pair for the monitor, one for each client, and the list of who may what.

    server.key     the monitor's secret: on the trading host only, mode 0600
    server.pub     what clients know the monitor by
    clients.toml   [NAME] key = "..." role = "...": who may connect, and do what
    NAME.key       a client's secret: wherever that client is, with server.pub beside it

Keys are CURVE25519 pairs in Z85 letters (rfc.zeromq.org/spec/32). A file is believed only if nobody else could have
written it; a secret only if nobody else can read it.
"""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from crosswire.engine.control.mailbox import CLIENT_BYTES
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor.messages import Role
from crosswire.nic.host.name import NAME_RULE, is_name
from crosswire.nic.host.process import HostError
from crosswire.nic.host.secret_file import FILE_BYTES_MAX, read_secret_file
from crosswire.nic.host.trust import who_could_change

SERVER = "server"
CLIENTS = "clients.toml"
KEY_BYTES = 32
CLIENTS_MAX = 64
LIST_BYTES_MAX = CLIENTS_MAX * 512


@dataclass(frozen=True)
class ServerKey:
    """The monitor's own pair, in Z85 letters."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class ClientKey:
    """A client's own pair and the monitor's public key, in Z85 letters."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)
    server: bytes
    server_place: Path  # the file that `server` is from


@dataclass(frozen=True)
class KnownClient:
    """A client that is on the list."""

    name: str
    role: Role
    public: bytes  # 32 bytes, as the wire has them


def check_name(name: str, where: str = "") -> None:
    """Refuse a name that leads elsewhere, or that a command has no room for. ControlError."""
    if not is_name(name) or len(name) > CLIENT_BYTES or name == SERVER:
        raise ControlError(
            f"{where}client {name!r}: {NAME_RULE}, {CLIENT_BYTES} of a client's; {SERVER} is the monitor's own"
        )


def load_server_key(folder: Path) -> ServerKey:
    """Read the monitor's pair. ControlError: it can't be used."""
    public, secret = _read_pair(folder / f"{SERVER}.key")
    return ServerKey(public, secret)


def load_client_key(folder: Path, name: str = "") -> ClientKey:
    """Read the pair of a client, "": of the only one that has its secret here. ControlError: it can't be used."""
    if not name:
        found = sorted(path.stem for path in folder.glob("*.key") if path.stem != SERVER)
        if len(found) != 1:
            have = f"has {', '.join(found)}: say which, --as NAME" if found else "has none: crosswire control keys"
            raise ControlError(f"{folder}: no one client's key: {have}")
        name = found[0]
    check_name(name)
    public, secret = _read_pair(folder / f"{name}.key")
    place = folder / f"{SERVER}.pub"
    return ClientKey(name, public, secret, _key_of(_read_table(place, FILE_BYTES_MAX), "public", place), place)


def load_clients(folder: Path) -> dict[bytes, KnownClient]:
    """Read the list of clients, by their public keys as the wire has them. ControlError: it can't be used."""
    place = folder / CLIENTS
    clients: dict[bytes, KnownClient] = {}
    table = _read_table(place, LIST_BYTES_MAX)
    if len(table) > CLIENTS_MAX:
        raise ControlError(f"{place}: {len(table)} clients, must be at most {CLIENTS_MAX}")
    for name, entry in table.items():
        check_name(name, f"{place}: ")
        if not isinstance(entry, dict) or set(entry) != {"key", "role"}:
            raise ControlError(f"{place}: {name}: must be a table with key and role")
        if entry["role"] not in list(Role):
            raise ControlError(f"{place}: {name}.role = {entry['role']}: must be {', '.join(Role)}")
        public = z85.decode(_key_of(entry, "key", place))
        if public in clients:
            raise ControlError(f"{place}: {name} has the key of {clients[public].name}")
        clients[public] = KnownClient(name, Role(entry["role"]), public)
    return clients


def make_keys(folder: Path, name: str, role: Role, public: str = "") -> list[Path]:
    """Put a client on the list, and make what keys are missing; return the files written.

    With `public` the client has made its pair itself. ControlError: it is on the list already, or the folder can't be
    used; nothing is written then.
    """
    check_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_unchanged(folder)
    known = load_clients(folder) if (folder / CLIENTS).exists() else {}
    if name in {each.name for each in known.values()}:
        raise ControlError(f"{folder / CLIENTS}: {name} is on it; take its table out first")
    if len(known) == CLIENTS_MAX:
        raise ControlError(f"{folder / CLIENTS}: {CLIENTS_MAX} clients are on it, which is all it may hold")
    letters = _key_of({"key": public}, "key", folder / name) if public else b""
    if letters and z85.decode(letters) in known:
        raise ControlError(f"{folder / CLIENTS}: {known[z85.decode(letters)].name} has this key")
    if not letters and (folder / f"{name}.key").exists():
        raise ControlError(f"{folder / name}.key: is there already; a key is never overwritten")
    written = []
    if not (folder / f"{SERVER}.key").exists():
        written.append(_make_pair(folder, SERVER))
        own = load_server_key(folder)
        written.append(_write_new(folder / f"{SERVER}.pub", f'public = "{own.public.decode()}"\n', 0o644))
    if not letters:
        written.append(_make_pair(folder, name))
        letters = _read_pair(folder / f"{name}.key")[0]
    _add_to_list(folder / CLIENTS, f'[{name}]\nkey = "{letters.decode()}"\nrole = "{role}"\n')
    return [*written, folder / CLIENTS]


def _make_pair(folder: Path, name: str) -> Path:
    public, secret = zmq.curve_keypair()
    text = f'public = "{public.decode()}"\nsecret = "{secret.decode()}"\n'
    return _write_new(folder / f"{name}.key", text, 0o600)


def _write_new(place: Path, text: str, mode: int) -> Path:
    """Write a file that is not there yet. ControlError: it is, or it can't be written."""
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise ControlError(f"{place}: is there already; a key is never overwritten") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return place


def _add_to_list(place: Path, table: str) -> None:
    """Add a table to the list, all of it or nothing."""
    before = place.read_text() if place.exists() else ""
    beside = place.with_suffix(f".{os.getpid()}")
    _write_new(beside, f"{before}\n{table}" if before else table, 0o600)
    beside.replace(place)


def _read_pair(place: Path) -> tuple[bytes, bytes]:
    try:
        raw = read_secret_file(place, "keys")
    except HostError as error:
        raise ControlError(str(error)) from None
    except OSError as error:
        raise ControlError(f"{place}: keys can't be read: {error.strerror}") from None
    table = _parse(raw, place)
    public, secret = (_key_of(table, key, place) for key in ("public", "secret"))
    if zmq.curve_public(secret) != public:
        raise ControlError(f"{place}: public is not the key that belongs to secret")
    return public, secret


def _read_table(place: Path, bytes_max: int) -> dict[str, Any]:
    """Read what is no secret, but must be nobody else's word."""
    _check_unchanged(place)
    try:
        with place.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ControlError(f"{place}: can't be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ControlError(f"{place}: is longer than {bytes_max} bytes")
    return _parse(raw, place)


def _check_unchanged(place: Path) -> None:
    try:
        found = who_could_change(place)
    except OSError as error:
        raise ControlError(f"{place}: can't be read: {error.strerror}; crosswire control keys makes it") from None
    if found is not None:
        raise ControlError(f"{place}: could be replaced: {found[0]} {found[1]}")


def _parse(raw: bytes, place: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # whose text would show a piece of it
        raise ControlError(f"{place}: is not valid TOML") from None


def _key_of(table: dict[str, Any], key: str, place: Path) -> bytes:
    """Take a key out of a table, in Z85 letters. ControlError, without a word of it, if it is none."""
    text = table.get(key)
    try:
        letters = text.encode("ascii") if isinstance(text, str) else b""
        is_key = len(letters) == KEY_BYTES * 5 // 4 and z85.encode(z85.decode(letters)) == letters
    except (KeyError, ValueError, OverflowError, UnicodeEncodeError):
        is_key = False
    if not is_key:
        raise ControlError(f"{place}: {key} is missing, or no key of {KEY_BYTES * 5 // 4} Z85 letters")
    return letters
