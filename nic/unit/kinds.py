"""What crosses from Python into machine code and back: the kinds of values, and values as 64-bit words.

A kind is "i64", "bool", "f64" or "none"; a `Struct` class (its address crosses); `Elements` of an array; `Class` for
the class itself, which takes no word; or `Group` for a tuple. Kinds are plain data, known without a compiler.
"""

import importlib
import struct as packing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from crosswire.nic.memory.struct import Array, Memory, Scalar, Struct, StructMeta, address_of

Kind = Any
MASK_64 = (1 << 64) - 1


@dataclass(frozen=True)
class Elements:
    """An array of unstated length: the address of its first element crosses."""

    element: Any  # Scalar or Struct class
    byte_order: str


@dataclass(frozen=True)
class Class:
    """A `Struct` class as an argument."""

    cls: type[Struct]


@dataclass(frozen=True)
class Group:
    """A tuple; `cls` is the NamedTuple's class, or tuple."""

    cls: type
    parts: tuple[Kind, ...]


def kind_of(value: Any) -> Kind:
    """The kind of a Python value; TypeError if compiled code can't take it."""
    kind = type(value)
    if kind is int:
        return "i64"
    if isinstance(kind, StructMeta):
        return kind
    if kind is bool:
        return "bool"
    if kind is float:
        return "f64"
    if value is None:
        return "none"
    if isinstance(value, Array):
        return Elements(value.element, value.byte_order)
    if isinstance(value, StructMeta):
        return Class(cast("type[Struct]", value))
    if isinstance(value, tuple):
        return Group(kind, tuple(map(kind_of, value)))
    if isinstance(value, int):  # a member of an IntEnum
        return "i64"
    raise TypeError(f"compiled code can't take {value!r}")


def kind_name(kind: Kind) -> str:
    """The kind in words that are the same in every process; part of a unit's key, and of its file."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, Elements):
        return f"array({element_name(kind.element)},{kind.byte_order})"
    if isinstance(kind, Class):
        return f"class({class_name(kind.cls)})"
    if isinstance(kind, Group):
        return f"group({class_name(kind.cls)};{';'.join(map(kind_name, kind.parts))})"
    return class_name(kind)


def element_name(element: Any) -> str:
    """The name of a scalar or a `Struct` class."""
    return element.name if isinstance(element, Scalar) else class_name(element)


def class_name(cls: type) -> str:
    """A class's module and name. One made inside a function is known by the function's name, too."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find_class(name: str) -> Any:
    """The class of that `class_name`."""
    module, _, qualified_name = name.partition(":")
    found: Any = importlib.import_module(module)
    if "[" in qualified_name:  # a made class, whose name has dots of its own
        return getattr(found, qualified_name)
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found


def kind_named(name: str, others: tuple[Kind, ...]) -> Kind:
    """The kind of that `kind_name`. A class that only its function knows is found among the kinds `others`."""
    known = {kind_name(each): each for each in others}
    if name in known:
        return known[name]
    if name in ("i64", "bool", "f64", "none"):
        return name
    word, bracket, rest = name.partition("(")
    if not bracket or word not in ("array", "class", "group"):
        return find_class(name)
    inside = rest[:-1]
    if word == "array":
        element, _, byte_order = inside.rpartition(",")
        return Elements(find_class(element) if ":" in element else scalar_named(element), byte_order)
    if word == "class":
        return Class(find_class(inside))
    cls, *parts = split(inside)
    kinds = tuple(kind_named(each, others) for each in parts)
    return Group(tuple if cls == "builtins:tuple" else find_class(cls), kinds)


def scalar_named(name: str) -> Any:
    """The scalar of this name."""
    from crosswire.nic.memory import struct

    return getattr(struct, name).__metadata__[0]


def split(text: str) -> list[str]:
    """Split at the semicolons outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == ";" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [each for each in parts if each]


def classes_in(kind: Kind) -> Iterator[type]:
    """All classes that a kind names."""
    if isinstance(kind, Elements):
        if not isinstance(kind.element, Scalar):
            yield kind.element
    elif isinstance(kind, Class):
        yield kind.cls
    elif isinstance(kind, Group):
        yield kind.cls
        for part in kind.parts:
            yield from classes_in(part)
    elif not isinstance(kind, str):
        yield kind


def word_count(kind: Kind) -> int:
    """How many words a value of this kind takes."""
    if isinstance(kind, Group):
        return sum(map(word_count, kind.parts))
    return 0 if kind == "none" or isinstance(kind, Class) else 1


def to_words(value: Any, words: list[int]) -> None:
    """Append a value's words, as signed numbers."""
    if isinstance(value, int):
        words.append(((value & MASK_64) ^ (1 << 63)) - (1 << 63))
    elif isinstance(value, Struct | Array):
        words.append(address_of(value))
    elif isinstance(value, float):
        words.append(packing.unpack("<q", packing.pack("<d", value))[0])
    elif isinstance(value, tuple):
        for part in value:
            to_words(part, words)


def from_words(kind: Kind, words: Iterator[int]) -> Any:
    """A value of `kind`; a struct is a view, whose memory somebody else must keep."""
    if kind == "none":
        return None
    if isinstance(kind, Group):
        parts = [from_words(part, words) for part in kind.parts]
        return tuple(parts) if kind.cls is tuple else kind.cls(*parts)
    word = next(words)
    if kind == "i64":
        return word
    if kind == "bool":
        return bool(word)
    if kind == "f64":
        return packing.unpack("<d", packing.pack("<q", word))[0]
    if isinstance(kind, Elements):
        return Array(word, kind.element, None, Memory(), kind.byte_order)  # type: ignore[arg-type]
    return kind.at(word)
