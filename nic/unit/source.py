"""What a unit is made from: the modules behind its functions and classes, what those import, and the values in them.

A unit's key covers exactly that, so an edit elsewhere compiles nothing, and no edit runs old machine code: numba's own
cache looks only at the file of the cached function. Modules of the standard library and of installed packages do not
count; what they could change is in the versions. But of an installed package that the user's own code imports, what it
imports by name does, and all of a package that is written for Crosswire itself.
"""

import ast
import functools
import hashlib
import re
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import EnumMeta
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from crosswire.nic.memory.struct import Scalar, StructMeta
from crosswire.nic.unit.compile import Compiled, implemented_for, plain_function
from crosswire.nic.unit.kinds import Kind, class_name, classes_in

IMPORT = re.compile(r"^(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.M)
WORD = re.compile(r"[A-Za-z_]\w*")
PACKAGE = "crosswire"
CLOSURE_DEPTH_MAX = 4
FOLDERS = ("nic", "venues", "risk", "strategies", "engine")
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]  # the folder of nic/
# What makes machine code of functions. It is imported only where something is compiled, and part of every unit anyway.
IN_THE_VERSIONS = frozenset({"numpy", "numba", "llvmlite", "msgspec"})  # packages that no strategy has edited
COMPILER_FILES = (
    *("nic/unit/backend.py", "nic/memory/struct_numba.py", "nic/host/system_call.py"),
    *("nic/unit/entries.py", "nic/unit/branches.py", "nic/unit/branches.txt"),
)

# What was loaded and read while a module was loaded and used, beside what its own text says: see `note_read`.
loaded_by_module: dict[str, set[str]] = {}
read_by_module: dict[str, set[Path]] = {}


def note_read(name: str, modules: set[str], files: set[Path]) -> None:
    """Have the machine code of module `name` depend on these modules and data files, too."""
    loaded_by_module.setdefault(name, set()).update(modules)
    read_by_module.setdefault(name, set()).update(files)


@functools.cache
def library_folders() -> tuple[str, ...]:
    """The folders of the interpreter's own and of installed modules."""
    return tuple({str(Path(sysconfig.get_path(name)).resolve()) + "/" for name in ("stdlib", "purelib", "platlib")})


def module_path(name: str, tops: Collection[str] = (PACKAGE,)) -> Path | None:
    """A project's own source file of a module that is loaded; None for libraries, and for what has no file.

    `tops`: packages that count as the project's own wherever they are installed.
    """
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    path = resolved(file)
    if name.partition(".")[0] in tops:
        return path
    return path if is_own_file(path) else None


def installed_path(name: str) -> Path | None:
    """The source file of an installed package's module that is loaded; None for all others, and our dependencies."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or not file.endswith(".py") or name.partition(".")[0] in IN_THE_VERSIONS:
        return None
    path = resolved(file)
    return path if str(path).startswith(package_folders()) else None


@functools.cache
def package_folders() -> tuple[str, ...]:
    """The folders of installed packages."""
    return tuple({str(Path(sysconfig.get_path(name)).resolve()) + "/" for name in ("purelib", "platlib")})


@functools.lru_cache(maxsize=4096)
def resolved(file: str) -> Path:
    """Do `Path.resolve`, which looks at every folder above."""
    return Path(file).resolve()


def is_own_file(path: Path) -> bool:
    """Tell whether a file is the user's or the project's, and not a library's or the system's."""
    return path.is_file() and not str(path).startswith((*library_folders(), "/proc/", "/sys/", "/dev/"))


@functools.cache
def own_folders() -> tuple[str, ...]:
    """The folders of the package's own modules: no constant, which would be part of each unit that a build compiles."""
    return tuple(f"{PACKAGE_FOLDER / folder}/" for folder in FOLDERS)


def is_ours(path: Path) -> bool:
    """Tell whether a file is Crosswire's own: a strategy may lie in the checkout, too."""
    return str(path).startswith(own_folders())


