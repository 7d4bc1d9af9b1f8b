"""A unit's key: everything that its machine code is made from changes it, and nothing else does."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import crosswire.engine.loop  # noqa: F401  looked at below
from crosswire.nic.unit import branches, source
from crosswire.nic.unit.call import call_unit
from crosswire.nic.unit.compile import Compiled, compiled
from crosswire.nic.unit.unit import key_of

PRINT_KEY = """
import sys
sys.path.insert(0, sys.argv[1])
import project.main as main
from crosswire.engine.loop import loop_unit
from crosswire.nic.clock import ReplayClock
from crosswire.nic.unit.call import call_unit
from crosswire.nic.unit.unit import key_of
exec(sys.argv[2])
print(key_of(call_unit(main.total, (main.Pair, "i64"))), key_of(loop_unit(ReplayClock)))
"""
LOAD_EVERYTHING = """
import importlib, pkgutil, crosswire
for each in pkgutil.walk_packages(crosswire.__path__, "crosswire."):
    importlib.import_module(each.name)
"""
FILES = {
    "project/__init__.py": "",
    "project/main.py": """
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from project.lib.edge import LOTS, scaled
from . import kinds
from .kinds import Pair


@compiled
def total(pair: Pair, factor: int) -> int:
    return scaled(pair.first, factor) + LOTS + kinds.OFFSET
""",
    "project/kinds.py": """
from crosswire.nic.memory.struct import Struct, i64

OFFSET = 5


class Pair(Struct):
    first: i64
    second: i64
""",
    "project/lib/__init__.py": "",
    "project/lib/edge.py": """
from crosswire.nic.unit.compile import compiled
from project.lib import deeper

LOTS = 1


@compiled
def scaled(value: int, factor: int) -> int:
    return value * factor + deeper.LOTS


def describe() -> str:
    from project import unrelated

    return str(unrelated.LOTS)
""",
    "project/lib/deeper.py": "LOTS = 0\n",
    "project/unrelated.py": "LOTS = 0\n",
    "project/test_main.py": "import project.main\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def key(project: Path, first: str = "") -> str:
    command = [sys.executable, "-B", "-c", PRINT_KEY, str(project), first]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_is_the_same_in_every_process_and_folder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert key(project) == key(project) == key(project.rename(tmp_path_factory.mktemp("other") / "place"))


def test_no_module_of_the_package_has_in_it_where_it_lies() -> None:
    """A constant with the package's folder in it would give a wheel's units other keys than those looked for."""
    place = """
from crosswire.nic.unit.source import PACKAGE_FOLDER, frozen_values
ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "crosswire"}
values = [(name, key, text) for name, module in ours.items() for key, text in frozen_values(module)]
print(len(values) > 1000, [each for each in values if str(PACKAGE_FOLDER) in each[2]])
"""
    command = [sys.executable, "-c", f"import sys\n{LOAD_EVERYTHING}{place}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True []\n"


@pytest.mark.parametrize("first", ["import project.unrelated", "import crosswire.nic.unit.backend", LOAD_EVERYTHING])
def test_what_else_the_process_has_loaded_does_not_change_it(project: Path, first: str) -> None:
    """What a run compiles late, with the compiler loaded already, is found by the next run, which has not."""
    assert key(project, first) == key(project)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("project/main.py", "+ LOTS", "- LOTS"),
        ("project/kinds.py", "OFFSET = 5", "OFFSET = 6"),
        ("project/kinds.py", "first: i64\n", "zeroth: i64\n    first: i64\n"),
        ("project/lib/edge.py", "LOTS = 1", "LOTS = 3"),
        ("project/lib/edge.py", "value * factor", "value - factor"),
        ("project/lib/deeper.py", "LOTS = 0", "LOTS = 2"),
    ],
)
def test_an_edit_of_what_it_is_made_from_changes_it(project: Path, name: str, old: str, new: str) -> None:
    before = key(project)
    path = project / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert key(project) != before


@pytest.mark.parametrize("name", ["project/unrelated.py", "project/test_main.py", "notes.py"])
def test_an_edit_beside_it_does_not(project: Path, name: str) -> None:
    before = key(project)
    with (project / name).open("a") as file:
        file.write("MORE = 1\n")
    assert key(project) == before


@pytest.mark.parametrize(
    "assignment",
    [
        "main.LOTS = 7",
        "import project.lib.deeper; project.lib.deeper.LOTS = 7",
        "main.scaled = main.compiled(lambda value, factor: value)",
        "import crosswire.venues.market; main.market = crosswire.venues.market",
    ],
)
def test_a_value_that_is_frozen_into_the_code_changes_it(project: Path, assignment: str) -> None:
    """Set by other code than the module's own text."""
    assert (key(project, assignment) == key(project)) == ("main.market" in assignment)


