"""The systemd units: systemd takes them, they are closed, and their engine has what live needs and is never restarted
into an alarm."""

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.config import LiveConfig, load_config
from crosswire.engine.deploy.units import COMMAND, installed_command, unit_files, write_units
from crosswire.engine.live.capabilities import needed_capabilities
from crosswire.engine.live.live import LOG_OUT_S, WIND_DOWN_S
from tests.support.paths import ROOT

NAMES = ["crosswire-bridge@", "crosswire-capture@", "crosswire-engine@", "crosswire-monitor@"]
# What `systemd-analyze security` counts against each, of 10: the engine's is what its capabilities cost.
EXPOSURES = {"engine": 3.7, "monitor": 2.0, "capture": 2.4, "bridge": 2.0}


def needs_systemd_analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have systemd-analyze (Debian's package systemd)")
        pytest.skip("needs systemd-analyze")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)


def read(name: str) -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(next(path for path in unit_files() if name in path.name))
    return unit["Service"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "system"
    folder.mkdir()
    done = CliRunner().invoke(app, ["units", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_the_units_run_this_installation_and_are_never_written_over(written: Path) -> None:
    assert sorted(path.stem for path in written.iterdir()) == NAMES
    for path in written.iterdir():
        text = path.read_text()
        assert str(installed_command()) in text
        assert COMMAND not in text
    before = {path: path.read_text() for path in written.iterdir()}
    next(iter(before)).unlink()
    with pytest.raises(FileExistsError):
        write_units(written)
    assert len(list(written.iterdir())) == len(NAMES) - 1


def test_a_folder_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["units", str(tmp_path / "none")])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_systemd_finds_nothing_wrong(written: Path) -> None:
    needs_systemd_analyze()
    for path in written.iterdir():
        done = analyze("verify", "--man=no", "--recursive-errors=no", str(path))
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), path


def test_systemd_finds_something_wrong_where_it_is(written: Path) -> None:
    needs_systemd_analyze()
    path = written / "crosswire-engine@.service"
    path.write_text(path.read_text().replace("KillMode=process", "KillMode=proces"))
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(path))
    assert "kill mode" in done.stderr


@pytest.mark.parametrize("name", EXPOSURES)
def test_the_units_are_closed(written: Path, name: str) -> None:
    needs_systemd_analyze()
    done = analyze("security", "--offline=true", "--no-pager", str(written / f"crosswire-{name}@.service"))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURES[name]


def test_the_engine_may_do_what_live_needs_and_nothing_else() -> None:
    config = load_config(ROOT / "examples" / "synthetic.toml")
    assert config.live is not None
    live = msgspec.structs.replace(config.live, scheduling="fifo", lock_memory=True)
    assert isinstance(live, LiveConfig)
    service = read("engine")
    needed = {name for name, _ in needed_capabilities(config, live)}
    assert set(service["AmbientCapabilities"].split()) == needed
    assert set(service["CapabilityBoundingSet"].split()) == needed
    assert (service["LimitMEMLOCK"], service["LimitRTPRIO"]) == ("infinity", "99")
    for other, capabilities in {"capture": "CAP_NET_RAW", "monitor": "", "bridge": ""}.items():
        assert read(other)["CapabilityBoundingSet"] == capabilities


@pytest.mark.parametrize("name", ["engine", "bridge"])
def test_what_trades_is_never_started_again_after_it_ended_itself(name: str) -> None:
    """An alarm, a failed strategy, a refused configuration: exit code 1; a wrong command line: 2."""
    service = read(name)
    assert service["Restart"] == "on-abnormal"  # systemd.service(5): not after an exit code
    assert service["RestartPreventExitStatus"].split() == ["1", "2"]


def test_the_engine_has_the_time_that_leaving_takes() -> None:
    service = read("engine")
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "process")
    assert float(service["TimeoutStopSec"]) > 10 * (WIND_DOWN_S + LOG_OUT_S)


def test_the_commands_of_the_units_exist() -> None:
    for path in unit_files():
        for words in re.findall(rf"{COMMAND} ([a-z ]+?) (?:/etc|%i)", path.read_text()):
            shown = CliRunner().invoke(app, [*words.split(), "--help"])
            if not words.startswith("bridge"):  # registered only where it is called
                assert shown.exit_code == 0, words


def test_the_image_has_what_the_package_offers_and_is_not_root() -> None:
    text = (ROOT / "engine" / "deploy" / "Containerfile").read_text()
    extras = re.search(r"\$\{wheel\}\[([a-z,-]+)\]", text)
    assert extras
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras[1].split(",")) <= set(offered)
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["crosswire"]
    volume = re.search(r"^VOLUME (\S+)$", text, re.MULTILINE)
    assert volume
    assert f"WORKDIR {volume[1]}\n" in text  # where runs and journals go
