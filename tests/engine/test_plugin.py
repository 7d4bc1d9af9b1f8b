"""Strategies from files: what lies beside them is found, and no edit of what they are made of runs old machine code."""

import importlib
import json
import os
import py_compile
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.config import ConfigError
from crosswire.engine.entry_points import STRATEGY_GROUP, entry_points
from crosswire.engine.generate import generate_captures
from crosswire.engine.plugin import begin_run, build_strategy, load_strategy_class
from crosswire.engine.seat import strategy_unit
from crosswire.nic.unit import source
from crosswire.nic.unit.unit import key_of
from crosswire.strategies.interface import BuildContext
from tests.support.paths import ROOT
from tests.support.third_party import found_in, offer

MINE = """
import json
from pathlib import Path

import msgspec

from crosswire import BUY, BuildContext, Desk, Strategy, i64, on_book, submit
{imports}


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    every: int = 50


class Nibbler(Strategy):
    every: i64
    seen: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Nibbler":
        {build}
        return cls(every=parameters.every)


@on_book.register(Nibbler)
def nibble(strategy: Nibbler, desk: Desk, instrument: int) -> None:
    strategy.seen += 1
    if strategy.seen % strategy.every == 0:
        submit(desk, instrument, BUY, desk.books[instrument].ask_ticks, {lots})
"""
HELPER = """
from crosswire import compiled

LOTS = 1


@compiled
def lots_now(seen: int) -> int:
    return LOTS
"""
CONTEXT = BuildContext([], {})


@pytest.fixture(autouse=True)
def new_run() -> None:
    begin_run()


def write(folder: Path, imports: str = "", build: str = "pass", lots: str = "1") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MINE.format(imports=imports, build=build, lots=lots))
    return folder


def key(folder: Path) -> str:
    """Of the strategy's unit as a run would make it."""
    cls = load_strategy_class("mine.py:Nibbler", folder, "run.toml")
    strategy = build_strategy(cls, {}, CONTEXT, "run.toml")
    return key_of(strategy_unit(type(strategy)))


def test_a_helper_beside_the_file_is_found_and_read_anew(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "from helper import lots_now", lots="lots_now(strategy.seen)")
    (folder / "helper.py").write_text(HELPER)
    before = key(folder)
    assert before == key(folder)
    (folder / "helper.py").write_text(HELPER.replace("LOTS = 1", "LOTS = 3"))
    assert key(folder) != before
    assert str(folder) not in sys.path


@pytest.mark.parametrize("imports", ["from lib.edge import LOTS", "import lib.edge\nLOTS = lib.edge.LOTS"])
def test_a_constant_in_a_folder_below_is_part_of_it(tmp_path: Path, imports: str) -> None:
    folder = write(tmp_path / "a", imports, lots="LOTS")
    (folder / "lib").mkdir()
    (folder / "lib" / "__init__.py").touch()
    (folder / "lib" / "edge.py").write_text("LOTS = 1\n")
    before = key(folder)
    (folder / "lib" / "edge.py").write_text("LOTS = 3\n")
    assert key(folder) != before


@pytest.mark.parametrize(
    ("imports", "build"),
    [
        ("LOTS = json.loads((Path(__file__).parent / 'lots.json').read_text())", "pass"),
        ("LOTS = 1", "json.loads((Path(__file__).parent / 'lots.json').read_text())"),
        ("LOTS = 1", "open(Path(__file__).parent / 'lots.json', 'rb').read()"),
    ],
    ids=["imported", "built", "opened"],
)
def test_a_data_file_that_it_reads_is_part_of_it(tmp_path: Path, imports: str, build: str) -> None:
    folder = write(tmp_path / "a", imports, build, "LOTS")
    (folder / "lots.json").write_text("1")
    before = key(folder)
    assert before == key(folder)
    (folder / "lots.json").write_text("3")
    assert key(folder) != before


def test_a_module_that_it_imports_by_name_at_run_time_is_part_of_it(tmp_path: Path) -> None:
    imports = "import importlib\nLOTS = importlib.import_module('chosen').LOTS"
    folder = write(tmp_path / "a", imports, lots="LOTS")
    (folder / "chosen.py").write_text("LOTS = 1\nOTHER = 1\n")
    before = key(folder)
    (folder / "chosen.py").write_text("LOTS = 1\nOTHER = 2\n")
    assert key(folder) != before


