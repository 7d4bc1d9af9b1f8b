"""`python -m tests.docs.reference`: write the generated pages of docs/reference anew, from the program itself.

Keys, types and defaults are the configuration structs'; what a key means is the comment behind it in the source, so a
key without one is an error here. Commands and options are those of the command line.
"""

import ast
import inspect
import io
import tokenize
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer

from crosswire.engine.cli import app, import_app
from crosswire.engine.config import RunConfig
from crosswire.engine.configuration.parameters import list_parameters, parameter_lines
from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.engine.plugin import BUILT_IN
from crosswire.engine.venue_commands import add_importers, add_processes
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig
from crosswire.venues.starbase.settings import StarbaseSettings

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


class Key(NamedTuple):
    """One key of a table."""

    name: str
    type: str
    default: str  # "": it is required
    meaning: str


def comments_of(cls: type) -> dict[str, str]:
    """What the comments beside a class's fields say: on a field's last line, and on the lines right above it."""
    source = inspect.getsource(cls)
    beside, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            is_alone = token.line.lstrip().startswith("#")
            (alone if is_alone else beside)[token.start[0]] = token.string.lstrip("# ")
    said = {}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = []
            line = node.lineno - 1
            while line in alone:
                above.insert(0, alone[line])
                line -= 1
            last = node.end_lineno or node.lineno
            said[node.target.id] = " ".join([*above, beside[last]] if last in beside else above)
    return said


def all_comments(cls: type) -> dict[str, str]:
    """`comments_of` a class and of those that it is made from."""
    said: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            said |= comments_of(each)
    return said


def type_text(kind: Any) -> str:
    """A field's type as a reader of TOML thinks of it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f'"{each}"' if isinstance(each, str) else str(each) for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(each) for each in arguments if each is not type(None)))
    if origin in (list, tuple):
        inner = [each for each in arguments if each is not Ellipsis]
        return f"list of {type_text(inner[0])}" if inner else "list"
    if origin is dict:
        return f"table of {type_text(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    names = {"str": "text", "int": "integer", "Decimal": "number", "float": "number", "bool": "true or false"}
    names |= {"datetime": "time", "Any": "table", "dict": "table", "Path": "path"}
    return names.get(getattr(kind, "__name__", str(kind)), str(kind))


def structs_in(kind: Any) -> list[type[msgspec.Struct]]:
    """Structs that a type is made of, in order."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [each for argument in typing.get_args(kind) for each in structs_in(argument)]


def default_text(field: Any) -> str:
    """A field's default as TOML would have it; "" if the key is required."""
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return ""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "left out"
    if isinstance(value, msgspec.Struct):
        return "its own defaults"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def keys_of(cls: type[msgspec.Struct]) -> list[Key]:
    """The keys of a table."""
    said = all_comments(cls)
    kinds = typing.get_type_hints(cls, include_extras=True)
    return [
        Key(each.encode_name, type_text(kinds[each.name]), default_text(each), said.get(each.name, ""))
        for each in msgspec.structs.fields(cls)
    ]


def tables_of(root: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """A configuration's structs, each once, a table before those inside it."""
    found = [root]
    for cls in found:
        for kind in typing.get_type_hints(cls, include_extras=True).values():
            found += [each for each in structs_in(kind) if each not in found]
    return found


def cell(text: str) -> str:
    """Text that may stand in a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ").replace("*", "\\*").replace("<", "&lt;")


def table_text(cls: type[msgspec.Struct]) -> str:
    """A section about one struct."""
    about = inspect.cleandoc(cls.__doc__ or "")
    lines = [f"### {cls.__name__}", "", about, "", "| key | is | default | means |", "|---|---|---|---|"]
    for key in keys_of(cls):
        default = f"`{key.default}`" if key.default else "required"
        lines.append(f"| `{key.name}` | {cell(key.type)} | {default} | {cell(key.meaning)} |")
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """Every key of every file that a person writes."""
    roots = (
        ("A run", "`crosswire backtest`, `live`, `exchange`, `simulate`.", RunConfig),
        ("A venue's own table: `[venue.starbase]`", 'Of venues with `feed = "starbase"`.', StarbaseSettings),
        ("The bridge to Binance", "`crosswire bridge binance` ([binance.md](../binance.md)).", BridgeConfig),
        (
            "The stand-in exchange",
            "`crosswire bridge stand-in` ([binance-stand-in.md](../binance-stand-in.md)).",
            StandInConfig,
        ),
    )
    parts = [
        "# Configuration, key by key\n\nGenerated from the program by `python -m tests.docs.reference`. Files are TOML;"
        " a key that is not here is refused by name. Each table's name below is its struct's in the source.\n"
    ]
    shown: list[type] = []
    for title, about, root in roots:
        parts.append(f"## {title}\n\n{about}\n")
        for cls in tables_of(root):
            if cls not in shown and msgspec.structs.fields(cls):
                shown.append(cls)
                parts.append(table_text(cls))
    return "\n".join(parts)


@cache
def program() -> Any:
    """The command line with what venues add to it, which an ordinary start does only where it is asked for."""
    add_importers(import_app)
    for venue in entry_points(VENUE_GROUP):
        add_processes(app, venue)
    return typer.main.get_command(app)


def is_group(command: Any) -> bool:
    """Whether commands are below it: typer has its own classes for them since 0.20."""
    return hasattr(command, "commands")


def commands_of(command: Any, path: str) -> list[tuple[str, Any]]:
    """A command and those below it, with what one types."""
    found = [(path, command)]
    if is_group(command):
        for name in sorted(command.commands):
            found += commands_of(command.commands[name], f"{path} {name}")
    return found


def command_text(path: str, command: Any) -> str:
    """A section about one command."""
    context = command.make_context(path, [], resilient_parsing=True)
    lines = [f"## {path}", "", inspect.cleandoc(command.help or ""), ""]
    lines += ["    " + command.get_usage(context).removeprefix("Usage: "), ""]
    rows = [each.get_help_record(context) for each in command.get_params(context)]
    said = [row for row in rows if row is not None and row[0] != "--help"]
    if said:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{name}` | {cell(about)} |" for name, about in said]
        lines.append("")
    return "\n".join(lines)


def commands_page() -> str:
    """Every command with its options."""
    parts = [
        "# Commands\n\nGenerated from the program by `python -m tests.docs.reference`. Every error is one line on"
        " standard error, with a non-zero exit code.\n"
    ]
    for path, command in commands_of(program(), "crosswire"):
        if not is_group(command):
            parts.append(command_text(path, command))
    return "\n".join(parts)


def parameters_page() -> str:
    """Every parameter of every strategy that comes with Crosswire."""
    parts = [
        "# Parameters of strategies\n\nGenerated from the program by `python -m tests.docs.reference`, as"
        " `crosswire parameters NAME` prints them. They stand in `[strategy.parameters]` of a configuration, or behind"
        " `--set`; those that change live can be set in a run that trades ([control.md](../control.md)). What the"
        " strategies do is in [strategies.md](../strategies.md).\n"
    ]
    for name in BUILT_IN:
        lines = [
            f"## {name}",
            "",
            "| parameter | default | unit | range | changes live | means |",
            "|---|---|---|---|---|---|",
        ]
        for _, *cells in parameter_lines(list_parameters(name)):
            lines.append(f"| `{cells[0]}` | {' | '.join(map(cell, cells[1:]))} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


PAGES = {"configuration.md": configuration_page, "commands.md": commands_page, "parameters.md": parameters_page}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())


if __name__ == "__main__":
    main()