def test_a_data_file_that_was_read_changes_it(project: Path) -> None:
    data = project / "levels.json"
    data.write_text("[1]")
    note = "from pathlib import Path; from crosswire.nic.unit.source import note_read; "
    note += f"note_read('project.main', set(), {{Path({str(data)!r})}})"
    before = key(project, note)
    assert before == key(project, note)
    data.write_text("[2]")
    assert key(project, note) != before


@pytest.mark.parametrize(("variable", "value"), [("CROSSWIRE_LLVM_LEVEL", "3"), ("CROSSWIRE_PROCESSOR", "x86-64-v3")])
def test_level_and_processor_change_it(
    project: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(project)
    monkeypatch.setenv(variable, value)
    assert key(project) != before


def made_by(number: int, inner: Callable[[int], int]) -> Callable[[int], int]:
    @compiled
    def outer(value: int) -> int:
        return inner(value) + number

    return outer


@compiled
def once(value: int) -> int:
    return value


@compiled
def twice(value: int) -> int:
    return 2 * value


def test_what_a_function_closes_over_changes_it() -> None:
    keys = {key_of(call_unit(made_by(number, inner), ("i64",))) for number in (1, 2) for inner in (once, twice)}
    assert len(keys) == 4
    assert made_by(1, twice)(3) == 7
    assert made_by(2, once)(3) == 5


def test_libraries_and_the_standard_library_are_none_of_it() -> None:
    names = set(source.closure(["crosswire.engine.loop"]))
    assert "crosswire.nic.clock" in names
    assert "crosswire.risk.gate" in names
    assert all(name.startswith("crosswire") for name in names)
    # What the loop is not made from: an edit of a decoder or a strategy leaves its machine code.
    assert not [name for name in names if name.startswith(("crosswire.venues.bridge", "crosswire.strategies.legs"))]


def test_every_compiled_function_of_a_unit_lies_in_its_closure() -> None:
    """As far as Python can tell: the globals that the functions of the closure name, and theirs."""
    names = source.closure(["crosswire.engine.loop"])
    for name in names:
        for value in vars(sys.modules[name]).values():
            if isinstance(value, Compiled):
                assert value.plain.__module__ in names


def test_the_compilers_own_source_is_part_of_every_unit() -> None:
    """Whether it is loaded or not: what it is made from is in the closure of every unit, or among its files."""
    import crosswire.nic.unit.backend  # noqa: F401

    compiler = source.closure(["crosswire.nic.unit.backend", "crosswire.nic.host.system_call"])
    files = {source.PACKAGE_FOLDER / each for each in source.COMPILER_FILES}
    assert {path for path in files if path.suffix == ".py"} <= set(compiler.values())
    assert branches.COUNTED in files
    ours = set(source.closure(["crosswire.engine.loop"]).values())
    left = {path for path in compiler.values() if path not in ours | files and path.stat().st_size}
    # `libc` of it is ctypes' own, and nothing else of it is used by what generates code.
    assert left <= {source.PACKAGE_FOLDER / "nic/host/process.py"}
