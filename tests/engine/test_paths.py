"""Where recordings are looked for, and what is said where they are missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.data import prepare_data
from crosswire.engine.paths import missing_recording, named_path, recordings_folder
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "binance-btc.toml"


def test_names_are_beside_the_configuration_or_among_the_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWIRE_DATA", str(tmp_path))
    assert named_path(Path("runs"), "../data/a.pcap") == Path("runs/../data/a.pcap")
    assert named_path(Path("runs"), "/data/a.pcap") == Path("/data/a.pcap")
    assert named_path(Path("runs"), "$CROSSWIRE_DATA/spot/a.gz") == tmp_path / "spot" / "a.gz"


def test_recordings_are_beside_a_checkout_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSWIRE_DATA", raising=False)
    assert recordings_folder() == ROOT.parent / "shared" / "data"
    monkeypatch.setenv("CROSSWIRE_DATA", "")
    assert recordings_folder() == ROOT.parent / "shared" / "data"


def test_an_installed_package_has_no_default(tmp_path: Path) -> None:
    shutil.copy(ROOT / "engine" / "paths.py", tmp_path)
    script = "import paths; print(paths.recordings_folder()); print(paths.missing_recording('$CROSSWIRE_DATA/a.gz'))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "None",
        "needs the recording a.gz: set CROSSWIRE_DATA to its folder; docs/data.md says how",
    ]


def test_a_missing_recording_is_one_line_with_what_where_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWIRE_DATA", str(tmp_path / "recordings"))
    config = tmp_path / "examples" / "run.toml"
    config.parent.mkdir()
    config.write_text(EXAMPLE.read_text())
    with pytest.raises(ConfigError) as raised:
        prepare_data(load_config(config), config, None)
    assert str(raised.value) == (
        f"{config}: venue spot: needs the recording binance/spot/btcusdt_20240808.gz: not in "
        f"{tmp_path / 'recordings'}, set CROSSWIRE_DATA to its folder; docs/data.md says how"
    )
    assert (ROOT / "docs" / "data.md").read_text().count("binance/spot/btcusdt_20240808.gz")
    assert missing_recording("binance/spot/btcusdt_20240808.gz") in str(raised.value)
