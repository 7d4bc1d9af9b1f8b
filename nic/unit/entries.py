"""A unit's entries: functions with plain arguments around those that are compiled, and words for what these take."""

from typing import Any

from llvmlite import ir
from numba.core import types

from crosswire.nic.memory import struct_numba

I32 = ir.IntType(32)
I64 = ir.IntType(64)
RESULT = ir.LiteralStructType((I64, I32))  # an entry's number, and its status


def write_entry(context: Any, module: Any, symbol: str, result: Any, arguments: tuple[Any, ...]) -> None:
    """Write {i64, i32} symbol(i64, ...): a number and a status, in registers."""
    function = ir.Function(module, ir.FunctionType(RESULT, [I64] * len(arguments)), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    values = [from_word(builder, word, each) for word, each in zip(function.args, arguments, strict=True)]
    status, value = call(context, builder, result, values)
    returned = result.signature.return_type
    word = I64(0) if isinstance(returned, types.NoneType) else to_word(builder, value, returned)
    pair = builder.insert_value(ir.Constant(RESULT, ir.Undefined), word, 0)
    builder.ret(builder.insert_value(pair, status, 1))


def write_memory_entry(context: Any, module: Any, symbol: str, result: Any, arguments: tuple[Any, ...]) -> None:
    """Write i32 symbol(i64 *words): reads arguments from `words`, puts the result's words there, returns the status."""
    function = ir.Function(module, ir.FunctionType(I32, [I64.as_pointer()]), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    place = 0

    def read(each: Any) -> Any:
        nonlocal place
        if isinstance(each, types.BaseTuple):
            return context.make_tuple(builder, each, [read(part) for part in each.types])
        if isinstance(each, types.NoneType | struct_numba.StructClassType):
            return context.get_dummy_value()
        place += 1
        return from_word(builder, builder.load(builder.gep(function.args[0], [I64(place - 1)])), each)

    values = [read(each) for each in arguments]
    status, value = call(context, builder, result, values)
    place = 0

    def write(each: Any, part: Any) -> None:
        nonlocal place
        if isinstance(each, types.BaseTuple):
            for number, inner in enumerate(each.types):
                write(inner, builder.extract_value(part, number))
        elif not isinstance(each, types.NoneType):
            builder.store(to_word(builder, part, each), builder.gep(function.args[0], [I64(place)]))
            place += 1

    write(result.signature.return_type, value)
    builder.ret(status)


def call(context: Any, builder: Any, result: Any, values: list[Any]) -> tuple[Any, Any]:
    """Call a compiled function; its status, 0 if all went well, and its value."""
    callee = context.declare_function(builder.module, result.fndesc)
    status, value = context.call_conv.call_function(
        builder, callee, result.fndesc.restype, result.fndesc.argtypes, values
    )
    return builder.select(status.is_error, status.code, I32(0)), value


def from_word(builder: Any, word: Any, numba_type_: Any) -> Any:
    """A value of compiled code from its 64-bit word."""
    if isinstance(numba_type_, types.Boolean):
        return builder.icmp_signed("!=", word, I64(0))
    if isinstance(numba_type_, types.Float):
        return builder.bitcast(word, ir.DoubleType())
    if isinstance(numba_type_, types.Integer):
        return word
    return builder.inttoptr(word, struct_numba.BYTE_POINTER)


def to_word(builder: Any, value: Any, numba_type_: Any) -> Any:
    """The 64-bit word of a value of compiled code."""
    if isinstance(numba_type_, types.Boolean):
        return builder.zext(value, I64)
    if isinstance(numba_type_, types.Float):
        return builder.bitcast(value, I64)
    if isinstance(numba_type_, types.Integer | types.IntEnumMember):
        return value if value.type == I64 else builder.sext(value, I64)
    return builder.ptrtoint(value, I64)