USES = """
from crosswire import compiled
from deep import lots


@compiled
def lots_now(seen: int) -> int:
    return lots(seen)
"""
DEEP = """
from crosswire import compiled


@compiled
def lots(seen: int) -> int:
    return 1
"""
WAYS = {
    "helper of a helper": ("from first import lots_now", "lots_now(1)", {"a/first.py": USES, "a/deep.py": DEEP}),
    "elsewhere on the path": ("from deep import lots", "lots(1)", {"lib/deep.py": DEEP}),
    "package": ("from pack import deep", "deep.lots(1)", {"lib/pack/__init__.py": "", "lib/pack/deep.py": DEEP}),
    "sub-package": (
        "import pack.sub.deep as d",
        "d.lots(1)",
        {"lib/pack/__init__.py": "", "lib/pack/sub/__init__.py": "", "lib/pack/sub/deep.py": DEEP},
    ),
    "namespace package": ("from pack import deep", "deep.lots(1)", {"lib/pack/deep.py": DEEP}),
    "re-exported": (
        "from pack import lots",
        "lots(1)",
        {"lib/pack/__init__.py": "from .deep import lots\n", "lib/pack/deep.py": DEEP},
    ),
    "all names": ("from deep import *", "lots(1)", {"lib/deep.py": DEEP}),
    "out of a dict": (
        "from table import TABLE\nlots = TABLE['a']",
        "lots(1)",
        {"a/table.py": "from deep import lots\nTABLE = {'a': lots}\n", "a/deep.py": DEEP},
    ),
    "by functools": (
        "from reduced import lots",
        "lots(1)",
        {
            "a/reduced.py": "import functools, deep\nlots = functools.reduce(getattr, ['lots'], deep)\n",
            "a/deep.py": DEEP,
        },
    ),
    "made by a function that imports": (
        "from maker import make\nlots = make()",
        "lots(1)",
        {"a/maker.py": "def make():\n    from deep import lots\n    return lots\n", "a/deep.py": DEEP},
    ),
    "loaded from its file": (
        "import importlib.util as u\n"
        "s = u.spec_from_file_location('nameless', str(Path(__file__).parent / 'deep.py'))\n"
        "m = u.module_from_spec(s)\ns.loader.exec_module(m)\nlots = m.lots",
        "lots(1)",
        {"a/deep.py": DEEP},
    ),
    "an attribute of a module": ("import pack.deep as d", "d.LOTS", {"lib/pack/deep.py": "LOTS = 1\n"}),
    "where another fails": (
        "try:\n    from deep import lots\nexcept ImportError:\n    pass",
        "lots(1)",
        {"a/deep.py": DEEP},
    ),
}


def key_of_its_own_process(root: Path) -> str:
    """Of the strategy in root/a, with root/lib on Python's path, as a run of its own would make it."""
    command = f"from tests.engine.test_plugin import key, Path; print(key(Path({str(root / 'a')!r})))"
    environment = os.environ | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{root / 'lib'}"}
    arguments = [sys.executable, "-c", command]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_of_whatever_it_is_made_of_is_another_unit(tmp_path: Path, way: str) -> None:
    imports, lots, files = WAYS[way]
    write(tmp_path / "a", imports, lots=lots)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = key_of_its_own_process(tmp_path)
    path.write_text(text.replace("1\n", "3\n"))
    assert key_of_its_own_process(tmp_path) != before


def test_a_file_of_the_same_size_and_second_is_read_anew(tmp_path: Path) -> None:
    """Python would take its bytecode from __pycache__, and it would become machine code under the new file's name."""
    folder = write(tmp_path / "a", "from twin import LOTS", lots="LOTS")
    twin = folder / "twin.py"
    seen = []
    for lots in (1, 3):
        twin.write_text(f"LOTS = {lots}\n")
        os.utime(twin, (10**9, 10**9))
        if lots == 1:
            py_compile.compile(str(twin))
        begin_run()
        seen.append(sys.modules[load_strategy_class("mine.py:Nibbler", folder, "run.toml").__module__].LOTS)
    assert seen == [1, 3]


