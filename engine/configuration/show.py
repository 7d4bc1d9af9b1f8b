"""A configuration with all its defaults filled in, as TOML that reads as the same configuration."""

import json
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.config import ConfigError, RunConfig, StrategyConfig, convert, parse_config, read_config_text
from crosswire.engine.journal.description import read_description
from crosswire.engine.plugin import load_strategy_class
from crosswire.engine.runs import journal_in
from crosswire.nic.journal.reader import JournalError
from crosswire.strategies.interface import parameters_of

Table = dict[str, Any]


def read_source(path: Path) -> tuple[str, Path]:
    """Read a configuration file or, of a run's folder, the configuration that the run had; and where it is from.

    ConfigError, JournalError: one line.
    """
    if not path.is_dir():
        return read_config_text(path), path
    description = read_description(journal_in(path))
    if description is None:
        raise JournalError(f"{path}: its journal ends before it says what it was configured with")
    # Relative paths in it are relative to the file that it was.
    return description.config_text, Path(description.config_file)


def load_source(path: Path) -> RunConfig:
    """Read and check what `read_source` reads, with the defaults of its strategies' parameters."""
    return complete_config(*read_source(path))


def complete_config(text: str, file: Path) -> RunConfig:
    """Check what `file` holds, or could hold, and give it with the defaults of its strategies' parameters."""
    config = parse_config(text, file)
    strategies = [_with_defaults(each, file) for each in config.strategies]
    return msgspec.structs.replace(config, strategy=strategies if isinstance(config.strategy, list) else strategies[0])


def _with_defaults(strategy: StrategyConfig, file: Path) -> StrategyConfig:
    cls = load_strategy_class(strategy.use, file.parent, str(file))
    try:
        kind = parameters_of(cls)
    except TypeError as error:
        raise ConfigError(f"{file}: {error}") from None
    values = convert(strategy.parameters, kind, str(file), "strategy.parameters")
    return msgspec.structs.replace(strategy, parameters=_plain(values))


def whole_table(config: RunConfig) -> Table:
    """Give a configuration as a TOML document has it, each venue's settings in their own table, without the keys that
    are not set and have no default to show.
    """
    table: Table = _plain(config)
    for venue in table["venue"]:
        venue[venue["feed"]] = venue.pop("settings")
    return table


def _plain(value: msgspec.Struct) -> Table:
    table: Table = _without_unset(msgspec.to_builtins(value, builtin_types=(Decimal, datetime)))
    return table


def _without_unset(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_unset(each) for key, each in value.items() if each is not None}
    return [_without_unset(each) for each in value] if isinstance(value, list | tuple) else value  # TOML has lists


def toml_text(table: Table) -> str:
    """Write a document: lists of tables by headers, tables inside other lists in line."""
    return "\n".join(_lines(table, "")).strip("\n") + "\n"


def _lines(table: Table, path: str) -> list[str]:
    lines = [f"{key_name(key)} = {value_text(each)}" for key, each in table.items() if not _has_header(each)]
    for key, each in table.items():
        here = f"{path}.{key_name(key)}" if path else key_name(key)
        if _is_list_of_tables(each):
            for one in each:
                lines += ["", f"[[{here}]]", *_lines(one, here)]
        elif _has_header(each):
            lines += ["", f"[{here}]", *_lines(each, here)]
    return lines


def _has_header(value: Any) -> bool:
    return isinstance(value, dict) or _is_list_of_tables(value)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def key_name(key: str) -> str:
    """Write a key as TOML has it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for the one character that JSON leaves bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value_text(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{key_name(key)} = {value_text(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else str(float(value))
    return str(value)