def shown_path(file: str) -> str:
    """A source file's name without the folders above the package, or above the strategy's own file."""
    path = resolved(file)
    if is_ours(path):
        return str(path.relative_to(PACKAGE_FOLDER))
    return path.name


@functools.lru_cache(maxsize=4096)
def imported_names(path: Path, _mtime_ns: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what a file imports when it is loaded: (module as written, names taken from it).

    Not what its functions import: a unit would have another key once they were called.
    """
    if not is_ours(path):
        return tuple(imports_in(ast.parse(path.read_bytes())))
    # Our own files import at the top, and there are many: parsing them would take ten times as long.
    found = []
    for match in IMPORT.finditer(path.read_text()):
        module, names, plain = match.groups()
        if module is not None:
            found.append((module, tuple(WORD.findall(names))))
        else:
            found.extend((each.split(" as ")[0].strip(), ()) for each in plain.split(","))
    return tuple(found)


def imports_in(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find the imports of a parsed module, those of its functions left out."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.Import):
            yield from ((name.name, ()) for name in each.names)
        elif isinstance(each, ast.ImportFrom):
            yield "." * each.level + (each.module or ""), tuple(name.name for name in each.names)
        elif not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_in(each)


def imports_of(name: str, path: Path) -> Iterator[str]:
    """Loaded modules that the module `name` imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for written, taken in imported_names(path, path.stat().st_mtime_ns):
        module = written
        if written.startswith("."):
            above = package.split(".")
            rest = written.lstrip(".")
            kept = above[: len(above) - (len(written) - len(rest) - 1)]
            module = ".".join([*kept, rest] if rest else kept)
        if module in sys.modules:
            yield module
        for each in taken:
            if f"{module}.{each}" in sys.modules:
                yield f"{module}.{each}"


def modules_of_class(cls: type) -> Iterator[str]:
    """The modules that a struct class is made from: its bases', its fields', and those of functions written for it."""
    waiting: list[type] = [cls]
    seen: set[type] = set()
    while waiting:
        each = waiting.pop()
        if each in seen or each is object:
            continue
        seen.add(each)
        yield each.__module__
        for function in implemented_for.get(each, ()):
            yield function.__module__
        waiting.extend(each.__mro__)
        if isinstance(each, StructMeta):
            waiting.extend(f.element for f in each.fields.values() if not isinstance(f.element, Scalar))


def roots(functions: Iterable[Callable[..., Any]], kinds: Iterable[Kind]) -> set[str]:
    """The modules of a unit's functions, of the values that these close over, and of its classes."""
    found: set[str] = set()
    classes: set[type] = {cls for kind in kinds for cls in classes_in(kind)}
    for function in functions:
        plain = plain_function(function)
        found.add(plain.__module__)
        for value in closed_over(plain):
            if isinstance(value, type):
                classes.add(value)
            elif callable(value):
                found.add(value.__module__)
    for cls in classes:
        found.update(modules_of_class(cls))
    return found


def closed_over(function: Any) -> Iterator[Any]:
    """The values of a function's free variables and defaults."""
    for cell in function.__closure__ or ():
        yield cell.cell_contents
    yield from function.__defaults__ or ()


def closure(names: Iterable[str]) -> dict[str, Path]:
    """These modules and all that they import, by name, with their files; only the project's and the user's own."""
    found: dict[str, Path] = {}
    waiting = list(names)
    # A venue or a strategy may be an installed package; what it is made from is the project's as much as our own.
    tops = {PACKAGE, *(name.partition(".")[0] for name in waiting)}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = module_path(name, tops)
        if path is None:
            continue
        found[name] = path
        imported = list(imports_of(name, path))
        waiting.extend(imported)
        if not is_ours(path):
            found.update(installed_among(imported, tops))
        waiting.extend(loaded_by_module.get(name, ()))
        for cls in classes_in_module(sys.modules[name]):
            waiting.extend(function.__module__ for function in implemented_for.get(cls, ()))
    return found


def installed_among(names: Iterable[str], tops: set[str]) -> Iterator[tuple[str, Path]]:
    """The installed packages' modules among those that the user's own code imports, with their files.

    A package that is written for Crosswire joins `tops`: what its modules import is followed, too.
    """
    for name in names:
        path, top = installed_path(name), name.partition(".")[0]
        if path is None:
            continue
        if is_for_crosswire(top):
            tops.add(top)
        else:
            yield name, path


@functools.cache
def is_for_crosswire(top: str) -> bool:
    """Tell whether a loaded module of an installed package names Crosswire."""
    names = [name for name in list(sys.modules) if name == top or name.startswith(f"{top}.")]
    paths = {path for name in names if (path := installed_path(name)) is not None}
    return any(PACKAGE.encode() in path.read_bytes() for path in paths)


def classes_in_module(module: ModuleType) -> Iterator[type]:
    """The struct classes that a module knows by name."""
    return (value for value in vars(module).values() if isinstance(value, StructMeta))


def frozen_values(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The module's global values that compiled code has in it as constants, which code elsewhere may have set."""
    for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
        if name.startswith("__"):
            continue
        text = frozen(value)
        if text is not None:
            yield name, text


def frozen(value: Any, depth: int = 0) -> str | None:
    """Return a constant as text, None for what compiled code can't have as one.

    A function is known by its name and line, and by what it closes over, CLOSURE_DEPTH_MAX functions deep.
    """
    if isinstance(value, bool | int | float | str | bytes):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, tuple):
        parts = [frozen(each, depth) for each in value]
        return None if None in parts else f"({','.join(map(str, parts))})"
    if isinstance(value, EnumMeta):
        members: list[Any] = list(value)
        return f"{class_name(value)} {[(each.name, each.value) for each in members]}"
    if isinstance(value, StructMeta):
        layout = [(f.name, f.offset, f.size, f.byte_order) for f in value.fields.values()]
        return f"{class_name(value)} {hashlib.sha256(repr(layout).encode()).hexdigest()}"
    if isinstance(value, Compiled):
        return frozen(value.plain, depth)
    if isinstance(value, FunctionType):
        inner = [frozen(each, depth + 1) for each in closed_over(value)] if depth < CLOSURE_DEPTH_MAX else []
        return f"{value.__module__}:{value.__qualname__}:{value.__code__.co_firstlineno} {inner}"
    return class_name(value) if isinstance(value, type) else None


@functools.cache
def compiler_digest() -> str:
    """Digest the compiler's own source."""
    return hashlib.sha256("".join(digest_of(PACKAGE_FOLDER / each) for each in COMPILER_FILES).encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def file_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_of(path: Path) -> str:
    """The digest of a file as it is now; "absent" if it has gone."""
    try:
        facts = path.stat()
        return file_digest(path, facts.st_mtime_ns, facts.st_size)
    except OSError:
        return "absent"


def module_text(name: str, path: Path) -> str:
    """Return all that a module is: its source, the data read with it, the values in it."""
    lines = [f"module {name} {digest_of(path)}"]
    lines += [f"read {each.name} {digest_of(each)}" for each in sorted(read_by_module.get(name, ()))]
    lines += [f"value {key} {text}" for key, text in frozen_values(sys.modules[name])]
    return "\n".join(lines)


def sources_digest(functions: Iterable[Callable[..., Any]], kinds: Iterable[Kind], texts: dict[str, str]) -> str:
    """Digest of all source, data and values that functions of these kinds are made from; no absolute path is in it.

    `texts` keeps each `module_text` while the keys of several units are made: they share most of their modules.
    """
    functions, kinds = list(functions), list(kinds)
    digest = hashlib.sha256()
    for name, path in sorted(closure(roots(functions, kinds)).items()):
        if name not in texts:
            texts[name] = module_text(name, path)
        digest.update(f"{texts[name]}\n".encode())
    for kind in kinds:
        for cls in classes_in(kind):
            digest.update(f"class {frozen(cls)}\n".encode())
    for function in functions:
        digest.update(f"function {frozen(plain_function(function))}\n".encode())
    return digest.hexdigest()
