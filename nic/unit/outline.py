"""Code that is compiled by itself and called through its address, for what is large and not on the hot line.

Whatever the loop calls becomes part of the loop, and LLVM optimises it there again: with a whole simulated exchange in
it the loop had not compiled after five minutes, with the exchange outlined it takes as long as without one.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cfunc, types

from crosswire.nic.unit.compile import JIT_OPTIONS, NO_JIT, lowers, on_disk

DONE = 1  # what an outlined function returns; 0 stands for an exception, which has been printed
_I64 = ir.IntType(64)
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_SIGNATURE = types.int64(types.int64, types.int64)
_OPTIONS = {name: JIT_OPTIONS[name] for name in ("error_model", "boundscheck")}

_addresses: dict[Callable[[int, int], int], int] = {}
_functions: dict[int, Callable[[int, int], int]] = {}  # without compilation: by a number that stands for an address
_compiled: list[Any] = []  # keeps the machine code alive


def outline(function: Callable[[int, int], int]) -> int:
    """The address of `function`, which takes two numbers (one perhaps the address of a struct) and returns DONE.

    Compiled at the first call, or taken from the cache.
    """
    if function not in _addresses:
        if NO_JIT:
            _addresses[function] = len(_functions) + 1
            _functions[_addresses[function]] = function
        else:
            entry = cfunc(_SIGNATURE, cache=on_disk.is_set(), **_OPTIONS)(function)
            _compiled.append(entry)
            _addresses[function] = entry.address
    return _addresses[function]


def call_outlined(address: int, first: int, second: int) -> int:
    """Call what `outline` gave the address of; its result, to be compared with DONE."""
    if NO_JIT:
        return _functions[address](first, second)
    return int(_ENTRY(address)(first, second))


@lowers(call_outlined, types.int64, types.int64, types.int64, returns=types.int64)
def _call_outlined(_context: Any, builder: Any, address: Any, first: Any, second: Any) -> Any:
    pointer = builder.inttoptr(address, ir.FunctionType(_I64, (_I64, _I64)).as_pointer())
    return builder.call(pointer, (first, second))