def test_a_helper_of_an_installed_package_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    monkeypatch.setattr(source, "library_folders", lambda: (f"{installed}/",))
    monkeypatch.setattr(source, "package_folders", lambda: (f"{installed}/",))
    monkeypatch.syspath_prepend(str(installed))
    for name, text in {
        "edges/__init__.py": "from edges.deep import lots\n",
        "edges/deep.py": DEEP,
        "sizes.py": "A = 1\n",
    }.items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_text(text)
    folder = write(tmp_path / "a", "import sizes\nfrom edges import lots", lots="lots(1)")
    keys = [key(folder)]
    for name in ("edges/deep.py", "sizes.py"):
        text = (installed / name).read_text()
        (installed / name).write_text(text.replace("1\n", "3\n"))
        keys.append(key(folder))
    assert len(set(keys)) == 3


def test_where_libraries_lie_is_found_out_before_imports_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 imports a module for it, and has no answer for who asks again meanwhile."""
    plain, asked = sysconfig.get_path, []

    def get_path(name: str) -> str:
        assert "colorsys" not in asked
        asked.append("colorsys")
        monkeypatch.delitem(sys.modules, "colorsys", raising=False)
        importlib.import_module("colorsys")
        asked.remove("colorsys")
        return plain(name)

    monkeypatch.setattr(sysconfig, "get_path", get_path)
    source.library_folders.cache_clear()
    # Of a text that no other test writes: a module is named by its own, and where it first came from.
    load_strategy_class("mine.py:Nibbler", write(tmp_path, "import colorsys"), "run.toml")
    assert source.library_folders.cache_info().currsize == 1


def test_a_helper_that_another_strategy_has_loaded_is_not_taken_for_one_s_own(tmp_path: Path) -> None:
    """Alone, the second one would not even find it."""
    (write(tmp_path / "a", "import only_beside_a") / "only_beside_a.py").write_text("LOTS = 1\n")
    write(tmp_path / "b", "import only_beside_a")
    load_strategy_class("mine.py:Nibbler", tmp_path / "a", "run.toml")
    with pytest.raises(ConfigError, match="only_beside_a was loaded for another strategy of the run") as caught:
        load_strategy_class("mine.py:Nibbler", tmp_path / "b", "run.toml")
    assert "\n" not in str(caught.value)


def test_a_module_that_two_strategies_find_at_run_time_is_part_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds it loaded already, and does not say its name anywhere."""
    folder, found = tmp_path / "a", tmp_path / "lib" / "found_by_both.py"
    found.parent.mkdir()
    monkeypatch.syspath_prepend(str(found.parent))
    imports = "import importlib\nLOTS = importlib.import_module('found_by_both').LOTS"
    write(folder, imports, lots="LOTS")
    (folder / "other.py").write_text((folder / "mine.py").read_text())
    found.write_text("LOTS = 1\nOTHER = 1\n")

    def second_key() -> str:
        begin_run()
        for name in ("mine", "other"):
            cls = load_strategy_class(f"{name}.py:Nibbler", folder, "run.toml")
        return key_of(strategy_unit(cls))

    before = second_key()
    found.write_text("LOTS = 1\nOTHER = 2\n")
    assert second_key() != before


def test_a_helper_that_is_gone_or_does_not_parse_is_one_line_with_its_place(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "from fleeting import LOTS", lots="LOTS")
    helper = folder / "fleeting.py"
    helper.write_text("LOTS = 1\n")
    key(folder)
    helper.write_text("LOTS = 1\nLOTS = = 2\n")
    with pytest.raises(ConfigError, match=r"SyntaxError: invalid syntax \(.*fleeting\.py:2\)") as caught:
        key(folder)
    assert "\n" not in str(caught.value)
    helper.unlink()
    with pytest.raises(ConfigError, match=r"No module named 'fleeting' \(.*mine\.py:\d+\)") as caught:
        key(folder)
    assert "\n" not in str(caught.value)
    (folder / "mine.py").write_text("def broken(:\n")
    with pytest.raises(ConfigError, match=r"SyntaxError: .* \(.*mine\.py:1\)"):
        key(folder)


