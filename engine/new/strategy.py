"""`crosswire new strategy`: a folder with a strategy, its parameters, a test, a configuration and a page about it.

It can be installed, too, so that a configuration anywhere finds the strategy by its name.

All of it runs and passes as it is written: it is there to be changed, one idea at a time.
"""

import ast
import importlib.util
import keyword
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path
from string import Template

from crosswire.engine.config import ConfigError
from crosswire.engine.examples import example_files
from crosswire.engine.plugin import BUILT_IN

LETTERS_MAX = 40
EXAMPLE = "synthetic.toml"  # what the configuration is made from

STRATEGY = '''"""Hold one lot while the bids outweigh the asks, be short one while the asks do."""

from typing import Annotated

import msgspec

from crosswire import BUY, SELL, BuildContext, Desk, Order, OrderState, Parameter, Strategy
from crosswire import i64, on_book, on_order, submit


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    instrument: Annotated[str, Parameter("", '"venue/symbol"')]
    lots: Annotated[int, Parameter("lots", "held at most, long or short", least=1, most=1_000)] = 1
    ratio_percent: Annotated[
        int, Parameter("percent", "of one side to the other", least=101, most=10_000, field="ratio_percent")
    ] = 300


class $name(Strategy):
    instrument: i64  # market index
    lots: i64
    ratio_percent: i64
    is_working: i64  # 1: an order is out

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "$name":
        return cls(
            instrument=context.index_of(parameters.instrument),
            lots=parameters.lots,
            ratio_percent=parameters.ratio_percent,
        )


@on_book.register($name)
def look(strategy: $name, desk: Desk, instrument: int) -> None:
    if instrument != strategy.instrument or strategy.is_working != 0:
        return
    book = desk.books[instrument]
    if book.bid_lots == 0 or book.ask_lots == 0:  # an empty side has no price
        return
    held_lots = desk.positions[instrument].position_lots
    if held_lots < strategy.lots and book.bid_lots * 100 > book.ask_lots * strategy.ratio_percent:
        if submit(desk, instrument, BUY, book.ask_ticks, strategy.lots - held_lots):
            strategy.is_working = 1
    elif held_lots > -strategy.lots and book.ask_lots * 100 > book.bid_lots * strategy.ratio_percent:
        if submit(desk, instrument, SELL, book.bid_ticks, strategy.lots + held_lots):
            strategy.is_working = 1


@on_order.register($name)
def order_changed(strategy: $name, desk: Desk, order: Order) -> None:
    if order.state > OrderState.PENDING_CANCEL:  # filled, cancelled, rejected or vetoed
        strategy.is_working = 0
'''

TEST = '''"""One decision by hand, and what must hold whatever happens."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from $module import $name

from crosswire.testing import Harness, check_properties, linear, miss

PARAMETERS = {"instrument": "a", "lots": 1, "ratio_percent": 300}


def test_it_buys_where_the_bids_outweigh_the_asks() -> None:
    harness = Harness($name, PARAMETERS, {"a": linear(tick="0.1", lot="0.001")})
    harness.answers = [miss()]
    harness.set_book("a", bids=[(100, 4)], asks=[(101, 1)])
    assert [(order.price_ticks, order.qty_lots) for order in harness.orders] == [(1010, 1)]
    harness.advance(1_000_000)  # the answer arrives: nothing was filled
    harness.set_book("a", bids=[(100, 4)], asks=[(101, 1)])
    harness.advance(1_000_000)
    assert harness.position_lots("a") == 1


def test_what_must_hold() -> None:
    check_properties($name, PARAMETERS, {"a": linear(lot="0.001")}, position_max={"a": "0.001"})
'''

