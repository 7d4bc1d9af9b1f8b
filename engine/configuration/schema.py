"""The JSON Schema of a configuration, for editors that check TOML as it is written.

It says what the structs say; what several keys say together, `engine/configuration/check.py` does.
"""

import inspect
import re
from typing import Any

import msgspec

from crosswire.engine.adapters import entry_points, find_adapter
from crosswire.engine.config import RunConfig, VenueConfig

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
    document = {"$schema": DIALECT, "title": "Crosswire run", **root, "$defs": definitions}
    numbered: dict[str, Any] = _with_numbers(document)
    return numbered


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
