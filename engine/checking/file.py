"""A strategy's file as an editor sees it: loaded, its strategies found, all their mistakes together."""

import ast
from pathlib import Path

from crosswire.engine.checking.check import CodeError, find_mistakes
from crosswire.engine.checking.mistake import CodeMistake
from crosswire.engine.config import ConfigError
from crosswire.engine.plugin import begin_run, find_strategy_class, own_place, plain_error
from crosswire.strategies.interface import Strategy

MEND = "mend it, the rest is looked at then"
BASES = ("Strategy", "LegStrategy")


def classes_in_file(path: Path) -> list[str]:
    """List the strategy classes that a file defines, by their names; of other bases, those with a `build`."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        line = getattr(error, "lineno", None) or 1
        raise CodeError("check", [CodeMistake(path.resolve(), line, 1, "load", said, MEND)]) from None
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            builds = any(isinstance(each, ast.FunctionDef) and each.name == "build" for each in node.body)
            if bases & set(BASES) or (builds and node.bases):
                found.append(node.name)
    return found


def check_use(use: str) -> tuple[list[type[Strategy]], list[CodeMistake]]:
    """Find the mistakes of "file.py", "file.py:Class", "package.module:Class" or a built-in name. ConfigError."""
    name, separator, _ = use.rpartition(":")
    uses = [use]
    if not separator and use.endswith(".py"):
        path = Path(use)
        if path.is_dir():
            raise ConfigError(f"{use}: is a folder; name a file in it")
        if not path.is_file():
            raise ConfigError(f"{use}: there is no such file")
        try:
            uses = [f"{use}:{each}" for each in classes_in_file(path)]
        except CodeError as error:
            return [], error.mistakes
        if not uses:
            raise ConfigError(f"{use}: no class in it is a Strategy; write class Mine(Strategy)")
    elif name.endswith(".py") and not Path(name).is_file():
        raise ConfigError(f"{name}: there is no such file")
    begin_run()
    try:
        classes = [find_strategy_class(each, Path.cwd(), "check") for each in uses]
    except CodeError as error:
        return [], error.mistakes
    except ConfigError as error:
        place = None if error.__cause__ is None else own_place(error.__cause__)
        if place is None:
            raise
        return [], [CodeMistake(*place, 1, "load", plain_error(error.__cause__), MEND)]
    found = {each for cls in classes for each in find_mistakes(cls)}
    return classes, sorted(found)
