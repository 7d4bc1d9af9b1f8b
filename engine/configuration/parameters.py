"""`crosswire parameters`: what a strategy can be told, from what its class declares."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.config import ConfigError
from crosswire.engine.configuration.show import load_source, value_text
from crosswire.engine.plugin import load_strategy_class
from crosswire.engine.report.facts import strategy_names
from crosswire.strategies.interface import parameters_of
from crosswire.strategies.parameters import Parameter, declared_parameters


class ListedParameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of one strategy."""

    strategy: str
    name: str
    value: Any = None  # as configured or by default; None: it has to be configured, or is left out
    required: bool
    unit: str = ""
    range: str = ""
    changeable: bool = False  # while the run trades
    about: str = ""


def list_parameters(what: str) -> list[ListedParameter]:
    """List the parameters of a configuration's strategies, or of one strategy as `strategy.use` names it.

    ConfigError and whatever else `load_source` raises: one line.
    """
    if not what.endswith(".toml") and not Path(what).is_dir():
        return list(_of_class(what, what, Path(), {}))
    config = load_source(Path(what))
    folder = Path(what).parent
    found: list[ListedParameter] = []
    for name, strategy in zip(strategy_names(config), config.strategies, strict=True):
        found += _of_class(name, strategy.use, folder, strategy.parameters)
    return found


def _of_class(name: str, use: str, folder: Path, values: dict[str, Any]) -> Iterator[ListedParameter]:
    try:
        kind = parameters_of(load_strategy_class(use, folder, use))
    except TypeError as error:
        raise ConfigError(f"{use}: {error}") from None
    declared = declared_parameters(kind)
    for field in msgspec.structs.fields(kind):
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        value = values.get(field.encode_name, None if default is msgspec.NODEFAULT else default)
        told = declared.get(field.name)
        yield ListedParameter(
            strategy=name,
            name=field.encode_name,
            value=value,
            required=field.required,
            **({} if told is None else _told(told)),
        )


def _told(parameter: Parameter) -> dict[str, Any]:
    return {
        "unit": parameter.unit,
        "range": parameter.range_text,
        "changeable": bool(parameter.field),
        "about": parameter.about,
    }


COLUMNS = ("strategy", "parameter", "value", "unit", "range", "changes live", "means")


def parameter_lines(found: list[ListedParameter]) -> Iterator[tuple[str, ...]]:
    """Write parameters for people, in the order of COLUMNS."""
    for each in found:
        value = ("required" if each.required else "left out") if each.value is None else value_text(each.value)
        live = "yes" if each.changeable else ""
        yield (each.strategy, each.name, value, each.unit, each.range, live, each.about)
