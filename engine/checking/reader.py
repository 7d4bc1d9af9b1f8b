"""What a reader of one function knows: its names, its file, and where its mistakes go."""

import ast
import builtins
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum, EnumMeta
from fractions import Fraction
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Protocol

import numpy as np

from crosswire.engine.checking.kinds import (
    BOOL,
    FLOAT,
    MIXED,
    NONE,
    TEXT,
    UNKNOWN,
    Kind,
    Number,
    TupleOf,
    Value,
    constant,
    joined,
    loosened,
)
from crosswire.engine.checking.mistake import CodeMistake
from crosswire.engine.checking.sources import is_marked, path_of
from crosswire.nic.memory.struct import Array, Struct
from crosswire.strategies.interface import Strategy

I64_MIN, I64_MAX = -(1 << 63), (1 << 63) - 1
CONTAINERS = (list, dict, set, frozenset, bytearray)


class Analysis(Protocol):
    """What reads the functions of one strategy, each for the kinds of its arguments."""

    cls: type[Strategy]

    def report(self, mistake: CodeMistake) -> None:
        """Note a mistake."""

    def call(self, function: FunctionType, arguments: tuple[Kind, ...]) -> Kind:
        """Read a function that is called with these; tell what it returns."""

    def is_being_read(self, function: FunctionType) -> bool:
        """Tell whether this function is one of those that have led here."""


@dataclass
class Scope:
    """The names that have a value at one place, and those that may have none yet."""

    names: dict[str, Kind] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    is_reached: bool = True

    def copy(self) -> "Scope":
        """Make another one."""
        return Scope(dict(self.names), set(self.maybe), self.is_reached)

    def take(self, other: "Scope") -> None:
        """Become what holds whichever of the two was the way here."""
        if not other.is_reached:
            return
        if not self.is_reached:
            self.names, self.maybe, self.is_reached = dict(other.names), set(other.maybe), True
            return
        maybe = self.maybe | other.maybe | (self.names.keys() ^ other.names.keys())
        for name, kind in other.names.items():
            self.names[name] = joined(self.names[name], kind) if name in self.names else kind
        self.maybe = maybe


@functools.lru_cache(maxsize=1 << 14)
def dotted_in(node: ast.AST) -> tuple[str, ...]:
    """List the names, and the attributes of names, that an expression mentions."""
    return tuple(written(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute))


