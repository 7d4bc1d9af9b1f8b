"""`python -m tests.docs.mistakes`: write docs/mistakes.md anew, from the strategies of tests/strategies/mistakes.

Each row is one file: what `crosswire check` says to it, and what numba says if it is left to it.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from crosswire.engine.checking.file import check_use
from crosswire.engine.checking.mistake import CodeMistake
from crosswire.engine.plugin import begin_run, find_strategy_class
from crosswire.engine.seat import strategy_unit
from crosswire.nic.unit import build
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "mistakes.md"
FOLDER = ROOT / "tests" / "strategies" / "mistakes"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")
SILENT = "compiles"
LETTERS_MAX = 110  # of numba's line
BEGINNING = """# Mistakes

What `crosswire check` says to a mistake, and what numba says if it is left to it: the first line of its message that is
about the mistake, or nothing, since it compiles. A run refuses all of these before anything is compiled, compilation on
or off. The files are in `tests/strategies/mistakes`, and this page is written from them by
`python -m tests.docs.mistakes`.

| mistake | line | `crosswire check` | numba alone |
|---|---|---|---|
"""
END = """
`crosswire check` reads the source: every callback for what the engine calls it with, every `@compiled` helper for what
it is called with. It says nothing of what can't be known before the run: whether a count that a field holds lies inside
its table, whether a sum of prices fits 64 bits. A condition that mentions a name or a field is taken for its guard.

With compilation off an attribute that is no field, an index outside a table, and a number of more than 64 bits end the
run at the line, so that a debugger stops where compiled code would have gone on.
"""


def checked(path: Path) -> list[CodeMistake]:
    """What is found in a file."""
    return check_use(str(path))[1]


def by_numba(folder: Path = FOLDER) -> dict[str, str]:
    """What numba says to each file of a folder: in a process of its own, which compiles and nothing else."""
    command = [sys.executable, "-m", "tests.docs.mistakes", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "CROSSWIRE_NO_JIT"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    said: dict[str, str] = json.loads(run.stdout)
    return said


def compile_all(folder: Path) -> dict[str, str]:
    """Compile the class Mine of each file without looking at it first."""
    backend = build.compiler_of_this_process()
    said = {}
    for path in sorted(path for path in folder.glob("*.py") if path.stem != "__init__"):
        begin_run()
        unit = strategy_unit(find_strategy_class(f"{path}:Mine", ROOT, "mistakes"))
        try:
            backend.compile_unit(unit.name, [(e.name, e.function, e.kinds, e.in_memory) for e in unit.entries])
            said[path.stem] = SILENT
        except Exception as error:
            said[path.stem] = first_reason(str(error))
    return said


def first_reason(text: str) -> str:
    """The first line of a message that is not about how numba works, without what differs from run to run."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "Failed in" not in line]
    line = re.sub(r"0x[0-9a-f]+", "0x...", lines[0] if lines else text)
    line = re.sub(r"crosswire_plugin_(\w+?)_[0-9a-f]{12}", r"\1", line).replace(f"{ROOT}/", "")
    line = line.replace("](", "] (")  # no link of the page
    return line if len(line) <= LETTERS_MAX else line[:LETTERS_MAX] + " ..."


def code(text: str) -> str:
    """Text as code inside a table."""
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`"


def page(numba: dict[str, str]) -> str:
    """The whole page."""
    rows = []
    for path in FILES:
        lines = path.read_text().splitlines()
        title = ast.get_docstring(ast.parse("\n".join(lines))) or path.stem
        mistakes = checked(path)
        said = "<br>".join(f"{each.what}; *{each.instead}*".replace("|", "\\|") for each in mistakes)
        source = "<br>".join(code(lines[each.line - 1].partition("  # <-")[0].strip()) for each in mistakes)
        alone = "**nothing: it compiles**" if numba[path.stem] == SILENT else code(numba[path.stem])
        rows.append(f"| {title.rstrip('.')} | {source} | {said} | {alone} |")
    return BEGINNING + "\n".join(rows) + "\n" + END


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(compile_all(Path(sys.argv[1]))))
    else:
        PAGE.write_text(page(by_numba()))
