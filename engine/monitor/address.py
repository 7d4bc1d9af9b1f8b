"""Where a monitor and its clients meet: a socket file in a folder of ours, or a TCP address that was named."""

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from crosswire.engine.config import ConfigError, ControlConfig, RunConfig, load_config
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.keys import load_client_key

FOLDER = "control"  # in the folder of a name's runs: the socket and the command log
SOCKET = "socket"
PATH_BYTES_MAX = 100  # of a socket's file, what libzmq adds included (unix(7): 107)


@dataclass(frozen=True)
class Address:
    """Exactly one of `path` and `host` is set."""

    path: Path | None = None
    host: str = ""  # IPv4
    port: int = 0

    def __str__(self) -> str:
        return f"ipc://{self.path}" if self.path is not None else f"tcp://{self.host}:{self.port}"


def need_control(config: RunConfig, config_path: Path) -> ControlConfig:
    """Give the control plane's part. ConfigError: it is not configured."""
    if config.control is None:
        raise ConfigError(f'{config_path}: [control] is missing: with keys = "<folder>" the run can be commanded')
    return config.control


def keys_folder(control: ControlConfig, config_path: Path) -> Path:
    """Find the folder of keys."""
    return config_path.parent / control.keys


def control_folder(output: Path, name: str) -> Path:
    """Find the folder of a name's socket and command log."""
    return output / name / FOLDER


def address_of_run(control: ControlConfig, output: Path, name: str) -> Address:
    """Tell where the monitor of a name is reached. ConfigError: that is no address."""
    if not control.address:
        return _at_path(control_folder(output, name) / SOCKET, "control.address")
    what = f"control.address = {control.address}"
    kind, _, rest = control.address.partition("://")
    if kind == "ipc" and rest.startswith("/"):
        return _at_path(Path(rest), what)
    address = _tcp_address(rest) if kind == "tcp" else None
    if address is None:
        raise ConfigError(
            f"{what}: must be ipc:///<path> or tcp://<one IPv4 address of this host>:<port>, as tcp://127.0.0.1:9477"
        )
    return address


def address_of_metrics(control: ControlConfig) -> Address | None:
    """Tell where metrics are served; None: nowhere. ConfigError: that is no address."""
    if not control.metrics:
        return None
    address = _tcp_address(control.metrics)
    if address is None:
        raise ConfigError(
            f"control.metrics = {control.metrics}: must be <one IPv4 address of this host>:<port>, as 127.0.0.1:9464"
        )
    return address


def _tcp_address(text: str) -> Address | None:
    """Read "address:port"; None: it is not one address of one host."""
    found = re.fullmatch(r"([0-9.]+):([0-9]{1,5})", text)
    if not found:
        return None
    try:
        host, port = IPv4Address(found[1]), int(found[2])
    except ValueError:
        return None
    if not 1 <= port <= 65_535 or host.is_unspecified or host.is_multicast:
        return None
    return Address(host=str(host), port=port)


def _at_path(path: Path, what: str) -> Address:
    path = Path(os.path.abspath(path))
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ConfigError(
            f'{what}: {path} is too long for a socket, at most {PATH_BYTES_MAX} bytes: set address = "ipc:///<path>"'
        )
    return Address(path=path)


def open_client(config_path: Path, output: Path, name: str = "") -> Client:
    """Make a client of a configuration's monitor; `name` "": whoever has the only client key in its folder.

    ConfigError, ControlError: one line.
    """
    config = load_config(config_path)
    control = need_control(config, config_path)
    key = load_client_key(keys_folder(control, config_path), name)
    return Client(str(address_of_run(control, output, config.name)), key)
