"""Finding a strategy: a built-in name, "package.module:Name", or "path/to/file.py:Name"."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from crosswire.engine.config import ConfigError, convert
from crosswire.strategies.interface import BuildContext, Strategy, parameters_of

BUILT_IN = {
    "cross_spread": "crosswire.strategies.cross_spread:CrossSpread",
    "basis": "crosswire.strategies.basis:Basis",
}


class Plugin(msgspec.Struct, frozen=True):
    """A strategy class and the source files that the compiled loop depends on because of it."""

    strategy_class: type[Strategy]
    sources: tuple[Path, ...]


def load_plugin(use: str, relative_to: Path, where: str) -> Plugin:
    """Import the strategy that `use` names; ConfigError with one line if that fails."""
    module_name, separator, class_name = BUILT_IN.get(use, use).rpartition(":")
    if not separator:
        known = ", ".join(BUILT_IN)
        raise ConfigError(f'{where}: strategy.use = {use}: neither built in ({known}) nor "package.module:Name"')
    try:
        module = (
            _load_file(relative_to, module_name)
            if module_name.endswith(".py")
            else importlib.import_module(module_name)
        )
    except Exception as error:
        raise ConfigError(f"{where}: strategy.use = {use}: {_plain(error)}") from error
    strategy_class = getattr(module, class_name, None)
    if not (isinstance(strategy_class, type) and issubclass(strategy_class, Strategy)):
        raise ConfigError(f"{where}: strategy.use = {use}: {class_name} is no Strategy class of {module_name}")
    return Plugin(strategy_class, _sources(module))


def build_strategy(plugin: Plugin, parameters: dict[str, Any], context: BuildContext, where: str) -> Strategy:
    """Validate the parameters and make the strategy; ConfigError with one line if they are wrong."""
    try:
        kind = parameters_of(plugin.strategy_class)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None
    try:
        return plugin.strategy_class.build(convert(parameters, kind, where, "strategy.parameters"), context)
    except ValueError as error:
        raise ConfigError(f"{where}: strategy.parameters: {error}") from None


def _load_file(relative_to: Path, name: str) -> ModuleType:
    path = (relative_to / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    # The name must be the same in every process: the compiled loop's cache refers to the class by it.
    module_name = f"crosswire_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _sources(module: ModuleType) -> tuple[Path, ...]:
    """The plugin's own files: its module, and its whole package or folder, whose modules it may import."""
    if module.__file__ is None:
        return ()
    path = Path(module.__file__).resolve()
    package = module.__package__ or ""
    if module.__name__.startswith("crosswire_plugin_") or not package:
        return tuple(sorted(path.parent.glob("*.py")))
    top = Path(str(sys.modules[package.partition(".")[0]].__file__)).resolve().parent
    return tuple(sorted(top.rglob("*.py")))


def _plain(error: Exception) -> str:
    """One line with the plugin's own line number, if the error has one."""
    trace = error.__traceback__
    line = ""
    while trace is not None:
        line = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{line}"
