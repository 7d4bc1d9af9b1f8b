"""Reads a function's calls: whether compiled code can make them, and whether their arguments fit."""

import ast
import builtins
import inspect
from collections.abc import Callable
from enum import EnumMeta
from types import BuiltinFunctionType, FunctionType
from typing import Any

from crosswire.engine.checking.expressions import Expressions, joined_all
from crosswire.engine.checking.kinds import (
    BOOL,
    FLOAT,
    NONE,
    TEXT,
    UNKNOWN,
    ElementsOf,
    Kind,
    Number,
    Owner,
    StructOf,
    TupleOf,
    Value,
    kind_of_annotation,
    sort_of,
)
from crosswire.engine.checking.reader import number_from, written
from crosswire.engine.checking.sources import is_authors, is_marked, signature_of
from crosswire.engine.checking.writes import parameters_written
from crosswire.nic.memory import struct
from crosswire.nic.memory.struct import StructMeta
from crosswire.nic.unit.compile import Generic, lowerings, plain_function
from crosswire.strategies import desk
from crosswire.strategies.messages import declared_messages, places_of

NUMBERS = {abs, min, max, int, bool, float, round, divmod, pow}  # of builtins that compiled code has
OTHERS = {range, len, enumerate, zip}
MEMORY = {struct.view, struct.address_of, struct.size_of, struct.copy_struct, struct.clear_struct}
EARLY_NS = 10**15  # eleven days after 1970: a time below is no time of a run
INSTEAD = {
    print: "use log, with a line of messages()",
    list: "declare a field: Annotated[Array, i64, 64]",
    dict: "declare a field: Annotated[Array, i64, 64]",
    set: "declare a field: Annotated[Array, i64, 64]",
    tuple: "declare a field: Annotated[Array, i64, 64]",
    str: "use a number",
    sum: "write a loop",
    sorted: "write a loop that keeps the best",
    open: "read files in build, which is plain Python",
}


