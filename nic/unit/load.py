"""Machine code of units in memory, and calling it: llvmlite's linker, no compiler and no numba."""

import builtins
import ctypes
import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from crosswire.nic.unit.compile import NO_JIT, lowers
from crosswire.nic.unit.store import StoredUnit

ENTRY_ARGUMENTS_MAX = 8
I32, I64 = ir.IntType(32), ir.IntType(64)


class Result(ctypes.Structure):
    """What an entry returns, in two registers."""

    _fields_ = (("value", ctypes.c_int64), ("status", ctypes.c_int32))


class UnitError(Exception):
    """Compiled code raised something that has no class here; the text says what and where."""


_WORDS = [ctypes.CFUNCTYPE(Result, *[ctypes.c_int64] * count) for count in range(ENTRY_ARGUMENTS_MAX + 1)]
_MEMORY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)

faults: dict[int, str] = {}  # of all units loaded
_python: list[Callable[..., int]] = []  # with compilation off: the functions that numbers stand for
_raised: list[Exception] = []  # with compilation off: what statuses stand for
_engines: list[Any] = []  # keep the machine code alive


def load(unit: StoredUnit) -> dict[str, int]:
    """Take a unit's machine code up; the address of each entry."""
    engine = _engine()  # a process's symbols are known once it has one
    missing = [name for name in unit.symbols if llvm.address_of_symbol(name) is None]
    if missing:
        raise UnitError(f"unit {unit.name} calls {', '.join(missing)}, which this C library lacks")
    engine.add_object_file(llvm.ObjectFileRef.from_data(unit.object_code))
    engine.finalize_object()
    faults.update(unit.faults)
    return {name: engine.get_function_address(name) for name in unit.returns}


def _engine() -> Any:
    """Make a linker for one unit: a symbol's name means nothing outside its unit."""
    if not _engines:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    _engines.append(engine)
    return engine


def number_of(function: Callable[..., int]) -> int:
    """Return what stands for the address of a function of numbers, with compilation off."""
    _python.append(function)
    return len(_python)


def call_entry(address: int, *words: int) -> int:
    """Call a unit's entry with numbers. What it raises passes on: from compiled code as the same status."""
    if NO_JIT:
        return _python[address - 1](*words)
    result = _WORDS[len(words)](address)(*words)
    if result.status != 0:
        raise_fault(result.status)
    return int(result.value)


@lowers(call_entry, returns="i64", is_variadic=True)
def _call_entry(context: Any, builder: Any, address: Any, *words: Any) -> Any:
    pair = _call_address(builder, address, words)
    status = builder.extract_value(pair, 1)
    with builder.if_then(builder.icmp_signed("!=", status, I32(0)), likely=False):
        context.call_conv._return_errcode_raw(builder, status)
    return builder.extract_value(pair, 0)


def try_entry(address: int, *words: int) -> int:
    """Call a unit's entry with numbers; return the status of what it raises, for `raise_fault`, or 0."""
    if NO_JIT:
        try:
            _python[address - 1](*words)
        except Exception as error:
            _raised.append(error)
            return len(_raised)
        return 0
    return int(_WORDS[len(words)](address)(*words).status)


@lowers(try_entry, returns="i64", is_variadic=True)
def _try_entry(_context: Any, builder: Any, address: Any, *words: Any) -> Any:
    return builder.sext(builder.extract_value(_call_address(builder, address, words), 1), I64)


def _call_address(builder: Any, address: Any, words: tuple[Any, ...]) -> Any:
    signature = ir.FunctionType(ir.LiteralStructType((I64, I32)), [I64] * len(words))
    return builder.call(builder.inttoptr(address, signature.as_pointer()), words)


def call_with_memory(address: int, words: Any) -> None:
    """Call an entry that reads its arguments from an array of words and leaves its result there."""
    status = _MEMORY(address)(ctypes.addressof(words))
    if status != 0:
        raise_fault(status)


def raise_fault(status: int) -> None:
    """Raise what a status stands for, as the exception that the source names."""
    if NO_JIT:
        raise _raised[status - 1]
    text = faults.get(status, f"status {status}, which no loaded unit explains")
    name, _, message = text.partition(": ")
    match = re.match(r"[A-Za-z]+", name)
    kind = getattr(builtins, match.group(), None) if match else None
    if isinstance(kind, type) and issubclass(kind, Exception):
        raise kind(message or text.partition(" ")[2])
    raise UnitError(text)