def written(node: ast.AST) -> str:
    """Write an expression as `ast.unparse` does, which takes twenty times as long for a name or an attribute."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
        return f"{written(node.value)}.{node.attr}"
    return ast.unparse(node)


def nearest(name: str, known: Any) -> str:
    """Say which known name was meant, as ", is it NAME?"; nothing if none is near."""
    found = get_close_matches(name, [each for each in known if not each.startswith("_")], 1, 0.6)
    return f", is it {found[0]}?" if found else ""


class Reader:
    """Reads one function. Subclasses read its expressions and statements."""

    def __init__(self, analysis: Analysis, function: FunctionType, node: ast.FunctionDef) -> None:
        self.analysis = analysis
        self.function = function
        self.node = node
        self.path: Path = path_of(function)
        self.scope = Scope()
        self.tested: set[str] = set()  # what a condition has mentioned: it is taken for guarded from there on
        closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.closed = {name: cell.cell_contents for name, cell in closed}
        self.locals = set(function.__code__.co_varnames) | set(function.__code__.co_cellvars)

    def report(self, node: ast.AST, rule: str, what: str, instead: str) -> Kind:
        """Note a mistake; give UNKNOWN, about which nothing more is said."""
        if self.scope.is_reached:
            line, column = getattr(node, "lineno", self.node.lineno), getattr(node, "col_offset", 0) + 1
            self.analysis.report(CodeMistake(self.path, line, column, rule, what, instead))
        return UNKNOWN

    def test(self, node: ast.AST) -> None:
        """Take everything that a condition mentions for guarded from here on."""
        for text in dotted_in(node):
            self.tested.add(text)
            if text in self.scope.names:
                self.scope.names[text] = loosened(self.scope.names[text])

    def read_name(self, node: ast.Name) -> Kind:
        """Find what a name stands for."""
        name = node.id
        if name in self.scope.names:
            if name in self.scope.maybe:
                self.scope.maybe.discard(name)
                return self.report(
                    node,
                    "unassigned",
                    f"{name} has no value on some of the ways to here, and compiled code reads whatever was there",
                    f"give it one before the branch or loop, as {name} = 0",
                )
            if self.scope.names[name] == MIXED:
                self.scope.names[name] = UNKNOWN
                return self.report(
                    node,
                    "kind",
                    f"{name} is one thing on one way here and another on another",
                    "give each its own name",
                )
            return self.scope.names[name]
        if name in self.locals:
            return self.report(
                node,
                "unassigned",
                f"{name} has no value yet, and compiled code reads whatever was there",
                f"give it one first, as {name} = 0",
            )
        if name in self.closed:
            return self.kind_of_value(node, name, self.closed[name])
        known = self.function.__globals__
        if name in known:
            return self.kind_of_value(node, name, known[name])
        if hasattr(builtins, name):
            return Value(getattr(builtins, name))
        names = {*known, *self.scope.names}
        return self.report(
            node, "name", f"nothing is called {name}{nearest(name, names)}", "import it, or write its right name"
        )

    def kind_of_value(self, node: ast.AST, name: str, value: Any) -> Kind:
        """Tell what compiled code has of an object outside the function: numbers, enumerations and functions."""
        if isinstance(value, bool | np.bool_):
            return BOOL
        if isinstance(value, int):
            if not I64_MIN <= value <= I64_MAX:
                return self.report(node, "width", f"{name} = {value} has more than 64 bits", "use a smaller number")
            return constant(value)
        if isinstance(value, float):
            return FLOAT
        if value is None:
            return NONE
        if isinstance(value, str | bytes):
            return TEXT
        if isinstance(value, tuple):
            return TupleOf(tuple(self.kind_of_value(node, name, each) for each in value))
        if isinstance(value, np.ndarray | np.generic):
            return self.report(
                node, "numpy", f"{name} is NumPy's", "declare a field of the struct: Annotated[Array, i64, 64]"
            )
        if isinstance(value, Decimal | Fraction):
            return self.report(
                node, "float", f"{name} is a {type(value).__name__}", "count in integers, as 1e-9 units (_e9)"
            )
        if isinstance(value, CONTAINERS):
            return self.report(
                node,
                "container",
                f"{name} is a {type(value).__name__} outside the struct",
                "declare a field: Annotated[Array, i64, 64]; a tuple of numbers may stay where it never changes",
            )
        if isinstance(value, Struct | Array):
            return self.report(
                node, "state", f"{name} is memory outside the struct", f"declare it in {self.analysis.cls.__name__}"
            )
        return Value(value)

    def read_attribute_of_value(self, node: ast.Attribute, owner: Any) -> Kind:
        """Read an attribute of a Python object: a module's name, an enumeration's member."""
        if isinstance(owner, ModuleType) and owner.__name__.partition(".")[0] == "numpy":
            return self.report(
                node, "numpy", f"{ast.unparse(node)} is NumPy's", "write a loop over a table of the struct"
            )
        if isinstance(owner, ModuleType):
            if not hasattr(owner, node.attr):
                near = nearest(node.attr, vars(owner))
                return self.report(node, "name", f"{owner.__name__} has no {node.attr}{near}", "write its right name")
            return self.kind_of_value(node, ast.unparse(node), getattr(owner, node.attr))
        if isinstance(owner, EnumMeta):
            members: Mapping[str, Enum] = owner.__members__
            if node.attr not in members:
                near = nearest(node.attr, members)
                return self.report(node, "name", f"{owner.__name__} has no {node.attr}{near}", "write its right name")
            value = members[node.attr].value
            return constant(value) if isinstance(value, int) else UNKNOWN
        if isinstance(owner, Enum) and isinstance(owner.value, int):
            return constant(owner.value)
        if isinstance(owner, type) and is_marked(getattr(owner, node.attr, None)):
            return self.report(
                node,
                "helper",
                f"{ast.unparse(node)} belongs to a class",
                "write a function of the module with @compiled",
            )
        if isinstance(owner, type) and issubclass(owner, Struct):
            return self.report(
                node,
                "state",
                f"{ast.unparse(node)} belongs to the class, which compiled code does not have",
                "make it a constant of the module, or a field",
            )
        return UNKNOWN

    def is_python(self, function: Any) -> bool:
        """Tell whether this is a function of the standard library."""
        module = getattr(function, "__module__", None) or ""
        return module.partition(".")[0] in sys.stdlib_module_names


def number_from(value: Kind) -> Number:
    """Give what is known of a value's range."""
    return value if isinstance(value, Number) else Number()
