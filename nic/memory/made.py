"""Ring classes made to measure: a base class's functions over fields whose classes a configuration chooses.

Compiled code binds every call by class, so a ring that wraps other rings needs a class for each combination.
"""

import importlib
import sys
from typing import Any

from crosswire.nic.memory.struct import StructMeta


def made_class(base: type, inner: tuple[type, ...], fields: dict[str, Any]) -> Any:
    """The subclass of `base` that wraps the classes `inner` and adds `fields`; the same one for the same classes.

    It is an attribute of the base's module, since numba's index of machine code on disk names types by module and name.
    """
    name = f"{base.__name__}[{','.join(map(_label, inner))}]"
    module = sys.modules[base.__module__]
    if name not in vars(module):
        namespace = {"__annotations__": fields, "__module__": base.__module__, "__qualname__": name}
        setattr(module, name, StructMeta(name, (base,), namespace))
    return vars(module)[name]


def inner_classes(name: str) -> tuple[type, ...]:
    """The classes in a made class's name; AttributeError if it is none.

    For the module's `__getattr__`: an index on disk may name a class that this process has yet to make.
    """
    _, bracket, rest = name.partition("[")
    if not bracket or not rest.endswith("]"):
        raise AttributeError(name)
    return tuple(map(_find, _split(rest[:-1])))


def _label(cls: type) -> str:
    """A class's module and name, without dots: pickle would split the name at them."""
    return f"{cls.__module__.replace('.', '/')}:{cls.__qualname__}"


def _find(label: str) -> Any:
    module, _, name = label.partition(":")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


def _split(labels: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts = [""]
    depth = 0
    for letter in labels:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
