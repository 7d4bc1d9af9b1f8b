"""A wheel with machine code in it: a fresh machine compiles nothing, and old or damaged code is never run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from crosswire.engine.console.server import STATIC
from crosswire.nic.unit import ready, target
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.store import SUFFIX
from tests import wheel
from tests.engine.test_digests import DIGESTS
from tests.support.live_setup import make_config
from tests.support.net import own_testbed

pytestmark = pytest.mark.skipif(NO_JIT, reason="compilation is off")
ACTING = re.compile(r"@on_book\.register\(CrossSpread\)\ndef [^)]*\) -> None:\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, with what the first example is made from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "COMMANDS", wheel.COMMANDS[:1])
        patch.setattr(wheel, "LIVE", "")
        return wheel.make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def package(made: Path, tmp_path: Path) -> Path:
    """What an installer makes of it."""
    folder = tmp_path / "package"
    zipfile.ZipFile(made).extractall(folder)
    return folder


def run_example(package: Path, work: Path, **environment: str) -> tuple[str, list[str]]:
    """Run the first example in an empty folder, with an empty store; the digest, and the units compiled."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(package / "crosswire" / "examples", work / "examples")
    unset = {name: value for name, value in os.environ.items() if not name.startswith("CROSSWIRE_")}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "crosswire.engine.cli", "backtest", "examples/synthetic.toml"],
        cwd=work,
        env=unset | {"PYTHONPATH": str(package), "CROSSWIRE_CACHE": str(work / "cache"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (work / "runs" / "synthetic" / "latest" / "report.html").is_file()
    [digest] = re.findall(r"^Digest +(\S+)", done.stdout, re.M)
    units = (path.name.rpartition("-")[0] for path in (work / "cache" / "units").glob(f"*{SUFFIX}"))
    return digest, sorted(units)


def test_a_fresh_machine_compiles_nothing(package: Path, tmp_path: Path) -> None:
    assert run_example(package, tmp_path / "work") == (DIGESTS["synthetic"], [])


def test_what_is_older_than_its_source_is_not_run(package: Path, tmp_path: Path) -> None:
    """An edit that makes the strategy do nothing: it does nothing, and only what is made from it was compiled."""
    path = package / "crosswire" / "strategies" / "cross_spread.py"
    path.write_text(ACTING.sub(lambda match: f"{match.group()}    return\n", path.read_text()))
    digest, units = run_example(package, tmp_path / "work")
    assert units == ["strategy-CrossSpread"]
    shutil.rmtree(package / "crosswire" / "units")
    assert run_example(package, tmp_path / "work")[0] == digest != DIGESTS["synthetic"]


def test_what_is_damaged_or_for_another_processor_is_compiled(package: Path, tmp_path: Path) -> None:
    [feed] = package.glob("crosswire/units/feed-BridgeFeed-*")
    data = bytearray(feed.read_bytes())
    data[len(data) // 2] ^= 1
    feed.write_bytes(data)
    assert run_example(package, tmp_path / "work") == (DIGESTS["synthetic"], ["feed-BridgeFeed"])
    came = {path.name.rpartition("-")[0] for path in package.glob("crosswire/units/*")}
    digest, units = run_example(package, tmp_path / "work", CROSSWIRE_PROCESSOR="host")
    assert (digest, set(units)) == (DIGESTS["synthetic"], came)


@pytest.fixture
def serves(package: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether what is in the package serves this process, asked anew."""
    monkeypatch.setattr(ready, "FOLDER", package / "crosswire" / "units")
    for name in ("CROSSWIRE_PROCESSOR", "CROSSWIRE_LLVM_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ready, "target", target.target.__wrapped__)
    return ready.serves_this_process.__wrapped__


def test_only_defaults_on_an_able_processor_are_served(
    serves: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serves()
    monkeypatch.setenv("CROSSWIRE_LLVM_LEVEL", "3")
    assert not serves()
    monkeypatch.setenv("CROSSWIRE_LLVM_LEVEL", str(target.LEVEL))
    assert serves()
    for missing in ready.FEATURES:
        able = {feature: feature != missing for feature in ready.FEATURES}
        monkeypatch.setattr("crosswire.nic.unit.ready.llvm.get_host_cpu_features", lambda able=able: able)
        assert not serves(), missing


def test_what_others_could_change_does_not_serve(serves: Callable[[], bool], package: Path) -> None:
    (package / "crosswire" / "units").chmod(0o777)
    assert not serves()
    shutil.rmtree(package / "crosswire" / "units")
    assert not serves()


FIRST_SCREEN = """
import asyncio, sys
from pathlib import Path
from crosswire.engine.config import load_config
from crosswire.engine.monitor.address import open_client
from crosswire.engine.monitor.top.look import traded_of
from crosswire.engine.monitor.top.screen import Top

async def look(config):
    with open_client(config, Path("runs")) as client:
        top = Top(client, traded_of(load_config(config)))
        async with top.run_test(size=(120, 40)) as pilot:
            while top.seen.status is None:
                await pilot.pause(0.1)
            print(top.seen.status.name, top.seen.status.is_alive, len(top.seen.books))

asyncio.run(look(Path(sys.argv[1])))
"""


@pytest.mark.netns
@pytest.mark.slow  # a live run on a network of its own, from machine code that the first example did not leave
def test_the_wheel_alone_trades_and_is_looked_at(package: Path) -> None:
    """Backtest, report, live run, monitor, `top` and console, in an empty folder with an empty home."""
    with TemporaryDirectory(prefix="cw-") as name, own_testbed("wh", links=2) as testbed:
        work = Path(name)
        cli = [sys.executable, "-B", "-m", "crosswire.engine.cli"]
        unset = {key: value for key, value in os.environ.items() if not key.startswith("CROSSWIRE_")}
        home = work / "home"
        home.mkdir()
        environment = unset | {"PYTHONPATH": str(package), "HOME": str(home)}
        if "CROSSWIRE_CACHE" in os.environ:  # what a live run needs, and the first example has not left in this wheel
            environment["CROSSWIRE_CACHE"] = os.environ["CROSSWIRE_CACHE"]

        def run(*words: object, command: list[str] = cli) -> str:
            every = [*command, *map(str, words)]
            done = subprocess.run(
                every, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=300
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        @contextmanager
        def started(*words: object, ready: str) -> Iterator[str]:
            """Start a command; give the line that says that it is ready, and end it as a user does."""
            both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = subprocess.Popen([*cli, *map(str, words)], cwd=work, env=environment, text=True, **both)
            assert process.stdout is not None
            said = ""
            try:
                for line in process.stdout:
                    said += line
                    if ready in line:
                        break
                assert ready in said, said
                yield line
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)

        run("examples")
        run("backtest", "examples/synthetic.toml")
        assert (work / "runs/synthetic/latest/report.html").is_file()
        assert run("report", "runs/synthetic/latest")
        (work / "live").mkdir()
        config = make_config(work / "live", testbed, seconds=60)
        config.write_text(f'{config.read_text()}\n[control]\nkeys = "keys"\n')
        run("control", "keys", config, "tess", "--role", "trader")
        with (
            started("exchange", config, "--wait", "--seconds", 60, ready="ready"),
            started("monitor", config, ready="monitor of"),
            started("live", config, ready="trading"),
        ):
            assert run(config, command=[sys.executable, "-B", "-c", FIRST_SCREEN]) == "synthetic True 2\n"
            with started("console", "--live", config, ready="http://") as address:
                opener = build_opener(HTTPCookieProcessor())
                assert b"<title>Crosswire console" in opener.open(address.strip()).read()
                root = address.split("/live")[0]
                for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', (STATIC / "console.html").read_text()):
                    assert opener.open(root + file).read()
                assert json.load(opener.open(f"{root}/api/runs"))["is_live"]