class Calls(Expressions):
    """Reads calls."""

    def read_call(self, node: ast.Call) -> Kind:
        """Tell what a call returns."""
        called = self.read(node.func)
        arguments = [self.read(each.value if isinstance(each, ast.Starred) else each) for each in node.args]
        keywords = {each.arg: self.read(each.value) for each in node.keywords if each.arg is not None}
        if isinstance(called, StructOf | ElementsOf | Number):
            return self.report(node, "helper", f"{ast.unparse(node.func)} can't be called", "call a @compiled function")
        if not isinstance(called, Value):
            return UNKNOWN
        is_open = any(isinstance(each, ast.Starred) for each in node.args)
        if is_open or any(each.arg is None for each in node.keywords):
            return self.report(node, "python", "* and ** are not compiled", "write the arguments one by one")
        return self.call_value(node, called.value, arguments, keywords)

    def call_value(self, node: ast.Call, called: Any, arguments: list[Kind], keywords: dict[str, Kind]) -> Kind:
        """Read a call of a known object."""
        if isinstance(called, Generic) or is_marked(called) or called in _lowered() or called in MEMORY:
            return self.call_compiled(node, called, arguments, keywords)
        if isinstance(called, BuiltinFunctionType | type) and getattr(builtins, called.__name__, None) is called:
            return self.call_builtin(node, called, arguments, keywords)
        if isinstance(called, EnumMeta):
            return self.report(node, "python", f"{written(node.func)}(...) is not compiled", "use the number itself")
        name = written(node.func)
        if isinstance(called, StructMeta):
            return self.report(
                node,
                "state",
                f"{name}(...) makes memory, which compiled code does not",
                f"declare a field of the class {name} and fill it in",
            )
        module = (getattr(called, "__module__", None) or "").partition(".")[0]
        if module == "numpy":
            return self.report(node, "numpy", f"{name} is NumPy's", "write a loop over a table of the struct")
        if isinstance(called, FunctionType) and not self.is_python(called):
            return self.report(node, "helper", f"{name} is not compiled", f"put @compiled before def {called.__name__}")
        instead = (
            "use desk.now_ns, the only clock" if module in ("time", "datetime", "_datetime") else "write it in integers"
        )
        if module == "random":
            instead = "draw from a field, as strategies/restless.py does"
        return self.report(node, "helper", f"{name} is Python's, not compiled", instead)

    def call_builtin(self, node: ast.Call, called: Any, arguments: list[Kind], keywords: dict[str, Kind]) -> Kind:
        """Read a call of one of Python's own functions."""
        if called in NUMBERS:
            if keywords:
                what = f"{called.__name__}() has no {' and no '.join(keywords)} in compiled code"
                return self.report(node, "argument", what, "give it numbers alone")
            if called in (min, max) and len(arguments) == 1 and isinstance(arguments[0], Number):
                what = f"{called.__name__}({ast.unparse(node.args[0])}) is of one number"
                return self.report(node, "argument", what, "give it two or more")
            for kind, each in zip(arguments, node.args, strict=False):
                if isinstance(kind, StructOf | ElementsOf):
                    return self.report(
                        node, "kind", f"{ast.unparse(each)} is {sort_of(kind)}, not a number", "read a field of it"
                    )
            if called is pow and len(arguments) > 2:
                return self.report(
                    node, "python", "pow() of three numbers is not compiled", "write it with % in a loop"
                )
            if called in (int, float, round) and node.args and self.is_member(node.args[0]):
                text = ast.unparse(node.args[0])
                return self.report(node, "python", f"{called.__name__}({text}) is not compiled", f"write {text} alone")
            return _number_result(called, arguments)
        for kind, each in zip(arguments, node.args, strict=False):
            if called in OTHERS and isinstance(kind, ElementsOf):
                text = ast.unparse(each)
                if called is len:
                    instead = "use a constant of the module, with which the field is declared"
                    return self.report(node, "python", f"len({text}) is not compiled", instead)
                return self.report_walked(node, text)
        if called in OTHERS or (isinstance(called, type) and issubclass(called, BaseException)):
            return UNKNOWN
        instead = INSTEAD.get(called, "write it with numbers and loops")
        rule = "container" if called in (list, dict, set, tuple, frozenset) else "text" if called is str else "python"
        return self.report(node, rule, f"{called.__name__}() is not compiled", instead)

    def is_member(self, node: ast.expr) -> bool:
        """Tell whether an expression is a member of an enumeration by its name."""
        if not isinstance(node, ast.Attribute):
            return False
        owner = self.read(node.value)
        return isinstance(owner, Value) and isinstance(owner.value, EnumMeta)

    def call_compiled(self, node: ast.Call, called: Any, arguments: list[Kind], keywords: dict[str, Kind]) -> Kind:
        """Read a call of a compiled function: its arguments against its parameters."""
        name = written(node.func)
        signature = signature_of(called)
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError as error:
            wanted = ", ".join(signature.parameters)
            return self.report(node, "argument", f"{name}(): {error}", f"write {name}({wanted})")
        given = {**dict(zip(bound.arguments, node.args, strict=False)), **_keyword_nodes(node)}
        for parameter, kind in bound.arguments.items():
            if isinstance(kind, tuple | dict):
                continue
            at = given.get(parameter, node)
            self.check_argument(at, name, signature.parameters[parameter], kind)
        self.check_meaning(node, called, bound.arguments, given)
        return self.result_of(node, called, signature, bound)

    def check_argument(self, node: ast.AST, name: str, parameter: inspect.Parameter, kind: Kind) -> None:
        """Report an argument that its parameter can't be."""
        wanted = kind_of_annotation(parameter.annotation)
        if isinstance(wanted, Number) and kind == FLOAT:
            self.report(
                node,
                "float",
                f"{name}() takes {parameter.name} as an integer, and {ast.unparse(node)} is a float, to be cut off",
                "count in integers, or use int() where that is meant",
            )
        elif kind in (TEXT, NONE) and wanted != UNKNOWN and wanted != kind:
            self.report(node, "argument", f"{name}(): {parameter.name} can't be {sort_of(kind)}", _wanted_text(wanted))
        elif isinstance(wanted, Number) or wanted == BOOL:
            if isinstance(kind, StructOf | ElementsOf | TupleOf):
                self.report(
                    node,
                    "argument",
                    f"{name}(): {ast.unparse(node)} is {sort_of(kind)}, and {parameter.name} is a number",
                    "give a field of it, or an index",
                )
        elif isinstance(wanted, StructOf) and not _fits(kind, wanted):
            self.report(
                node,
                "argument",
                f"{name}(): {parameter.name} is {sort_of(wanted)}, not {ast.unparse(node)}",
                _wanted_text(wanted),
            )

    def check_meaning(self, node: ast.Call, called: Any, bound: dict[str, Any], given: dict[str, ast.expr]) -> None:
        """Report arguments that fit and can't be meant."""
        if called in (struct.clear_struct, struct.copy_struct):
            target = next(iter(bound.values()))
            if isinstance(target, StructOf) and target.owner is not Owner.OWN:
                self.report_shown(node, target, ast.unparse(node.args[0]))
        if called in (desk.submit, desk.add_order):
            side = number_from(bound.get("side", UNKNOWN)).constant
            if side is not None and side not in (0, 1):
                self.report(given.get("side", node), "argument", f"side is {side}", "write BUY or SELL")
        if called in (desk.wake_at, desk.set_timer):
            time_ns = number_from(bound.get("time_ns", UNKNOWN)).constant
            if time_ns is not None and time_ns < EARLY_NS:
                before = f"{ast.unparse(given['timer'])}, " if "timer" in given else ""
                what = f"{called.__name__}({before}{time_ns}) is in January 1970, and comes at once"
                instead = f"write {called.__name__}(desk, {before}desk.now_ns + {time_ns})"
                self.report(node, "time", what, instead)
        if called is desk.log:
            self.check_line(node, bound, given)
        if called in (desk.set_timer, desk.stop_timer):
            timer = number_from(bound.get("timer", UNKNOWN))
            if (timer.low is not None and timer.low < 0) or (timer.high is not None and timer.high >= desk.TIMERS_MAX):
                what = f"there is no timer {ast.unparse(given['timer'])}"
                self.report(node, "argument", what, f"number timers 0 to {desk.TIMERS_MAX - 1}")

    def check_line(self, node: ast.Call, bound: dict[str, Any], given: dict[str, ast.expr]) -> None:
        """Report a line for the log that there is not, or that has other places than it is given values."""
        messages, wrong = declared_messages(self.analysis.cls)
        number = number_from(bound.get("message", UNKNOWN)).constant
        if number is None or wrong:
            return
        if not 0 <= number < len(messages):
            what = f"messages() has {len(messages)} lines, and {ast.unparse(given['message'])} is {number}"
            self.report(node, "message", what, "number lines from 0, and add what is missing to messages()")
            return
        places, values = len(places_of(messages[number])), len(bound) - 2
        if places != values:
            what = f"{messages[number]!r} has {places} places, and is given {values} values"
            self.report(node, "message", what, "give each place a value")

    def report_shown(self, node: ast.AST, target: StructOf | ElementsOf, text: str) -> Kind:
        """Report a write to what is only shown."""
        if isinstance(target, StructOf) and target.owner is Owner.DESK:
            return self.report(node, "shown", f"{text} is the engine's", "ask by submit, cancel, wake_at and the like")
        return self.report(
            node,
            "shown",
            f"{text} is written to, and what a strategy is shown is not its own",
            "keep what you need in the strategy's own fields",
        )

    def check_written(self, node: ast.Call, function: FunctionType, bound: inspect.BoundArguments) -> None:
        """Report what is only shown where it is given to a function of Crosswire's that writes to it."""
        for name, kind in bound.arguments.items():
            if isinstance(kind, StructOf | ElementsOf) and kind.owner is Owner.SHOWN:
                if name in parameters_written(function):
                    self.report_shown(node, kind, f"{function.__name__}(): {name}")

    def result_of(
        self, node: ast.Call, called: Any, signature: inspect.Signature, bound: inspect.BoundArguments
    ) -> Kind:
        """Tell what a compiled function returns; one of the author's is read for these arguments."""
        if called is struct.view:
            cls = bound.arguments["cls"]
            return StructOf(cls.value) if isinstance(cls, Value) and isinstance(cls.value, StructMeta) else UNKNOWN
        plain = plain_function(called)
        if isinstance(called, Generic):
            first = next(iter(bound.arguments.values()), UNKNOWN)
            if not isinstance(first, StructOf) or not called.is_registered(first.cls):
                return kind_of_annotation(signature.return_annotation)
            plain = plain_function(called.implementation_for(first.cls))
        result = kind_of_annotation(signature.return_annotation)
        if not isinstance(plain, FunctionType):
            return result
        if not is_authors(plain, self.analysis.cls):
            self.check_written(node, plain, bound)
            return result
        if self.analysis.is_being_read(plain):
            self.report(
                node, "loop", f"{plain.__name__} calls itself, and nothing bounds how deep", "write a loop with a bound"
            )
            return result
        kinds = []
        for name, parameter in signature.parameters.items():
            if name in bound.arguments:
                kinds.append(bound.arguments[name])
            elif parameter.default is not inspect.Parameter.empty:
                kinds.append(self.kind_of_value(node, name, parameter.default))
            else:
                kinds.append(kind_of_annotation(parameter.annotation))
        if any(isinstance(each, tuple | dict) for each in kinds):
            return result  # of a function with *args or **keywords, which is told where it is read
        return self.analysis.call(plain, tuple(kinds))


