"""Which parameters a compiled function writes to, by its source: a book may be handed to one of Crosswire's own."""

import ast
import functools
from types import FunctionType

from crosswire.engine.checking.sources import is_marked, node_of
from crosswire.nic.memory.struct import clear_struct, copy_struct
from crosswire.nic.unit.compile import plain_function

DEPTH_MAX = 6  # of calls that are followed


@functools.lru_cache(maxsize=1024)
def parameters_written(function: FunctionType, depth: int = 0) -> frozenset[str]:
    """Name the parameters whose memory a function, or what it calls, changes; none if its source is not there."""
    node = node_of(function)
    if node is None or depth > DEPTH_MAX:
        return frozenset()
    every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    roots = {each.arg: each.arg for each in every}  # names that stand for a parameter's memory
    written: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                root = roots.get(_root(target), "")
                if isinstance(target, ast.Name) and each.value is not None and not isinstance(each, ast.AugAssign):
                    aliased = roots.get(_root(each.value), "")
                    if aliased and isinstance(each.value, ast.Attribute | ast.Subscript):
                        roots[target.id] = aliased
                elif root and not isinstance(target, ast.Name):
                    written.add(root)
        elif isinstance(each, ast.Call):
            written.update(roots[name] for name in _given_to_write(function, each, depth) if name in roots)
    return frozenset(written)


def _given_to_write(function: FunctionType, call: ast.Call, depth: int) -> list[str]:
    """List the names at the roots of a call's arguments that the called function writes to."""
    if not isinstance(call.func, ast.Name):
        return []
    called = function.__globals__.get(call.func.id)
    if called in (clear_struct, copy_struct):
        return [_root(call.args[0])] if call.args else []
    plain = plain_function(called) if called is not None and is_marked(called) else None
    if not isinstance(plain, FunctionType):
        return []
    written = parameters_written(plain, depth + 1)
    names = plain.__code__.co_varnames[: plain.__code__.co_argcount]
    return [_root(each) for name, each in zip(names, call.args, strict=False) if name in written]


def _root(node: ast.expr) -> str:
    """Find the name that a chain of attributes and indices begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
