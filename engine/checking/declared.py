"""What a strategy's class declares: how it is built, its parameters, and whether each fits what is said of it."""

import ast
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from crosswire.engine.checking.mistake import CodeMistake
from crosswire.engine.checking.sources import class_node, line_of_field
from crosswire.strategies.interface import Strategy, parameters_of
from crosswire.strategies.parameters import Parameter, declared_parameters, has_number

PLAIN = (bool, int, float, str, Decimal)  # defaults whose type is compared with the declared one
BUILD = "write @classmethod def build(cls, parameters: Parameters, context: BuildContext)"


def declaration_mistakes(cls: type[Strategy]) -> Iterator[CodeMistake]:
    """Find what is wrong with `build`, and with the parameters that its first argument names."""
    if getattr(cls.build, "__func__", None) is Strategy.build.__func__:  # type: ignore[attr-defined]
        return  # a base of others: a run of it says that it has none
    kind, said = None, ""
    try:
        kind = parameters_of(cls)
    except (TypeError, NameError) as error:
        said = str(error)
    if said:
        path, node = class_node(cls)
        lines = [each.lineno for each in node.body if getattr(each, "name", "") == "build"] if node else []
        yield CodeMistake(path, lines[0] if lines else node.lineno if node else 1, 1, "parameter", said, BUILD)
    if kind is not None:
        yield from _of_parameters(cls, kind)


def _of_parameters(cls: type[Strategy], kind: type[msgspec.Struct]) -> Iterator[CodeMistake]:
    path, node = class_node(kind)
    declared = declared_parameters(kind)
    for each in msgspec.structs.fields(kind):
        line = line_of_field(node, each.name) if isinstance(node, ast.ClassDef) else 1
        told = declared.get(each.name)
        for what, instead in (*_default(each, told), *_in_struct(cls, told)):
            yield CodeMistake(path, line or 1, 1, "parameter", f"{each.name}: {what}", instead)


def _default(field: Any, told: Parameter | None) -> Iterator[tuple[str, str]]:
    """Say why a default is none that a configuration could have: nobody else looks at it."""
    default = field.default
    if not isinstance(default, PLAIN):
        return
    try:
        msgspec.convert(default, field.type, strict=True)
    except msgspec.ValidationError as error:
        said = str(error)
        yield f"its default is {default!r}: {said[:1].lower()}{said[1:]}", "write one of its type"
        return
    if told is not None and isinstance(default, int | Decimal) and not isinstance(default, bool):
        if not told.allows(default):
            yield f"its default is {default}, and its range {told.range_text}", "write one in the range"


def _in_struct(cls: type[Strategy], told: Parameter | None) -> Iterator[tuple[str, str]]:
    """Say why a field that an operator may change is no number of the strategy's struct."""
    if told is None or not told.field:
        return
    if not has_number(cls, told.field):
        yield f"field = {told.field!r} is no i64 of {cls.__name__}", "name one of its fields, or leave field out"