def test_a_test_or_another_strategy_beside_it_is_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    before = key(folder)
    (folder / "test_mine.py").write_text("from mine import Nibbler\n")
    (folder / "other.py").write_text("LOTS = 1\n")
    (folder / "notes.json").write_text("{}")
    assert key(folder) == before


def test_the_same_files_elsewhere_are_the_same(tmp_path: Path) -> None:
    keys = set()
    for name in ("a", "b"):
        folder = write(tmp_path / name, "from helper_of_all import LOTS", lots="LOTS")
        (folder / "helper_of_all.py").write_text("LOTS = 1\n")
        command = [
            sys.executable,
            "-c",
            f"from tests.engine.test_plugin import key, Path; print(key(Path({str(folder)!r})))",
        ]
        keys.add(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert len(keys) == 1


def test_two_strategies_whose_helpers_share_a_name_are_refused(tmp_path: Path) -> None:
    """Python knows one module by a name: the second strategy would run with the first one's helper."""
    for name in ("a", "b"):
        folder = write(tmp_path / name, "from shared_name import LOTS", lots="LOTS")
        (folder / "shared_name.py").write_text("LOTS = 1\n")
    load_strategy_class("mine.py:Nibbler", tmp_path / "a", "run.toml")
    with pytest.raises(ConfigError, match="two strategies of the run have modules called shared_name") as caught:
        load_strategy_class("mine.py:Nibbler", tmp_path / "b", "run.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", r"ModuleNotFoundError: No module named 'nowhere' \(.*mine.py:1\)"),
        ("x = 1 / 0", r"ZeroDivisionError: division by zero \(.*mine.py:1\)"),
        ("raise ValueError('first\\nsecond')", r"ValueError: first \(.*mine.py:1\)"),
        ("raise ValueError", r"ValueError \(.*mine.py:1\)"),
        ("x = 1", "Nibbler is no Strategy class"),
    ],
)
def test_a_file_that_does_not_load_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_strategy_class("mine.py:Nibbler", tmp_path, "run.toml")
    assert "\n" not in str(caught.value)


def test_a_strategy_that_a_package_offers_has_a_name(tmp_path: Path) -> None:
    """Its entry point is enough; one that two packages offer, and a name that nobody has, are one line each."""
    write(tmp_path)
    uses = {"nibbler": "mine:Nibbler", "basis": "mine:Nibbler"}
    offer(tmp_path, "acme_strategies", uses, STRATEGY_GROUP)
    with found_in(tmp_path):
        cls = load_strategy_class("nibbler", tmp_path / "elsewhere", "run.toml")
        assert cls.__name__ == "Nibbler"
        assert load_strategy_class("basis", tmp_path, "run.toml").__name__ == "Basis"
        with pytest.raises(ConfigError, match=r"strategy.use = nibler: .* nor installed \(basis, nibbler\), nor "):
            load_strategy_class("nibler", tmp_path, "run.toml")
        offer(tmp_path, "rival_strategies", {"nibbler": "gone:Nibbler"}, STRATEGY_GROUP)
        entry_points.cache_clear()
        with pytest.raises(ConfigError, match="two packages offer it, acme_strategies and rival_strategies"):
            load_strategy_class("nibbler", tmp_path, "run.toml")


def test_a_build_that_refuses_in_many_lines_is_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", build="raise ValueError('first\\nsecond')")
    cls = load_strategy_class("mine.py:Nibbler", folder, "run.toml")
    with pytest.raises(ConfigError) as caught:
        build_strategy(cls, {}, CONTEXT, "run.toml")
    assert str(caught.value) == "run.toml: strategy.parameters: first"


