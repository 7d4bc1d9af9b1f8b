"""Configuration errors are one line with file, key, value and reason; no limit has a default."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.engine.config import ConfigError, load_config
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
TEXT = (EXAMPLES / "synthetic.toml").read_text()


def write(folder: Path, edit: Callable[[str], str]) -> Path:
    path = folder / "run.toml"
    edited = edit(TEXT)
    assert edited != TEXT
    path.write_text(edited)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("name", ["synthetic.toml", "binance-btc.toml"])
def test_examples_are_valid(name: str) -> None:
    config = load_config(EXAMPLES / name)
    assert len(config.venue) >= 2


def test_numbers_are_exact_decimals() -> None:
    for venue in load_config(EXAMPLES / "synthetic.toml").venue:
        for instrument in venue.instrument:
            assert isinstance(instrument.tick, Decimal)


def test_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace("max_loss", "max_los")))
    assert "limits" in message
    assert "max_los" in message


@pytest.mark.parametrize(
    "key", ["max_loss", "max_net", "max_gross", "max_order", "max_position", "max_price", "price_collar_bps"]
)
def test_no_limit_has_a_default(tmp_path: Path, key: str) -> None:
    without = "\n".join(line for line in TEXT.splitlines() if not line.startswith(f"{key} ="))
    message = error_of(write(tmp_path, lambda _text: without))
    assert key in message


def test_wrong_value_is_shown_with_its_key(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace("max_loss = ", "max_loss = true #")))
    assert "limits.max_loss = True" in message


def test_a_venue_twice_and_no_venue_and_no_file(tmp_path: Path) -> None:
    names = [line for line in TEXT.splitlines() if line.startswith('name = "')]
    message = error_of(write(tmp_path, lambda text: text.replace(names[2], names[1])))
    assert "used twice" in message
    assert "no such file" in error_of(tmp_path / "absent.toml")
    assert "can't be read" in error_of(tmp_path)
    (tmp_path / "bad.toml").write_text("name = [")
    assert "not valid TOML" in error_of(tmp_path / "bad.toml")
