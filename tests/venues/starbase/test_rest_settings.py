"""The keys of `[venue.starbase]` that name its REST: what is none, or would send a key in the clear, is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.live.confinement import confine_live
from crosswire.nic.host.landlock import Places
from crosswire.venues.starbase.adapter import ADAPTER
from crosswire.venues.starbase.rest.address import parse_address
from crosswire.venues.starbase.settings import StarbaseSettings
from tests.support.paths import ROOT

pytestmark = pytest.mark.starbase
GOOD = {"rest": "https://195.138.37.5:4410", "credentials": "key.toml"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://195.138.37.5:4410", (True, "195.138.37.5", 4410)),
        ("https://www.deribit.com", (True, "www.deribit.com", 443)),
        ("https://www.deribit.com/", (True, "www.deribit.com", 443)),
        ("http://127.0.0.1:8080", (False, "127.0.0.1", 8080)),
        ("http://127.255.1.2", (False, "127.255.1.2", 80)),
        ("http://localhost:8080", (False, "localhost", 8080)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[bool, str, int]) -> None:
    assert parse_address(text, "rest") == address


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (
            {"rest": "http://195.138.37.5:4410"},
            "rest = http://195.138.37.5:4410: http is taken on this host's loopback",
        ),
        ({"rest_b": "http://localhost.example.org"}, "rest_b = http://localhost.example.org: http is taken on"),
        ({"rest": "http://127.0.0.1.example.org"}, "http is taken on this host's loopback only"),
        ({"rest": "http://0x7f000001"}, "http is taken on this host's loopback only"),
        ({"rest": "http://0.0.0.0:80"}, "http is taken on this host's loopback only"),
        ({"rest": "195.138.37.5:4410"}, "rest = 195.138.37.5:4410: must be https://host:port"),
        ({"rest": "ftp://127.0.0.1"}, "must be https://host:port"),
        ({"rest": "https://"}, "must be https://host:port"),
        ({"rest": "https://a:0"}, "must be https://host:port"),
        ({"rest": "https://a:70000"}, "must be https://host:port"),
        ({"rest": "https://a:x"}, "must be https://host:port"),
        ({"rest": "https://[::1]:80"}, "must be https://host:port"),
        ({"rest": "https://a b"}, "must be https://host:port"),
        ({"rest": "https://a\r\nX: y"}, "rest: must be https://host:port"),
        ({"rest": "https://a\tb"}, "rest: must be https://host:port"),
        ({"rest": "https://a/api"}, "rest: must be an address alone"),
        ({"rest": "https://a?key=SECRET"}, "rest: must be an address alone"),
        ({"rest": "https://me:SECRET@a"}, "rest: must be an address alone"),
        ({"rest": "https://me:SECRET@a b"}, "rest: must be https://host:port"),
        ({"credentials": ""}, "rest = https://195.138.37.5:4410: a venue takes no made-up key: set credentials"),
        ({"rest": "", "rest_b": "https://a"}, "rest_b is set, but rest is not"),
        (
            {"rest": "https://a", "rest_b": "https://a:443/"},
            "rest_b = https://a:443/ is rest: name gateway B's address",
        ),
        ({"rest": "", "rest_ca": "ca.pem"}, "rest_ca is set, but rest is not"),
        ({"positions": "https://a"}, "positions is set, but positions_credentials is not"),
        ({"positions_credentials": "key.toml"}, "positions_credentials is set, but positions is not"),
        ({"rest": "", "positions": "https://a", "positions_credentials": "k"}, "positions is set, but rest is not"),
    ],
)
def test_what_can_t_be_is_refused_by_name(changes: dict[str, str], wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(GOOD | changes, StarbaseSettings)
    assert wrong in str(caught.value)
    assert "SECRET" not in str(caught.value)


def with_rest(folder: Path, *lines: str) -> Path:
    """The example, with these lines under `[venue.starbase]`."""
    text = (ROOT / "examples" / "starbase.toml").read_text()
    path = folder / "run.toml"
    path.write_text(text.replace("[venue.starbase]\n", "\n".join(("[venue.starbase]", *lines, ""))))
    return path


def test_the_configuration_is_refused_as_it_is_loaded(tmp_path: Path) -> None:
    path = with_rest(tmp_path, 'rest = "http://10.0.0.1:80"')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == (
        f"{path}: venue starbase: starbase: rest = http://10.0.0.1:80: http is taken on this host's loopback only, "
        "as the key would be sent in the clear; use https"
    )


def test_a_confined_run_may_connect_to_its_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("crosswire.engine.live.confinement.confine", lambda *given: seen.append(given) or "")
    lines = (
        'credentials = "key.toml"',
        'rest = "https://195.138.37.5:4410"',
        'rest_b = "https://195.138.37.6:4411"',
        'positions = "https://www.deribit.com"',
        'positions_credentials = "classic.toml"',
    )
    path = with_rest(tmp_path, *lines)
    config = load_config(path)
    confine_live(config, path, (), None)
    ((places, *_),) = seen
    assert isinstance(places, Places)
    gateways = {4210, 4211, 9000}
    assert set(places.connect) >= {443, 4410, 4411}
    assert set(places.connect) - {443, 4410, 4411} <= gateways
    assert ADAPTER.order_entries["bridge"].account_ports(config.venue[0].settings) == ()