def test_a_missing_data_file_is_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", build="open('/nowhere/at/all')")
    cls = load_strategy_class("mine.py:Nibbler", folder, "run.toml")
    with pytest.raises(ConfigError, match=r"Nibbler\.build: FileNotFoundError: .*mine\.py") as caught:
        build_strategy(cls, {}, CONTEXT, "run.toml")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the default data and the default example beside it."""
    folder = tmp_path_factory.mktemp("run")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=2)
    (folder / "examples").mkdir()
    return folder


def backtest(folder: Path, strategy: str) -> dict[str, Any]:
    """Run the default example with this table of strategies."""
    text = (ROOT / "examples" / "synthetic.toml").read_text().replace("seconds = 120", "seconds = 2")
    head, _, rest = text.partition("[strategy]")
    config = folder / "examples" / "run.toml"
    config.write_text(f"{head}{strategy}\n[limits]{rest.partition('[limits]')[2]}")
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(config), "--json", "--no-report"]
    result = subprocess.run(
        [*command, "-o", str(folder / "runs")], env=os.environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.slow
def test_no_edit_runs_old_machine_code(folder: Path) -> None:
    write(folder / "examples", "from lib.edge import LOTS", lots="LOTS")
    lib = folder / "examples" / "lib"
    lib.mkdir()
    (lib / "edge.py").write_text("LOTS = 1\n")
    table = '[strategy]\nuse = "mine.py:Nibbler"'
    one, again = backtest(folder, table), backtest(folder, table)
    (lib / "edge.py").write_text("LOTS = 3\n")
    three = backtest(folder, table)
    assert one["orders_sent"] == three["orders_sent"] > 10
    assert one["digest"] == again["digest"] != three["digest"]


@pytest.mark.slow
def test_several_strategies_trade_in_one_run_and_their_orders_are_told_apart(folder: Path) -> None:
    """Two of one class, a third of another: what each does is what it does alone; the account is their sum."""
    write(folder / "examples", lots="2")

    def table(name: str, every: int) -> str:
        return f'[[strategy]]\nname = "{name}"\nuse = "mine.py:Nibbler"\nparameters = {{ every = {every} }}\n'

    often, seldom = backtest(folder, table("often", 60)), backtest(folder, table("seldom", 90))
    both = backtest(folder, table("often", 60) + table("seldom", 90))
    assert set(both["strategies"]) == {"often", "seldom"}
    alone = {"often": often["strategies"]["often"], "seldom": seldom["strategies"]["seldom"]}
    for name, own in both["strategies"].items():
        assert own["orders"] == alone[name]["orders"] > 10
    assert both["orders_sent"] == often["orders_sent"] + seldom["orders_sent"]
    assert both["fills"] == sum(own["fills"] for own in both["strategies"].values())
    rows = pq_rows(folder / "runs" / "synthetic" / "latest" / "orders.parquet", ["strategy"])
    sent = {name: sum(row["strategy"] == name for row in rows) for name in both["strategies"]}
    assert sent == {name: own["orders"] for name, own in both["strategies"].items()}
    columns = ["strategy", "instrument", "side", "qty_lots", "strategy_position_lots", "position_lots"]
    fills = pq_rows(folder / "runs" / "synthetic" / "latest" / "fills.parquet", columns)
    own_lots: dict[tuple[str, int], int] = {}
    all_lots: dict[int, int] = {}
    for fill in fills:
        instrument, lots = fill["instrument"], fill["qty_lots"] if fill["side"] == "buy" else -fill["qty_lots"]
        own_lots[fill["strategy"], instrument] = own_lots.get((fill["strategy"], instrument), 0) + lots
        all_lots[instrument] = all_lots.get(instrument, 0) + lots
        assert fill["strategy_position_lots"] == own_lots[fill["strategy"], instrument]
        assert fill["position_lots"] == all_lots[instrument]
    assert {name for name, _ in own_lots} == {"often", "seldom"}


def pq_rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path, columns=columns).to_pylist())


@pytest.mark.slow
def test_a_division_by_zero_ends_the_run_with_the_line_that_did_it(folder: Path) -> None:
    path = write(folder / "examples", lots="1 // (strategy.seen - strategy.seen)") / "mine.py"
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "1 // (" in text)
    with pytest.raises(AssertionError) as caught:
        backtest(folder, '[strategy]\nuse = "mine.py:Nibbler"')
    assert f"ZeroDivisionError: integer division by zero (mine.py:{line})" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o757, 0o1777])
def test_a_strategy_where_everybody_can_put_code_is_refused(tmp_path: Path, mode: int) -> None:
    """A module beside it, or a .pyc in __pycache__, would run: others can add them, in a sticky folder too."""
    (tmp_path / "mine.py").write_text(MINE.format(imports="", build="", lots=1))
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mine.py:Nibbler: .*{tmp_path}: everybody can put code there; chmod o-w"):
        load_strategy_class("mine.py:Nibbler", tmp_path, "here")
