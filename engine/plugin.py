"""Finding a strategy: a built-in name, one that a package offers, "package.module:Name", or "path/to/file.py:Name".

Whatever is read while a strategy is loaded and built, its own modules and its data, is noted: its machine code depends
on that too (`nic/unit/source.py`). Its own modules are always compiled from their source: Python's cache of bytecode
takes a file of the same size and second for unchanged, and old bytecode would become machine code under a new name.
"""

import hashlib
import importlib
import importlib.util
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from crosswire.engine.checking.check import CodeError, refuse_mistakes
from crosswire.engine.checking.fields import field_mistakes
from crosswire.engine.config import ConfigError, convert
from crosswire.engine.entry_points import STRATEGY_GROUP, entry_points
from crosswire.nic.unit import source
from crosswire.strategies.interface import BuildContext, Strategy, make_strategy, parameters_of
from crosswire.strategies.messages import declared_messages
from crosswire.venues.errors import first_line, one_line

BUILT_IN = {
    "cross_spread": "crosswire.strategies.cross_spread:CrossSpread",
    "basis": "crosswire.strategies.basis:Basis",
    "carry": "crosswire.strategies.carry:Carry",
    "lead_lag": "crosswire.strategies.lead_lag:LeadLag",
    "maker_taker": "crosswire.strategies.maker_taker:MakerTaker",
    "cycles": "crosswire.strategies.cycles:Cycles",
    "restless": "crosswire.strategies.restless:Restless",
}


def load_strategy_class(use: str, relative_to: Path, where: str) -> type[Strategy]:
    """Import the strategy that `use` names; ConfigError if that fails, or if its source has mistakes."""
    strategy_class = find_strategy_class(use, relative_to, where)
    if use not in BUILT_IN:
        refuse_mistakes(strategy_class, where)
    return strategy_class


def find_strategy_class(use: str, relative_to: Path, where: str) -> type[Strategy]:
    """Import the strategy that `use` names, its source not looked at; ConfigError with one line if that fails."""
    module_name, _, class_name = _place_of(use, where).rpartition(":")
    try:
        if module_name.endswith(".py"):
            module = _load_file(relative_to, module_name)
        else:
            with _from_source(), _noting(module_name):
                module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if not isinstance(error, SyntaxError | OSError | SystemExit) and module_name.endswith(".py"):
            mistakes = field_mistakes((relative_to / module_name).resolve())
            if mistakes:
                raise CodeError(where, mistakes) from None
        raise ConfigError(f"{where}: strategy.use = {use}: {_plain(error)}") from error
    strategy_class = getattr(module, class_name, None)
    if not (isinstance(strategy_class, type) and issubclass(strategy_class, Strategy)):
        raise ConfigError(f"{where}: strategy.use = {use}: {class_name} is no Strategy class of {module_name}")
    return strategy_class


def _place_of(use: str, where: str) -> str:
    """Say where a strategy is. ConfigError: its name is nobody's, or two packages'."""
    if use in BUILT_IN or ":" in use:
        return BUILT_IN.get(use, use)
    offered = entry_points(STRATEGY_GROUP)
    entry = offered.get(use)
    if entry is None:
        known = ", ".join(BUILT_IN)
        others = f", nor installed ({', '.join(offered)})" if offered else ""
        raise ConfigError(
            f'{where}: strategy.use = {use}: neither built in ({known}){others}, nor "package.module:Name"'
        )
    if entry.rival:
        said = f"two packages offer it, {entry.package} and {entry.rival}; write package.module:Name"
        raise ConfigError(f"{where}: strategy.use = {use}: {said}")
    return entry.value


def build_strategy(cls: type[Strategy], parameters: dict[str, Any], context: BuildContext, where: str) -> Strategy:
    """Validate the parameters and make the strategy; ConfigError with one line if they are wrong."""
    try:
        kind = parameters_of(cls)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None
    values = convert(parameters, kind, where, "strategy.parameters")
    try:
        with _importable(cls.__module__), _noting(cls.__module__):
            _, wrong = declared_messages(cls)
            if not wrong:
                return make_strategy(cls, values, context)
    except ValueError as error:
        raise ConfigError(f"{where}: strategy.parameters: {first_line(error)}") from None
    except (ImportError, OSError) as error:
        raise ConfigError(f"{where}: strategy.use: {cls.__qualname__}.build: {_plain(error)}") from error
    raise ConfigError(f"{where}: strategy.use: {cls.__qualname__}.messages: {'; '.join(wrong)}")


@contextmanager
def _importable(name: str) -> Iterator[None]:
    """Let a strategy from a file import what lies beside it, as it could while the file was loaded."""
    if name not in _files:
        yield
        return
    with _on_path(_files[name].parent):
        yield


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        with _from_source():
            yield
    finally:
        sys.path.remove(str(folder))


class _SourceLoader(SourceFileLoader):
    """Loads a module from its source, whatever bytecode is kept of it, and keeps none."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _OwnModules(PathFinder):
    """Finds the user's own modules where Python would, to be loaded from their source."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None  # to the other finders
        origin = Path(spec.origin).resolve()
        if source.is_ours(origin) or not source.is_own_file(origin):
            return None
        spec.loader = _SourceLoader(spec.loader.name, spec.loader.path)
        return spec


@contextmanager
def _from_source() -> Iterator[None]:
    """Load the user's own modules from their source."""
    source.library_folders()  # now: to find them a module is imported, which would ask for them in the midst of it
    sys.meta_path.insert(0, _OwnModules)
    try:
        yield
    finally:
        sys.meta_path.remove(_OwnModules)


