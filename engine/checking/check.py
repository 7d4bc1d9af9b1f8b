"""`crosswire check`: all that compiled code could not take of a strategy, or would take otherwise than it reads.

Each callback is read for what the engine calls it with, and every helper for what it is called with, as the compiler
does; from the source alone, so that nothing is compiled and nothing runs but the module itself.
"""

import ast
import inspect
import sys
from pathlib import Path
from types import FunctionType

from crosswire.engine.checking.declared import declaration_mistakes
from crosswire.engine.checking.fields import field_mistakes
from crosswire.engine.checking.kinds import Kind, Number, Owner, StructOf, kind_of_annotation, loosened
from crosswire.engine.checking.mistake import CodeMistake
from crosswire.engine.checking.reader import written
from crosswire.engine.checking.sources import (
    CALLBACKS,
    callbacks_of,
    class_node,
    compiled_in,
    is_authors,
    line_of_field,
    node_of,
    parsed,
    path_of,
    signature_of,
)
from crosswire.engine.checking.statements import FunctionReader
from crosswire.engine.config import ConfigError
from crosswire.risk.records import INSTRUMENTS_MAX
from crosswire.strategies.interface import Strategy
from crosswire.strategies.messages import declared_messages

BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
READINGS_MAX = 32  # of one function: for more sets of arguments than that, ranges are forgotten
MONEY = ("_ticks", "_lots", "_e9", "_ns")  # how the names of what is counted in integers end


