"""Put a changed source file in the place of its module, in a process that is only for that."""

import ast
import gc
import importlib.util
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType


def swap_functions(module: ModuleType, path: Path, tree: ast.Module) -> None:
    """Give every function of an imported module the code that it has in the tree."""
    codes = {_key(code): code for code in _codes(compile(tree, str(path), "exec"))}
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__globals__ is module.__dict__:
            code = codes.get(_key(function.__code__))
            if code is not None:
                function.__code__ = code


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


class Changed(MetaPathFinder, Loader):
    """Has a module that is not imported yet made of the tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        assert name not in sys.modules
        self.name, self.path, self.tree = name, path, tree
        sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the tree."""
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)
