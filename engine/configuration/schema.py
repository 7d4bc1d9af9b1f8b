"""The JSON Schema of a configuration, for editors that check TOML as it is written.

It says what the structs say; what several keys say together, `engine/configuration/check.py` does.
"""

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.adapters import entry_points, find_adapter
from crosswire.engine.config import RunConfig, StrategyConfig, VenueConfig
from crosswire.engine.plugin import BUILT_IN, load_strategy_class
from crosswire.strategies.interface import parameters_of
from crosswire.strategies.parameters import Parameter, declared_parameters

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMAL = {"type": "string", "format": "decimal"}  # as msgspec has it: in JSON a number would lose digits


def make_schema() -> dict[str, Any]:
    """Make the schema of the whole file, with the table of every venue that is installed. VenueError."""
    settings = {name: find_adapter(name).settings for name in entry_points()}
    (root, *own), definitions = msgspec.json.schema_components(
        [RunConfig, *settings.values()], ref_template="#/$defs/{name}"
    )
    for kind in _structs([RunConfig, *settings.values()]):
        _describe(definitions.get(kind.__name__, {}), kind)
    venue = definitions[VenueConfig.__name__]["properties"]
    del venue["settings"]
    venue["feed"] = venue["feed"] | {"enum": list(settings)}
    for name, schema in zip(settings, own, strict=True):
        venue[name] = schema
    definitions[StrategyConfig.__name__]["allOf"] = [_parameters_of(name, definitions) for name in BUILT_IN]
    document = {"$schema": DIALECT, "title": "Crosswire run", **root, "$defs": definitions}
    numbered: dict[str, Any] = _with_numbers(document)
    return numbered


def _parameters_of(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Say which parameters a strategy that comes with Crosswire has: with the range and unit of each."""
    kind = parameters_of(load_strategy_class(name, Path(), name))
    (own,), more = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for key, parameter in declared_parameters(kind).items():
        _declare(more[kind.__name__]["properties"][key], parameter)
    definitions.update(more)
    return {
        "if": {"properties": {"use": {"const": name}}, "required": ["use"]},
        "then": {"properties": {"parameters": own}},
    }


def _declare(schema: dict[str, Any], parameter: Parameter) -> None:
    """Write what is declared of a parameter; its range, which is each value's, as deep as the numbers are."""
    unit = f" ({parameter.unit})" if parameter.unit else ""
    schema["description"] = f"{parameter.about}{unit}"
    bounds = {"minimum": parameter.least, "maximum": parameter.most, "exclusiveMinimum": parameter.above}
    waiting = [schema]
    for each in waiting:
        inner = [*each.get("anyOf", []), each.get("additionalProperties"), each.get("items")]
        waiting += [one for one in inner if isinstance(one, dict)]
        if each.get("type") == "integer" or each.items() >= DECIMAL.items():
            each.update({name: bound for name, bound in bounds.items() if bound is not None})


def _with_numbers(schema: Any) -> Any:
    """Let money be written as a number, which TOML's reader takes without loss."""
    if isinstance(schema, list):
        return [_with_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.items() >= DECIMAL.items():
        rest = {key: each for key, each in schema.items() if key != "format"}
        return rest | {"type": ["number", "string"]}
    return {key: _with_numbers(each) for key, each in schema.items()}


def _structs(kinds: list[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """List all structs that are in some, themselves included."""
    found: list[type[msgspec.Struct]] = []
    waiting: list[Any] = list(kinds)
    while waiting:
        info = waiting.pop()
        if isinstance(info, type) and issubclass(info, msgspec.Struct):
            if info not in found:
                found.append(info)
                waiting += [each.type for each in msgspec.structs.fields(info)]
        else:
            waiting += getattr(info, "__args__", ())
    return found


def _describe(schema: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Give each key the comment beside it in the source, where that is there to be read."""
    try:
        source = inspect.getsource(kind)
    except OSError:
        return
    for name, comment in re.findall(r"^    (\w+): [^#\n]*#\s*(.+)$", source, re.MULTILINE):
        if name in schema.get("properties", {}):
            schema["properties"][name]["description"] = comment