class StrategyCheck:
    """Reads all functions of one strategy."""

    def __init__(self, cls: type[Strategy]) -> None:
        self.cls = cls
        self.mistakes: set[CodeMistake] = set()
        self.results: dict[tuple[FunctionType, tuple[Kind, ...]], Kind] = {}
        self.readings: dict[FunctionType, int] = {}
        self.being_read: list[FunctionType] = []

    def report(self, mistake: CodeMistake) -> None:
        """Note a mistake, once a line and rule."""
        self.mistakes.add(mistake)

    def is_being_read(self, function: FunctionType) -> bool:
        """Tell whether this function is one of those that have led here."""
        return function in self.being_read

    def call(self, function: FunctionType, arguments: tuple[Kind, ...]) -> Kind:
        """Read a function for these arguments, unless that was done; tell what it returns."""
        if self.readings.get(function, 0) >= READINGS_MAX:
            arguments = tuple(map(loosened, arguments))
        key = (function, arguments)
        if key in self.results:
            return self.results[key]
        node = node_of(function)
        result = kind_of_annotation(signature_of(function).return_annotation)
        self.results[key] = result
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self.report_function(function, "python", f"async def {function.__name__} is not compiled", "write def")
        if node is None:
            return result
        self.readings[function] = self.readings.get(function, 0) + 1
        self.being_read.append(function)
        try:
            found = FunctionReader(self, function, node).run(arguments)
        finally:
            self.being_read.pop()
        self.results[key] = found
        return found

    def read_callbacks(self) -> None:
        """Read what the engine calls."""
        count = 0
        for generic, function in callbacks_of(self.cls):
            count += 1
            if not is_authors(function, self.cls):
                continue
            wanted = list(inspect.signature(generic).parameters)
            taken = inspect.signature(function).parameters.values()
            name = function.__name__
            if len(wanted) != len(taken):
                what = f"{name} takes {len(taken)} arguments, and {generic.__name__} is called with {len(wanted)}"
            elif not all(each.kind in BY_PLACE for each in taken):
                what = f"{name} takes some arguments otherwise than by their place, as {generic.__name__} gives them"
            else:
                what = ""
            if what:
                self.report_function(function, "callback", what, f"write def {name}({', '.join(wanted)})")
                continue
            kinds = tuple(map(self.kind_of_parameter, signature_of(generic).parameters.values()))
            self.call(function, kinds)
        if count == 0:
            self.report_class(
                "callback",
                "hears nothing: no callback is registered for it",
                f"put @on_book.register({self.cls.__name__}) before a function",
            )

    def report_function(self, function: FunctionType, rule: str, what: str, instead: str) -> None:
        """Report what is wrong with a function as a whole."""
        self.report(CodeMistake(path_of(function), function.__code__.co_firstlineno, 1, rule, what, instead))

    def kind_of_parameter(self, parameter: inspect.Parameter) -> Kind:
        """Tell what the engine gives a callback."""
        if parameter.name == "strategy":
            return StructOf(self.cls, Owner.OWN)
        if parameter.name == "instrument":
            return Number(0, INSTRUMENTS_MAX - 1)
        return kind_of_annotation(parameter.annotation)

    def read_helpers(self) -> None:
        """Read the compiled functions of the class's own module that no callback has led to, by their annotations."""
        for function in compiled_in(sys.modules[self.cls.__module__]):
            if function not in self.readings and is_authors(function, self.cls):
                parameters = signature_of(function).parameters.values()
                self.call(function, tuple(kind_of_annotation(each.annotation) for each in parameters))

    def read_class(self) -> None:
        """Look at the class itself: its fields, and functions that look like callbacks and are none."""
        path, node = class_node(self.cls)
        if node is None:
            return
        for name, field in self.cls.fields.items():
            line = line_of_field(node, name)
            if line and name.endswith(MONEY) and getattr(field.element, "is_float", False):
                what = f"{name} is a float: money and time are counted in integers"
                self.report(CodeMistake(path, line, 1, "float", what, f"declare {name}: i64"))
        self.mistakes.update(field_mistakes(path), declaration_mistakes(self.cls))
        for what in declared_messages(self.cls)[1]:
            line = next((each.lineno for each in node.body if getattr(each, "name", "") == "messages"), node.lineno)
            self.report(CodeMistake(path, line, 1, "message", what, "write it as docs/strategies.md says"))
        names = {generic.__name__ for generic in CALLBACKS}
        for each in parsed(path).body:
            if isinstance(each, ast.FunctionDef):
                for decorator in each.decorator_list:
                    self.read_registration(path, decorator, names)
            if isinstance(each, ast.FunctionDef) and each.name in names and not each.decorator_list:
                self.report(
                    CodeMistake(
                        path,
                        each.lineno,
                        1,
                        "callback",
                        f"{each.name} is never called: nothing registers it",
                        f"import {each.name}, and put @{each.name}.register({self.cls.__name__}) before it, renamed",
                    )
                )

    def read_registration(self, path: Path, decorator: ast.expr, names: set[str]) -> None:
        """Report a function that is registered for what is no strategy."""
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not (isinstance(called, ast.Attribute) and called.attr == "register" and written(called.value) in names):
            return
        given = decorator.args if isinstance(decorator, ast.Call) else []
        known = vars(sys.modules[self.cls.__module__]).get(written(given[0])) if len(given) == 1 else None
        is_name = len(given) == 1 and isinstance(given[0], ast.Name)
        if not is_name or not (isinstance(known, type) and issubclass(known, Strategy)):
            what = f"@{ast.unparse(decorator)} registers for no strategy: nothing calls it"
            instead = f"write @{written(called)}({self.cls.__name__})"
            self.report(CodeMistake(path, decorator.lineno, decorator.col_offset + 1, "callback", what, instead))

    def report_class(self, rule: str, what: str, instead: str) -> None:
        """Report what is wrong with the class as a whole."""
        path, node = class_node(self.cls)
        line = 1 if node is None else node.lineno
        self.report(CodeMistake(path, line, 1, rule, f"{self.cls.__name__} {what}", instead))


class CodeError(ConfigError):
    """A strategy's source has mistakes: a line each."""

    def __init__(self, where: str, mistakes: list[CodeMistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(f"{where}: {each.text()}" for each in mistakes))


def refuse_mistakes(cls: type[Strategy], where: str) -> None:
    """Raise a CodeError if a strategy's source has mistakes; `where` names who wants to run it."""
    mistakes = find_mistakes(cls)
    if mistakes:
        raise CodeError(where, mistakes)


def find_mistakes(cls: type[Strategy]) -> list[CodeMistake]:
    """Find all mistakes of a strategy class and what it is made from, in the order of the source."""
    check = StrategyCheck(cls)
    check.read_class()
    check.read_callbacks()
    check.read_helpers()
    return sorted({(each.path, each.line, each.rule, each.what): each for each in sorted(check.mistakes)}.values())