def _lowered() -> set[Callable[..., Any]]:
    return {each.function for each in lowerings}


def _number_result(called: Any, arguments: list[Kind]) -> Kind:
    """Tell what one of Python's functions of numbers gives."""
    if called is float:
        return FLOAT
    if called is bool:
        return BOOL
    if called in (min, max):
        of_tuple = len(arguments) == 1 and isinstance(arguments[0], TupleOf)
        return _least_or_most(called, list(arguments[0].parts) if of_tuple else arguments)  # type: ignore[union-attr]
    if called is divmod and len(arguments) == 2:
        return TupleOf(tuple(FLOAT if FLOAT in arguments else Number() for _ in arguments))
    if called in (int, round) and FLOAT in arguments:
        return Number()
    if called is abs and arguments and isinstance(arguments[0], Number):
        return Number(0, None)
    kind = joined_all(tuple(arguments))
    return Number() if isinstance(kind, Number) else kind


def _least_or_most(called: Any, arguments: list[Kind]) -> Kind:
    """Tell the range of the least or the greatest of several numbers."""
    if FLOAT in arguments:
        return FLOAT
    if not all(isinstance(each, Number) for each in arguments):
        return joined_all(tuple(arguments))
    numbers = [number_from(each) for each in arguments]
    lows, highs = [each.low for each in numbers], [each.high for each in numbers]
    if called is min:
        known = [each for each in highs if each is not None]
        low = None if None in lows else min(each for each in lows if each is not None)
        return Number(low, min(known) if known else None)
    known = [each for each in lows if each is not None]
    high = None if None in highs else max(each for each in highs if each is not None)
    return Number(max(known) if known else None, high)


def _keyword_nodes(node: ast.Call) -> dict[str, ast.expr]:
    return {each.arg: each.value for each in node.keywords if each.arg is not None}


def _fits(kind: Kind, wanted: StructOf) -> bool:
    """Tell whether a value may be a struct of the wanted class."""
    if isinstance(kind, StructOf):
        return issubclass(kind.cls, wanted.cls) or issubclass(wanted.cls, kind.cls)
    return kind == UNKNOWN or isinstance(kind, Value)


def _wanted_text(wanted: Kind) -> str:
    return f"give {sort_of(wanted) or 'what it names'}"
