"""Where a monitor listens: addresses that are one, and others."""

from pathlib import Path

import pytest

from crosswire.engine.config import ConfigError, ControlConfig
from crosswire.engine.monitor.address import PATH_BYTES_MAX, address_of_run

pytestmark = pytest.mark.control


def address(text: str, output: Path = Path("/runs")) -> str:
    return str(address_of_run(ControlConfig(keys="keys", address=text), output, "btc"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", "ipc:///runs/btc/control/socket"),
        ("ipc:///run/crosswire/btc", "ipc:///run/crosswire/btc"),
        ("tcp://127.0.0.1:9477", "tcp://127.0.0.1:9477"),
        ("tcp://10.1.2.3:1", "tcp://10.1.2.3:1"),
    ],
)
def test_addresses(text: str, meant: str) -> None:
    assert address(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "tcp://*:9477", "tcp://0.0.0.0:9477", "tcp://224.0.0.1:9477", "tcp://127.0.0.1", "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536", "tcp://host:9477", "tcp://1.2.3.400:9477", "tcp://[::1]:9477", "ipc://relative",
        "ipc://@abstract", "inproc://x", "127.0.0.1:9477",
    ],
)  # fmt: skip
def test_what_is_no_address_of_this_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be ipc:///<path> or tcp://"):
        address(text)


def test_a_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is too long for a socket"):
        address("", tmp_path / ("x" * PATH_BYTES_MAX))