_files: dict[str, Path] = {}  # of strategies that came from a file, by module
_helpers: dict[str, Path] = {}  # of the modules beside them, by name
_unseen: set[str] = set()  # modules that a strategy loaded and does not import by name: so may another that finds them


class _Opened:
    """The files that were opened while they are being noted; `paths` is None while they are not."""

    is_hooked = False
    paths: set[Path] | None = None


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a file that is opened: an audit hook (PEP 578), which can't be removed again."""
    if event != "open" or _Opened.paths is None or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    flags = arguments[2]
    if not isinstance(flags, int) or flags & (os.O_WRONLY | os.O_RDWR) == 0:
        _Opened.paths.add(Path(os.fsdecode(arguments[0])).absolute())


@contextmanager
def _noting(module_name: str) -> Iterator[None]:
    """Note the modules that are loaded and the files that are read, as what the module is made from."""
    if not _Opened.is_hooked:
        sys.addaudithook(_note_opened)
        _Opened.is_hooked = True
    before = set(sys.modules)
    _Opened.paths = set()
    try:
        yield
    except BaseException:
        _Opened.paths = None
        raise
    else:
        read, _Opened.paths = _Opened.paths, None
        loaded = {name for name in set(sys.modules) - before if source.module_path(name) is not None}
        own = {name for name in loaded if name.partition(".")[0] != source.PACKAGE}
        _unseen.update(own - source.closure([module_name]).keys())
        source.note_read(module_name, loaded | _unseen, _data_files(read))


def _data_files(read: set[Path]) -> set[Path]:
    """Leave the user's own files that are no modules, or such as nobody can find by name."""
    modules = {source.module_path(name) for name in list(sys.modules)}
    found = set()
    for path in read:
        if path.suffix == ".pyc":
            try:
                path = Path(importlib.util.source_from_cache(str(path)))
            except ValueError:
                continue
        if source.is_own_file(path) and path.resolve() not in modules and not source.is_ours(path.resolve()):
            found.add(path)
    return found


def _load_file(relative_to: Path, name: str) -> ModuleType:
    path = (relative_to / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    if path.parent.stat().st_mode & stat.S_IWOTH:
        # Into __pycache__, or a module of the name of one that the strategy imports: the folder is searched first.
        raise PermissionError(f"{path.parent}: everybody can put code there; chmod o-w it, or move the strategy")
    # The same in every process and wherever the file lies: machine code is kept under a name that has this one in it.
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    module_name = f"crosswire_plugin_{path.stem}_{content}"
    if _files.get(module_name, path) != path:
        module_name += f"_{len(_files)}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_SourceLoader(module_name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    _forget_helpers(path.parent)
    try:
        with _on_path(path.parent), _noting(module_name):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    _files[module_name] = path
    for each in source.loaded_by_module[module_name]:
        helper = source.module_path(each)
        if helper is not None and not each.startswith("crosswire.") and helper.is_relative_to(path.parent):
            _helpers[each] = helper
    _refuse_mixed(module_name, path.parent)
    return module


def _refuse_mixed(module_name: str, folder: Path) -> None:
    """Refuse a strategy that was given a module that lies beside another one. ImportError."""
    for name in source.closure([module_name]):
        helper = _helpers.get(name)
        if helper is not None and not helper.is_relative_to(folder):
            raise ImportError(
                f"{name} was loaded for another strategy of the run, from {helper}; rename it, or keep both strategies "
                "in one folder"
            )


def begin_run() -> None:
    """Forget the modules beside the strategies of the run before: they may have been edited, or belong to another."""
    for name in _helpers:
        sys.modules.pop(name, None)
    _helpers.clear()
    _unseen.clear()


def _forget_helpers(folder: Path) -> None:
    """Have the modules beside a strategy read anew. ImportError: another strategy has one of that name elsewhere."""
    for name, path in list(_helpers.items()):
        if path.is_relative_to(folder):
            sys.modules.pop(name, None)
            del _helpers[name]
        elif any((folder / each).exists() for each in (f"{name}.py", name)):
            raise ImportError(
                f"two strategies of the run have modules called {name}; rename one of {path} and {folder}/{name}"
            )


def plain_error(error: BaseException | None) -> str:
    """Describe what the user's own code raised, in one line."""
    if isinstance(error, SystemExit):
        return f"the module ends the process, by exit({error.code!r})"
    assert isinstance(error, Exception)
    return f"{type(error).__name__}: {error.msg}" if isinstance(error, SyntaxError) else one_line(error)


def _plain(error: Exception | SystemExit) -> str:
    """Describe an error with the user's own file and line, if it has one."""
    place = own_place(error)
    return plain_error(error) if place is None else f"{plain_error(error)} ({place[0]}:{place[1]})"


def own_place(error: BaseException) -> tuple[Path, int] | None:
    """Find the user's own file and line that an error is about: where it does not parse, or the innermost it came from.

    Of a strategy in an installed package, the innermost that is neither Crosswire's nor of Python's import. None: none.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return Path(error.filename), error.lineno or 1
    trace, own, other = error.__traceback__, None, None
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_absolute() and not source.is_ours(path.resolve()) and path.parent.name != "importlib":
            other = path, trace.tb_lineno
            own = other if source.is_own_file(path) else own
        trace = trace.tb_next
    return own or other
