"""`crosswire live --launcher`: the same command under another program, and only where that makes sense."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "synthetic.toml"


def live(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`crosswire live`, with the programs of `folder` in PATH."""
    return subprocess.run(
        [sys.executable, "-m", "crosswire.engine.cli", "live", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A program that says what it was to start, and does not."""
    program = tmp_path / "fastsockets"
    program.write_text('#!/bin/sh\necho "started: $@"\n')
    program.chmod(0o755)
    return program


def test_the_command_is_started_again_without_the_launcher(launcher: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(EXAMPLE.read_text().replace('ring = "af_xdp"', 'ring = "sockets"'))
    result = live(tmp_path, config, "--seconds", 5, "--launcher", launcher.name, "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    expected = (
        f"started: {sys.executable} -m crosswire.engine.cli live {config} --seconds 5 --output {tmp_path / 'out'}"
    )
    assert result.stdout.strip() == expected


def test_a_ring_that_makes_no_socket_calls_is_refused(launcher: Path, tmp_path: Path) -> None:
    result = live(tmp_path, EXAMPLE, "--launcher", launcher.name)
    assert result.returncode != 0
    assert 'takes over sockets, not ring "af_xdp"' in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_launcher_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = live(tmp_path, EXAMPLE, "--launcher=no-such-launcher")
    assert result.returncode != 0
    assert result.stderr.strip() == "crosswire: --launcher no-such-launcher: there is no such program in PATH"
