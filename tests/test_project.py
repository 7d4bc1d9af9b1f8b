"""The shape of the project: import order, file sizes, nothing left open, what an installed wheel holds."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import crosswire
from tests.support.paths import ROOT

PACKAGES = ["nic", "venues", "risk", "strategies", "engine"]  # lowest first
LINES_MAX = 700
# What is read beside modules.
SHIPPED = ("engine/deploy", "engine/telemetry", "examples", "engine/console/static", "nic/unit")
# Spelt in two parts so that this file passes its own check.
LEFT_OPEN = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def sources() -> list[Path]:
    return [path for folder in [*PACKAGES, "tests"] for path in sorted((ROOT / folder).rglob("*.py"))]


def test_the_package_gives_what_type_checkers_see_of_it() -> None:
    """Its names are listed twice: for checkers, and with the modules that they are imported from when asked for."""
    tree = ast.parse((ROOT / "src" / "crosswire" / "__init__.py").read_text())
    checked = {
        alias.asname: (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(checked, key=str) == dir(crosswire)
    for name, (module, member) in checked.items():
        assert module is not None
        assert getattr(crosswire, str(name)) is getattr(import_module(module), member)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's import contracts over the packages in `folder`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_order_holds() -> None:
    result = lint_imports(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "6 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("nic", "venues"),
        ("venues", "risk"),
        ("strategies", "engine"),
        ("engine", "venues.bridge.feed"),
        ("strategies", "venues.starbase"),
        ("risk", "venues.deribit.adapter"),
        ("venues.deribit", "venues.bridge.feed"),
        ("venues.bridge", "venues.starbase.wire"),
        ("venues.exchange", "venues.bridge.feed"),
    ],
)
def test_import_order_catches_a_forbidden_import(tmp_path: Path, importer: str, imported: str) -> None:
    for package in PACKAGES:
        unneeded = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / "crosswire" / package, ignore=unneeded)
    (tmp_path / "crosswire" / "__init__.py").touch()
    folder = tmp_path.joinpath("crosswire", *importer.split("."))
    (folder / "forbidden.py").write_text(f"import crosswire.{imported}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    shown = result.stdout.replace(f"crosswire.{importer}.forbidden -> \n", f"crosswire.{importer}.forbidden -> ")
    assert f"crosswire.{importer}.forbidden -> crosswire.{imported}" in shown


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_bare_folder_is_no_package(folder: str) -> None:
    """From the checkout's own folder, where Python would find it: a struct under two names would be two structs."""
    result = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"import crosswire.{folder}" in result.stderr
    assert folder not in sys.modules


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_source_file_is_short_and_finished(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LINES_MAX
    assert [line for line in lines if LEFT_OPEN.search(line)] == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in sources() if "tests" not in path.relative_to(ROOT).parts}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("crosswire-*.whl")))


def test_wheel_holds_the_typed_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert "crosswire/py.typed" in names
    own = (path.relative_to(ROOT) for path in sources())
    top = {"crosswire/__init__.py", "crosswire/testing.py"}
    modules = {f"crosswire/{path}" for path in own if "tests" not in path.parts} | top
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"crosswire"}
    files = [path for folder in SHIPPED for path in (ROOT / folder).rglob("*") if path.is_file()]
    data = {f"crosswire/{path.relative_to(ROOT)}" for path in files if path.suffix not in (".py", ".pyc")}
    assert {name for name in names if not name.endswith(".py") and ".dist-info/" not in name} == data | {
        "crosswire/py.typed"
    }


def test_wheel_brings_its_examples(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Out of the wheel alone, away from the checkout: nothing is written beside the package."""
    package, work = tmp_path / "package", tmp_path / "work"
    wheel.extractall(package)
    work.mkdir()
    before = sorted(package.rglob("*"))
    result = subprocess.run(
        [sys.executable, "-B", "-m", "crosswire.engine.cli", "examples"],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    copied = sorted(path.name for path in (work / "examples").iterdir())
    assert copied == sorted(path.name for path in (ROOT / "examples").iterdir())
    assert sorted(package.rglob("*")) == before


def test_wheel_of_the_sdist_is_the_same(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """An sdist leaves out the links that an editable install finds the folders by."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    [packed] = tmp_path.glob("crosswire-*.tar.gz")
    subprocess.run(["tar", "-xf", packed, "-C", tmp_path], check=True)
    unpacked = tmp_path / packed.name.removesuffix(".tar.gz")
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    [again] = tmp_path.glob("crosswire-*.whl")
    with zipfile.ZipFile(again) as other:
        assert other.namelist() == wheel.namelist()
        assert all(other.read(name) == wheel.read(name) for name in other.namelist())


def test_wheel_metadata(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = f"crosswire-{project['version']}.dist-info"
    metadata = HeaderParser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    assert metadata["Name"] == "crosswire"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.15"}
    assert metadata["Summary"]
    assert "crosswire = crosswire.engine.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    licence = wheel.read(f"{folder}/licenses/LICENSE").decode()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def locked(name: str) -> dict[str, list[Requirement]]:
    """What a lock file names, by the package: one requirement, or several for different versions of Python."""
    found: dict[str, list[Requirement]] = {}
    text = (ROOT / name).read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split("--hash=sha256:")
            assert hashes, line
            parsed = Requirement(requirement)
            assert str(parsed.specifier).startswith("=="), line
            found.setdefault(canonicalize_name(parsed.name), []).append(parsed)
    return found


@pytest.mark.parametrize(("lock", "group"), [("requirements.lock", "dev"), ("requirements-fuzz.lock", "fuzz")])
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_the_lock_holds_what_pyproject_asks_for(lock: str, group: str, minor: int) -> None:
    """`make lock` writes it again. Each requirement is met by the one version that is locked for a Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["dependency-groups"][group])
    if group == "dev":  # nothing is fetched to build with, either
        asked += [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    here = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.1", "implementation_name": "cpython"}
    here |= {"sys_platform": "linux", "platform_machine": "x86_64", "platform_python_implementation": "CPython"}
    pins = {
        name: [each for each in every if each.marker is None or each.marker.evaluate(here)]
        for name, every in locked(lock).items()
    }
    for text in asked:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate(here):
            continue
        own = pins.get(canonicalize_name(wanted.name), [])
        assert len(own) == 1, f"{text}: {lock} has {len(own)} of it for Python 3.{minor}: `make lock`"
        version = str(own[0].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), f"{text}: {lock} has {version}: `make lock`"


def test_what_is_installed_is_what_is_locked() -> None:
    """In CI, which has installed from the lock just now."""
    if not os.environ.get("CI"):
        pytest.skip("a developer may try other versions")
    for name, every in locked("requirements.lock").items():
        for each in every:
            if each.marker is None or each.marker.evaluate():
                assert f"=={version(name)}" == str(each.specifier), name


def test_nothing_in_the_package_runs_what_it_reads_as_data() -> None:
    """No pickle, marshal or the like: who can write a file or a pipe that is read so runs code here."""
    refused = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    for folder in PACKAGES:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif (
                    isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
                ):
                    names = ["pickle"]
                elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "cache"):
                    names = ["pickle"]  # numpy's, and numba's cache, which holds pickles
                assert not {name.partition(".")[0] for name in names} & refused, f"{path}:{node}"
