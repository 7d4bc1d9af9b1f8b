"""What `crosswire live` asks of the host before it starts."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.config import load_config
from crosswire.engine.doctor.start import check_host
from crosswire.engine.live.steady import SteadyConsole
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed
from tests.support.bad_network import config_of

START_S_MAX = 0.05


def said(config: Path, output: Path) -> str:
    console = SteadyConsole(Console(file=io.StringIO(), width=200))
    check_host(load_config(config), config, output, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def with_checks(network: Testbed, folder: Path, checks: str) -> Path:
    return config_of(network, folder, **{"core = 1\n": f'core = 1\nchecks = "{checks}"\n'})


@pytest.mark.netns
def test_live_warns_unless_told_otherwise(bad: Testbed, tmp_path: Path) -> None:
    lines = said(config_of(bad, tmp_path), tmp_path / "runs").splitlines()
    near = bad.links[0].engine_interface
    failed = [line for line in lines if line.startswith(f"host: {near}: checksums of a veth: {near} on")]
    assert len(failed) == 2  # both venues have that interface
    assert "wanted off at both ends" in failed[0]
    assert "ethtool -K" in failed[0]
    assert lines[-1].startswith("host: ")
    assert f"warnings: crosswire doctor {tmp_path / 'run.toml'}" in lines[-1]


@pytest.mark.netns
def test_live_refuses_before_anything_is_made(bad: Testbed, tmp_path: Path) -> None:
    config, runs = with_checks(bad, tmp_path, "refuse"), tmp_path / "runs"
    with pytest.raises(HostError, match=r'checksums of a veth.*checks = "refuse"'):
        said(config, runs)
    done = CliRunner().invoke(app, ["live", str(config), "--output", str(runs), "--seconds", "1"])
    assert done.exit_code == 1
    assert 'checks = "refuse"' in done.stderr
    assert "on " + bad.links[0].engine_interface not in done.stdout  # no ring was opened
    assert not runs.exists()


@pytest.mark.netns
def test_live_asks_nothing_if_told_so(bad: Testbed, tmp_path: Path) -> None:
    assert said(with_checks(bad, tmp_path, "off"), tmp_path / "runs") == ""


@pytest.mark.netns
def test_the_checks_take_no_time(bad: Testbed, tmp_path: Path) -> None:
    """Of the processor: what else the machine does is not theirs."""
    config = load_config(config_of(bad, tmp_path))
    taken = []
    for _ in range(5):
        begun = time.process_time()
        check_host(config, tmp_path / "run.toml", tmp_path / "runs", SteadyConsole(Console(file=io.StringIO())))
        taken.append(time.process_time() - begun)
    assert min(taken) < START_S_MAX


def test_another_word_is_refused(tmp_path: Path) -> None:
    text = Path("examples/synthetic.toml").read_text().replace("core = 1\n", 'core = 1\nchecks = "maybe"\n', 1)
    (tmp_path / "run.toml").write_text(text)
    done = CliRunner().invoke(app, ["doctor", str(tmp_path / "run.toml")])
    assert (done.exit_code, "live.checks = maybe" in done.stderr) == (3, True)
