"""Handlers of signals in machine code: they run at once, in any thread, and need no interpreter."""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

I32, I64 = ir.IntType(32), ir.IntType(64)
_kept: list[Any] = []  # code, and the memory that it uses: a thread may be on its last instruction


def begin_handler() -> ir.IRBuilder:
    """Begin a handler: a function of the signal's number."""
    function = ir.Function(ir.Module("handler"), ir.FunctionType(ir.VoidType(), [I32]), "handler")
    return ir.IRBuilder(function.append_basic_block())


def end_handler(builder: ir.IRBuilder, memory: object) -> int:
    """Compile the handler that was begun; its address. `memory` is kept for as long as the process lives."""
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(builder.module)), machine)
    engine.finalize_object()
    _kept.append((engine, memory))
    return int(engine.get_function_address("handler"))


def update_word(builder: ir.IRBuilder, operation: str, address: int, value: int) -> None:
    """Have the handler add to ("add"), or raise to ("max"), a signed 64-bit word, whatever other threads do with it."""
    pointer = builder.inttoptr(ir.Constant(I64, address), I64.as_pointer())
    builder.atomic_rmw(operation, pointer, ir.Constant(I64, value), "seq_cst")
