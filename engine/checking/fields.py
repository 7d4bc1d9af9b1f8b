"""Fields that a struct can't have: the file that declares them can't always be imported, so its text is read."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from crosswire.engine.checking.mistake import CodeMistake
from crosswire.nic.memory.struct import StructMeta
from crosswire.strategies.interface import Strategy

COUNTED = "write i64, and count in ticks, lots, 1e-9 units (_e9) or ns"
TABLE = "write Annotated[Array, i64, 64], and a count beside it"
TYPES = {
    "int": ("width", "write i64"),
    "bool": ("width", "write i64, 0 or 1"),
    "float": ("float", COUNTED),
    "Decimal": ("float", COUNTED),
    "str": ("text", "write i64, and a member of an IntEnum in it"),
    "bytes": ("text", "write Annotated[Array, u8, 32]"),
    "list": ("container", TABLE),
    "dict": ("container", TABLE),
    "set": ("container", TABLE),
    "tuple": ("container", TABLE),
    "deque": ("container", TABLE),
}
# What a struct's class and its records have themselves: a field of such a name would take its place.
RESERVED = frozenset(
    name
    for each in (*Strategy.__mro__, *StructMeta.mro(StructMeta))
    if each not in (object, type)
    for name in (*vars(each), *inspect.get_annotations(each))
    if not name.startswith("__")
)


def field_mistakes(path: Path) -> list[CodeMistake]:
    """Find the fields of a file's structs and strategies with a type of Python's, a default, or a name that is taken.

    SyntaxError, OSError.
    """
    tree = ast.parse(path.read_bytes())
    return [each for node in tree.body if isinstance(node, ast.ClassDef) for each in _in_class(path, node, tree)]


def _in_class(path: Path, node: ast.ClassDef, tree: ast.Module) -> Iterator[CodeMistake]:
    if not any(_is_struct(ast.unparse(base), tree) for base in node.bases):
        return
    for each in node.body:
        if not (isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)):
            continue
        kind = each.annotation.value if isinstance(each.annotation, ast.Subscript) else each.annotation
        found = TYPES.get(ast.unparse(kind))
        if found is not None:
            rule, instead = found
            what = f"{each.target.id} is a {ast.unparse(kind)}, which no struct has"
            yield CodeMistake(path, each.lineno, each.annotation.col_offset + 1, rule, what, instead)
        if each.value is not None:
            what = f"{each.target.id} = {ast.unparse(each.value)}: a field has no default, and begins as 0"
            yield CodeMistake(path, each.lineno, 1, "field", what, "set it in build")
        if each.target.id in RESERVED:
            what = f"{each.target.id} is a name that every struct has for itself"
            yield CodeMistake(path, each.lineno, 1, "field", what, f"rename it, as own_{each.target.id.strip('_')}")


def _is_struct(base: str, tree: ast.Module) -> bool:
    """Tell whether a base's name is that of Crosswire's `Struct` or of a strategy, and not msgspec's."""
    if base.rpartition(".")[2].endswith("Strategy"):
        return True
    from_elsewhere = any(
        isinstance(each, ast.ImportFrom)
        and not (each.module or "").startswith("crosswire")
        and "Struct" in {name.asname or name.name for name in each.names}
        for each in tree.body
    )
    return base in ("Struct", "crosswire.Struct") and not from_elsewhere
