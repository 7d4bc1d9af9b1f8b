"""The documentation: it builds without a warning, what it links is there, and its commands are commands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.config import RunConfig
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig
from crosswire.venues.starbase.settings import StarbaseSettings
from tests.docs import reference
from tests.support.paths import ROOT, recording

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
INDENT = "    "
NO_COMMAND = re.compile(r"\.\.\.|\||\[OPTIONS\]")  # its form, or a part of it


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    built = subprocess.run(
        [*command, "docs", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (built.returncode, built.stderr) == (0, "")
    for page in PAGES:
        if page.parent != ROOT:
            assert (tmp_path / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file(), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_is_there(page: Path) -> None:
    missing = [
        target
        for target, _ in LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert missing == []


def test_every_page_is_on_the_site() -> None:
    listed = re.findall(r"^([a-z][a-z/-]*)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)
    there = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if page.parent != ROOT}
    assert set(listed) == there - {"index"}


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_the_program(name: str) -> None:
    """`python -m tests.docs.reference` writes it anew."""
    assert (reference.FOLDER / name).read_text() == reference.PAGES[name]()


@pytest.mark.parametrize("root", [RunConfig, StarbaseSettings, BridgeConfig, StandInConfig])
def test_every_key_says_what_it_means(root: Any) -> None:
    silent = [
        f"{cls.__name__}.{key.name}"
        for cls in reference.tables_of(root)
        for key in reference.keys_of(cls)
        if not key.meaning and "](#" not in key.type  # a table's keys say it
    ]
    assert silent == []


def test_a_comment_is_read_where_it_stands() -> None:
    said = reference.comments_of(StarbaseSettings)
    assert said["mmp_group_id"].startswith("market maker protection group")
    assert said["self_trading_mode"] == "What the venue does where two orders of ours would meet."


def commands_in(page: Path) -> list[str]:
    """The commands of ours in a page's blocks, one by one."""
    found = []
    for line in page.read_text().splitlines():
        if line.startswith(INDENT) and not line.startswith(INDENT + " "):
            for part in re.split(r"\s[#>] ", line)[0].replace(" && ", "; ").split("; "):
                command = part.strip().removesuffix("&").strip()
                if command.startswith("crosswire ") and not NO_COMMAND.search(command):
                    found.append(command)
    return found


DOCUMENTED = sorted({command for page in PAGES for command in commands_in(page) if "evidence" not in page.name})


@pytest.mark.parametrize("line", DOCUMENTED)
def test_a_documented_command_is_one(line: str) -> None:
    """Its options are those of the program, and it lacks none that is required."""
    command: Any = reference.program()
    _, *arguments = shlex.split(line)
    while reference.is_group(command):
        assert arguments[0] in command.commands, line
        command = command.commands[arguments.pop(0)]
    command.make_context(line, arguments)


def walk(page: str, folder: Path) -> int:
    """Run a page's commands in a folder, word for word; how many there are."""
    commands = commands_in(ROOT / "docs" / page)
    for command in commands:
        _, *arguments = shlex.split(command)
        run = [sys.executable, "-m", "crosswire.engine.cli", *arguments]
        ended = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert (command, ended.returncode, ended.stderr[-2000:] if ended.returncode else "") == (command, 0, "")
    return len(commands)


def test_the_way_into_backtesting_is_walked(tmp_path: Path) -> None:
    """In an empty folder with the recordings that it is about."""
    copies = {
        "capture.pcapng": recording("deribit/sample_capture_v1_6.pcapng"),
        "spot.gz": recording("binance/spot/btcusdt_20240808.gz"),
        "usdm.gz": recording("binance/usdm/btcusdt_20240808.gz"),
    }
    for name, source in copies.items():
        (tmp_path / name).symlink_to(source)
    assert walk("backtesting.md", tmp_path) == 8
    assert (tmp_path / "runs" / "synthetic" / "latest" / "report.html").is_file()
    assert len(list((tmp_path / "data").glob("*.pcap*"))) >= 2


@pytest.mark.netns
def test_the_way_into_colocation_is_walked(tmp_path: Path) -> None:
    """In an empty folder, on namespaces of the test's own, and for seconds instead of a minute."""
    commands = commands_in(ROOT / "docs" / "colocation.md")
    changes = {"testbed up": "testbed up --name cd", "testbed down": "testbed down --name cd"}
    changes |= {"--seconds 60": "--seconds 6", "--seconds 63": "--seconds 9"}
    exchanges = None
    try:
        for command in commands:
            line = command
            for old, new in changes.items():
                line = line.replace(old, new)
            run = [sys.executable, "-m", "crosswire.engine.cli", *shlex.split(line)[1:]]
            if " exchange " in line:
                exchanges = subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
                assert exchanges.stdout is not None
                assert any(said.startswith("ready") for said in exchanges.stdout)
                continue
            ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
            if " explain " in line:
                # Whether the model explains all that happened on a real wire differs from run to run: 1 is an answer.
                assert ended.returncode in (0, 1), ended.stderr
                assert "order messages again, byte for byte" in ended.stdout
                continue
            assert (line, ended.returncode, ended.stderr[-2000:] if ended.returncode else "") == (line, 0, "")
            if line == "crosswire examples":
                for path in (tmp_path / "examples").glob("*.toml"):
                    path.write_text(re.sub(r'"cw(-engine|-exchange|e\d|x\d)"', r'"cd\1"', path.read_text()))
    finally:
        down = [sys.executable, "-m", "crosswire.engine.cli", "testbed", "down", "--name", "cd"]
        subprocess.run(down, cwd=tmp_path, capture_output=True, check=False)
        if exchanges is not None:
            exchanges.terminate()
            exchanges.communicate(timeout=60)
    assert json.loads((tmp_path / "runs" / "synthetic" / "latest" / "summary.json").read_text())["fills"] > 0


def test_the_way_to_a_strategy_is_walked(tmp_path: Path) -> None:
    """With the files that it has one write, which are made from the pages' own blocks."""
    (tmp_path / "examples").mkdir()
    tables = fenced("plugins.md", "toml")
    example = (ROOT / "examples" / "synthetic.toml").read_text()
    before, _, rest = example.partition("[strategy]")
    (tmp_path / "examples" / "my.toml").write_text(f"{before}{tables}\n{rest[rest.index('[live]') :]}")
    (tmp_path / "examples" / "imbalance.py").write_text(fenced("strategies.md", "python"))
    assert walk("plugins.md", tmp_path) == 2
    assert json.loads((tmp_path / "runs" / "synthetic" / "latest" / "summary.json").read_text())["fills"] > 0


def fenced(page: str, language: str) -> str:
    """A page's first block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]
