"""The profiles fit the example that they are written for, and start only once they are filled in."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.config import ConfigError, need_live, parse_config
from crosswire.engine.configuration.show import toml_text
from crosswire.engine.live.rings import parse_group
from crosswire.nic.host.multicast import is_multicast
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "deribit-binance.toml"
PAGE = (ROOT / "docs" / "profiles.md").read_text()
PROFILES = dict(re.findall(r"^## (Deribit [^\n]+)\n.*?^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
MADE_UP = "192.0.2."
REAL = "10.1.2."


def with_profile(text: str) -> str:
    """The example, each table that the profile has in the place of its own."""
    table: dict[str, Any] = tomllib.loads(EXAMPLE.read_text(), parse_float=Decimal)
    profile: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
    table["live"] = profile["live"]
    own = {venue["name"]: venue for venue in table["venue"]}
    for venue in profile["venue"]:
        market = own[venue["name"]].get("starbase", {}).get("market")
        own[venue["name"]].update(venue)
        if market is not None:  # of the simulated exchange: a backtest's
            own[venue["name"]]["starbase"]["market"] = market
    return toml_text(table)


def test_there_is_one_for_each_place() -> None:
    assert list(PROFILES) == ["Deribit in Equinix LD4", "Deribit from AWS"]


@pytest.mark.parametrize("name", PROFILES)
def test_it_is_a_configuration_that_waits_to_be_filled_in(name: str, tmp_path: Path) -> None:
    text = with_profile(PROFILES[name])
    path = tmp_path / "run.toml"
    with pytest.raises(ConfigError, match=r"venue starbase: live\.groups: 192\.0\.2\.1 stands for an address"):
        need_live(parse_config(text, path), path)
    made_up = set(re.findall(r"192\.0\.2\.\d+", text))
    for left in made_up:  # each of them alone is enough
        filled = text
        for each in made_up - {left}:
            filled = re.sub(rf"{re.escape(each)}\b", each.replace(MADE_UP, REAL), filled)
        with pytest.raises(ConfigError, match=re.escape(left)):
            need_live(parse_config(filled, path), path)
    filled = text.replace(MADE_UP, REAL)
    config = parse_config(filled, path)
    assert need_live(config, path) == config.live
    for venue in config.venue:
        assert venue.live is not None
        groups = [parse_group(each, "groups") for each in venue.live.groups]
        assert groups
        assert all(is_multicast(group.ip) and group.source_ip != 0 for group in groups)


@pytest.mark.parametrize("address", ["192.0.2.255", "198.51.100.0", "203.0.113.7"])
@pytest.mark.parametrize("key", ["gateway", "gateway_b"])
def test_every_address_that_is_kept_for_documents_is_refused(key: str, address: str, tmp_path: Path) -> None:
    text = with_profile(PROFILES["Deribit in Equinix LD4"]).replace(MADE_UP, REAL)
    edited = re.sub(rf"^{key} = .*195.*$", f'{key} = "{address}:4210"', text, flags=re.MULTILINE)
    assert edited != text
    with pytest.raises(ConfigError, match=rf"live\.{key}: {re.escape(address)} stands for"):
        need_live(parse_config(edited, tmp_path / "run.toml"), tmp_path / "run.toml")


def test_an_address_near_them_is_nobodys_business(tmp_path: Path) -> None:
    text = with_profile(PROFILES["Deribit in Equinix LD4"])
    for real in ("192.0.3.", "192.0.1."):
        path = tmp_path / "run.toml"
        need_live(parse_config(text.replace(MADE_UP, real), path), path)
