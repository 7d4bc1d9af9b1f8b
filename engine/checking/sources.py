"""The source of a strategy's functions, parsed once a file."""

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from crosswire.nic.unit.compile import Compiled, plain_function
from crosswire.nic.unit.source import PACKAGE_FOLDER, is_ours, is_own_file, resolved
from crosswire.strategies import interface
from crosswire.strategies.interface import Strategy

CALLBACKS: tuple[Any, ...] = (
    interface.on_book,
    interface.on_trade,
    interface.on_book_lost,
    interface.on_fill,
    interface.on_order,
    interface.on_timer,
    interface.on_named_timer,
    interface.on_parameters,
    interface.on_flattened,
    interface.catch_up,
    interface.on_finish,
)


@functools.lru_cache(maxsize=64)
def _parsed(path: Path, _mtime_ns: int) -> ast.Module:
    return ast.parse(path.read_bytes())


def parsed(path: Path) -> ast.Module:
    """Parse a source file as it is now. SyntaxError, OSError."""
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _functions(path: Path, mtime_ns: int) -> dict[tuple[str, int], ast.FunctionDef]:
    found = {}
    waiting: list[ast.AST] = [_parsed(path, mtime_ns)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found[node.name, first] = node
        # Functions stand in statements: expressions need not be gone through.
        for part in ("body", "orelse", "finalbody"):
            waiting.extend(each for each in getattr(node, part, ()) if isinstance(each, ast.stmt))
    return found


def path_of(function: FunctionType) -> Path:
    """Find the file that a function is written in."""
    return resolved(function.__code__.co_filename)


def node_of(function: FunctionType) -> ast.FunctionDef | None:
    """Find a function's parsed source; None of one that has no file, or a file that has been edited since."""
    path = path_of(function)
    if not path.is_file():
        return None
    key = (function.__code__.co_name, function.__code__.co_firstlineno)
    return _functions(path, path.stat().st_mtime_ns).get(key)


@functools.lru_cache(maxsize=4096)
def is_authors(function: FunctionType, cls: type[Strategy]) -> bool:
    """Tell whether a function is to be looked into for a strategy class: the author's own, not Crosswire's.

    Of a class that is Crosswire's own, what lies in `strategies` is its author's, but for what all strategies use.
    """
    path = path_of(function)
    if not is_ours(path):
        return is_own_file(path)
    of_class = resolved(inspect.getfile(cls))
    if not is_ours(of_class):
        return False
    return path.parent == PACKAGE_FOLDER / "strategies" and path.stem not in ("desk", "interface")


def callbacks_of(cls: type[Strategy]) -> Iterator[tuple[Any, FunctionType]]:
    """List what a class has registered: the generic and its plain function. What it ignores is left out."""
    for generic in CALLBACKS:
        function = plain_function(generic.implementation_for(cls))
        if generic.implementations.get(Strategy) not in (function, generic.implementation_for(cls)):
            assert isinstance(function, FunctionType)
            yield generic, function


def compiled_in(module: Any) -> Iterator[FunctionType]:
    """List the compiled helpers that a module defines."""
    for value in list(vars(module).values()):
        if is_marked(value):
            plain = plain_function(value)
            if isinstance(plain, FunctionType) and plain.__module__ == module.__name__:
                yield plain


def is_marked(value: Any) -> bool:
    """Tell whether a function is decorated for compiled code, compilation on or off, and nothing wraps that."""
    if isinstance(value, Compiled):
        return isinstance(plain_function(value), FunctionType)
    # What `functools.wraps` makes of a compiled function has its attributes, and runs other code.
    return isinstance(value, FunctionType) and "__wrapped__" not in vars(value) and getattr(value, "is_compiled", False)


@functools.lru_cache(maxsize=4096)
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Read a function's signature, its annotations as objects where they can be had."""
    plain = plain_function(function)
    try:
        return inspect.signature(plain, eval_str=True)
    except Exception:  # an annotation that names nothing is the author's own, and says nothing then
        return inspect.signature(plain)


def class_node(cls: type) -> tuple[Path, ast.ClassDef | None]:
    """Find the source of a class."""
    path = resolved(inspect.getfile(cls))
    nodes = [each for each in parsed(path).body if isinstance(each, ast.ClassDef) and each.name == cls.__name__]
    return path, nodes[0] if nodes else None


def line_of_field(node: ast.ClassDef, name: str) -> int:
    """Find the line that a class declares a name in; 0: none of its own."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id == name:
            return each.lineno
    return 0
