"""`crosswire monitor` and `crosswire control` as a user starts them, with no run to serve."""

import signal
import socket
from pathlib import Path

import pytest

from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.keys import load_client_key
from tests.support.command import ask
from tests.support.live_setup import Command, started
from tests.support.paths import ROOT

pytestmark = pytest.mark.control
PATIENCE_S = 60


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An example with [control] and keys for three clients."""
    path = tmp_path / "run.toml"
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    path.write_text(f'{text}\n[control]\nkeys = "keys"\n')
    for name, role in (("vera", "viewer"), ("olga", "operator"), ("tess", "trader")):
        code, lines, _ = ask("control", "keys", path, name, "--role", role)
        assert code == 0
        assert any(line.endswith(f"{name}.key") for line in lines)
    return path


def folder_of(config: Path) -> Path:
    return config.parent / "runs" / "synthetic" / "control"


def monitoring(config: Path):  # type: ignore[no-untyped-def]
    return started(config.parent, "monitor", config, "--output", config.parent / "runs")


def refused(config: Path, *words: object) -> str:
    """Have a command refused in one line; return that."""
    code, lines, error = ask("control", *words, "--output", config.parent / "runs", "--as", "tess")
    assert (code, lines) == (1, [])
    assert len(error.splitlines()) == 1
    return error


def test_a_monitor_serves_without_a_run_and_ends_in_order(config: Path) -> None:
    with monitoring(config) as monitor:
        monitor.wait_for("3 clients on its list", PATIENCE_S)
        assert "no run of synthetic is being traded" in refused(config, "status", config)
        assert "no run of synthetic is being traded" in refused(config, "pause", config)
        code, lines, _ = ask("control", "log", config, "--output", config.parent / "runs", "--as", "vera")
        assert code == 0
        assert "no_engine" in lines[1]
        assert folder_of(config).stat().st_mode & 0o777 == 0o700
        assert (folder_of(config) / "socket").stat().st_mode & 0o777 == 0o600
        assert "waiting" in monitor.text() or "no run of synthetic yet" in monitor.text()
        assert "confined" in monitor.text()
        monitor.process.send_signal(signal.SIGTERM)
        assert "ends (SIGTERM)" in monitor.finish()
    assert sorted(path.name for path in folder_of(config).iterdir()) == ["commands.jsonl", "lock"]


def test_a_second_monitor_is_refused_and_one_behind_a_killed_one_is_not(config: Path) -> None:
    with monitoring(config) as first:
        first.wait_for("3 clients", PATIENCE_S)
        with monitoring(config) as second:
            assert second.process.wait(PATIENCE_S) == 1
            assert "another monitor serves this name" in second.text()
            assert "Traceback" not in second.text()
        first.process.kill()
        first.process.wait()
    assert (folder_of(config) / "socket").exists()
    with monitoring(config) as third:
        third.wait_for("3 clients", PATIENCE_S)
        assert "no run of synthetic" in refused(config, "status", config)


def test_a_monitor_on_tcp_serves_the_same(config: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    config.write_text(config.read_text().replace('keys = "keys"\n', f'keys = "keys"\naddress = "{address}"\n'))
    with monitoring(config) as monitor:
        monitor.wait_for(f"at {address}", PATIENCE_S)
        with Client(address, load_client_key(config.parent / "keys", "vera"), 20.0) as client:
            assert client.log().rows == []
    assert not (folder_of(config) / "socket").exists()


def test_what_can_not_be_served_is_told_in_one_line(config: Path, tmp_path: Path) -> None:
    def told(place: Path) -> str:
        with monitoring(place) as monitor:
            assert monitor.process.wait(PATIENCE_S) == 1
            assert len(monitor.text().splitlines()) == 1
            return monitor.text()

    (tmp_path / "keys" / "server.key").chmod(0o644)
    assert "others may read these keys; `chmod 600` it" in told(config)
    (tmp_path / "keys" / "server.key").chmod(0o600)
    (tmp_path / "keys" / "clients.toml").chmod(0o666)
    assert "clients.toml: could be replaced" in told(config)
    config.write_text(config.read_text().replace("[control]", "[elsewhere]"))
    assert "unknown field `elsewhere`" in told(config)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["status", "{config}"], "no answer in "),
        (["set", "{config}", "limits.loss_max"], "must be name=value"),
        (["set", "{config}", "a=1", "a=2"], "must be name=value, each name once"),
        (["status", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
)
def test_what_can_not_be_asked_is_told_in_one_line(
    config: Path, words: list[str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosswire.engine.monitor.client.TIMEOUT_S", 0.3)
    assert wrong in refused(config, *(word.replace("{config}", str(config)) for word in words))


def test_keys_refuses_a_role_that_there_is_not(config: Path) -> None:
    code, _, error = ask("control", "keys", config, "rob", "--role", "root")
    assert (code, "must be viewer, operator, trader" in error) == (1, True)


def shared_and_writable(monitor: Command) -> list[str]:
    """List what a process has mapped that it shares and may write."""
    lines = Path(f"/proc/{monitor.process.pid}/maps").read_text().splitlines()
    return [line for line in lines if line.split()[1][1] == "w" and line.split()[1][3] == "s"]


def test_without_a_run_nothing_that_the_monitor_shares_can_be_written(config: Path) -> None:
    with monitoring(config) as monitor:
        monitor.wait_for("3 clients", PATIENCE_S)
        assert shared_and_writable(monitor) == []