README = """# $module

Holds one lot while the bids outweigh the asks, and is short one while the asks do. It is an example, and no claim that
it earns anything: it takes at every turn, and pays taker fees each time.

| file | is |
|---|---|
| `$module.py` | the strategy `$name`, and its parameters |
| `test_$module.py` | a decision by hand, and what must hold whatever happens |
| `$module.toml` | a whole run on generated data: two venues, every limit |
| `pyproject.toml` | what offers it by its name once it is installed |

    crosswire parameters $module.py:$name        # what it can be told
    crosswire backtest $module.toml              # generates its data in the folder data
    crosswire backtest $module.toml --set ratio_percent=500
    pip install 'crosswire[testing]' pytest
    pytest
    pip install -e .                             # from now on any configuration may say use = "$module"

`CROSSWIRE_NO_JIT=1` runs all of it uncompiled, for a debugger.
"""

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$module"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["crosswire"]

[project.entry-points."crosswire.strategies"]
$module = "$module:$name"

[tool.hatch.build]
dev-mode-dirs = ["."]  # `pip install -e .`: an edit counts at once

[tool.hatch.build.targets.wheel]
only-include = ["$module.py"]
"""


def check_name(name: str) -> None:
    """Refuse what can't be a module of its own. ConfigError: one line."""
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LETTERS_MAX - 1}}}", name):
        raise ConfigError(
            f"new strategy {name}: a name is small letters, digits and `_`, a letter first, at most {LETTERS_MAX}"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in ("crosswire", "test", "data", *BUILT_IN):
        raise ConfigError(f"new strategy {name}: is a name that Python or Crosswire uses itself; choose another")
    if keyword.iskeyword(class_of(name)) or class_of(name) in _names_used():
        raise ConfigError(
            f"new strategy {name}: its class would be {class_of(name)}, which is a name that Python or Crosswire uses "
            "itself; choose another"
        )
    spec = importlib.util.find_spec(name)
    # A folder without code in it, as one that Python was started beside, hides nothing. A conftest.py is pytest's.
    if name == "conftest" or (spec is not None and spec.origin is not None):
        where = "pytest's conftest.py" if spec is None else spec.origin
        raise ConfigError(f"new strategy {name}: would hide {where} from the folder's own code; choose another name")


def class_of(name: str) -> str:
    """Name a strategy's class after its module."""
    return "".join(part.capitalize() for part in name.split("_"))


def _names_used() -> set[str]:
    """List the names that the written files import or define beside the strategy's own."""
    found = set()
    for text in (STRATEGY, TEST):
        for node in ast.walk(ast.parse(text.replace("$", "_own_"))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                found |= {each.asname or each.name for each in node.names}
            elif isinstance(node, ast.ClassDef):
                found.add(node.name)
    return found


def new_strategy(name: str, parent: Path) -> Path:
    """Write the folder `parent`/`name`, whole or not at all; return it.

    ConfigError: the name can't be one, or something of that name is there. OSError.
    """
    check_name(name)
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder}: exists already, and nothing is overwritten; choose another name")
    words = {"module": name, "name": class_of(name)}
    files = {
        f"{name}.py": Template(STRATEGY).substitute(words),
        f"test_{name}.py": Template(TEST).substitute(words),
        "README.md": Template(README).substitute(words),
        "pyproject.toml": Template(PROJECT).substitute(words),
        f"{name}.toml": configuration(words),
    }
    parent.mkdir(parents=True, exist_ok=True)
    partial = parent / f".{name}-{os.getpid()}.partial"
    partial.mkdir()
    try:
        for file, content in files.items():
            (partial / file).write_text(content)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def configuration(words: dict[str, str]) -> str:
    """Write a run of the strategy over generated data, from the example that has every limit."""
    (example,) = (path for path in example_files() if path.name == EXAMPLE)
    text = example.read_text()
    venue = tomllib.loads(text)["venue"][0]
    instrument = f"{venue['name']}/{venue['instrument'][0]['symbol']}"
    before, _, rest = text.partition("[strategy]\n")
    after = rest[rest.index("# For `crosswire exchange`") :]
    tables = (
        f'[strategy]\nuse = "{words["module"]}.py:{words["name"]}"\n\n'
        f'[strategy.parameters]\ninstrument = "{instrument}"\nlots = 1\nratio_percent = 300\n\n'
    )
    changed = before.replace('name = "synthetic"', f'name = "{words["module"]}"') + tables + after
    return changed.replace("../data/synthetic", "data")
