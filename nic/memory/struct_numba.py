"""`Struct` in compiled code: a typed pointer whose attributes are loads and stores.

Registered by importing it, which only the compiler does (`nic/unit/backend.py`). Integers are widened to int64 on load
and truncated on store, exactly as `nic.memory.struct` does from Python.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import lower_builtin, models, register_model, type_callable, typeof_impl

from crosswire.nic.memory.struct import (
    Array,
    Field,
    Scalar,
    Struct,
    StructMeta,
    address_of,
    clear_struct,
    copy_struct,
    size_of,
    view,
)

BYTE_POINTER = ir.IntType(8).as_pointer()
INT64 = ir.IntType(64)
INDEX_TYPES = (types.Integer, types.IntEnumMember)


class StructType(types.Type):
    """Pointer to a struct of class `cls`."""

    def __init__(self, cls: StructMeta) -> None:
        self.cls = cls
        super().__init__(f"struct({cls.__module__}.{cls.__qualname__})")

    @property
    def key(self) -> Any:
        return self.cls


class StructClassType(types.Dummy):
    """The class object itself, as the first argument of `view` and `size_of`."""

    def __init__(self, cls: StructMeta) -> None:
        self.struct_class = cls
        super().__init__(f"structclass({cls.__module__}.{cls.__qualname__})")

    @property
    def key(self) -> Any:
        return self.struct_class


class ArrayType(types.Type):
    """Address of elements side by side: an `Array` in place, or a `Pointer`'s target."""

    def __init__(self, element: Any, byte_order: str) -> None:
        self.element = element
        self.byte_order = byte_order
        name = element.name if isinstance(element, Scalar) else f"{element.__module__}.{element.__qualname__}"
        super().__init__(f"array({name},{byte_order})")

    @property
    def value_type(self) -> types.Type:
        return scalar_type(self.element) if isinstance(self.element, Scalar) else StructType(self.element)


@register_model(StructType)
@register_model(ArrayType)
class PointerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: types.Type) -> None:
        super().__init__(manager, front_end_type, BYTE_POINTER)


register_model(StructClassType)(models.OpaqueModel)


@typeof_impl.register(Struct)
def typeof_struct(value: Struct, _context: Any) -> StructType:
    return StructType(type(value))


@typeof_impl.register(StructMeta)
def typeof_struct_class(value: StructMeta, _context: Any) -> StructClassType:
    return StructClassType(value)


@typeof_impl.register(Array)
def typeof_array(value: Array, _context: Any) -> ArrayType:
    return ArrayType(value.element, value.byte_order)


def scalar_type(scalar: Scalar) -> types.Type:
    return types.float64 if scalar.is_float else types.int64


def load_scalar(builder: Any, pointer: Any, scalar: Scalar, byte_order: str, alignment: int) -> Any:
    """Load and widen to int64, or to a double."""
    bits = ir.IntType(scalar.size * 8)
    value = builder.load(builder.bitcast(pointer, bits.as_pointer()), align=alignment)
    if byte_order == "big" and scalar.size > 1:
        value = builder.bswap(value)
    if scalar.is_float:
        return builder.bitcast(value, ir.DoubleType())
    if scalar.size == 8:
        return value
    return builder.sext(value, INT64) if scalar.is_signed else builder.zext(value, INT64)


def store_scalar(builder: Any, pointer: Any, value: Any, scalar: Scalar, byte_order: str, alignment: int) -> None:
    """Store an int64 truncated to the field's width, or a double."""
    bits = ir.IntType(scalar.size * 8)
    if scalar.is_float:
        value = builder.bitcast(value, bits)
    elif scalar.size < 8:
        value = builder.trunc(value, bits)
    if byte_order == "big" and scalar.size > 1:
        value = builder.bswap(value)
    builder.store(value, builder.bitcast(pointer, bits.as_pointer()), align=alignment)


def field_type(field: Field) -> types.Type:
    if field.count is not None or field.is_pointer:
        return ArrayType(field.element, field.byte_order)
    return scalar_type(field.element) if isinstance(field.element, Scalar) else StructType(field.element)


def field_pointer(builder: Any, struct_pointer: Any, field: Field) -> Any:
    return builder.gep(struct_pointer, [INT64(field.offset)], inbounds=True)


def field_alignment(cls: StructMeta, scalar: Scalar) -> int:
    return 1 if cls.packed else scalar.size


@infer_getattr
class StructAttributes(AttributeTemplate):
    key = StructType

    def generic_resolve(self, struct: StructType, attribute: str) -> types.Type | None:
        field = struct.cls.fields.get(attribute)
        return None if field is None else field_type(field)


@lower_getattr_generic(StructType)
def get_field(_context: Any, builder: Any, struct: StructType, value: Any, attribute: str) -> Any:
    field = struct.cls.fields[attribute]
    pointer = field_pointer(builder, value, field)
    if field.is_address:
        return builder.load(builder.bitcast(pointer, BYTE_POINTER.as_pointer()), align=1 if struct.cls.packed else 8)
    if field.count is not None or not isinstance(field.element, Scalar):
        return pointer
    return load_scalar(builder, pointer, field.element, field.byte_order, field_alignment(struct.cls, field.element))


@lower_setattr_generic(StructType)
def set_field(context: Any, builder: Any, sig: Any, values: Any, attribute: str) -> None:
    struct, given = sig.args
    field = struct.cls.fields[attribute]
    if not field.is_scalar:
        raise TypeError(f"{struct.cls.__qualname__}.{attribute} can't be assigned in compiled code")
    value = context.cast(builder, values[1], given, scalar_type(field.element))
    pointer = field_pointer(builder, values[0], field)
    store_scalar(builder, pointer, value, field.element, field.byte_order, field_alignment(struct.cls, field.element))


@infer_global(operator.getitem)
class ArrayGetItem(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
        if isinstance(arguments[0], ArrayType) and isinstance(arguments[1], INDEX_TYPES):
            return signature(arguments[0].value_type, arguments[0], types.int64)
        return None


@infer_global(operator.setitem)
class ArraySetItem(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
        array = arguments[0]
        if isinstance(array, ArrayType) and isinstance(array.element, Scalar):
            return signature(types.none, array, types.int64, array.value_type)
        return None


def element_pointer(
    context: Any, builder: Any, array: ArrayType, address: Any, index_type: types.Type, index: Any
) -> Any:
    index = context.cast(builder, index, index_type, types.int64)
    offset = builder.mul(index, INT64(array.element.size), flags=("nsw",))
    return builder.gep(address, [offset], inbounds=True)


@lower_builtin(operator.getitem, ArrayType, types.Integer)
def array_getitem(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    array = sig.args[0]
    pointer = element_pointer(context, builder, array, values[0], sig.args[1], values[1])
    if isinstance(array.element, Scalar):
        return load_scalar(builder, pointer, array.element, array.byte_order, 1)
    return pointer


@lower_builtin(operator.setitem, ArrayType, types.Integer, types.Any)
def array_setitem(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    array = sig.args[0]
    pointer = element_pointer(context, builder, array, values[0], sig.args[1], values[1])
    value = context.cast(builder, values[2], sig.args[2], array.value_type)
    store_scalar(builder, pointer, value, array.element, array.byte_order, 1)
    return context.get_dummy_value()


@type_callable(view)
def type_view(_context: Any) -> Any:
    def typer(cls: types.Type, address: types.Type) -> types.Type | None:
        if isinstance(cls, StructClassType) and isinstance(address, types.Integer):
            return StructType(cls.struct_class)
        return None

    return typer


@lower_builtin(view, StructClassType, types.Integer)
def lower_view(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    address = context.cast(builder, values[1], sig.args[1], types.int64)
    return builder.inttoptr(address, BYTE_POINTER)


@type_callable(address_of)
def type_address_of(_context: Any) -> Any:
    return lambda pointer: types.int64 if isinstance(pointer, StructType | ArrayType) else None


@lower_builtin(address_of, StructType)
@lower_builtin(address_of, ArrayType)
def lower_address_of(_context: Any, builder: Any, _sig: Any, values: Any) -> Any:
    return builder.ptrtoint(values[0], INT64)


@type_callable(size_of)
def type_size_of(_context: Any) -> Any:
    return lambda cls: types.int64 if isinstance(cls, StructClassType) else None


@lower_builtin(size_of, StructClassType)
def lower_size_of(_context: Any, _builder: Any, sig: Any, _values: Any) -> Any:
    return INT64(sig.args[0].struct_class.size)


@type_callable(copy_struct)
def type_copy_struct(_context: Any) -> Any:
    def typer(target: types.Type, source: types.Type) -> types.Type | None:
        return types.none if isinstance(target, StructType) and target == source else None

    return typer


@lower_builtin(copy_struct, StructType, StructType)
def lower_copy_struct(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.memcpy", [BYTE_POINTER, BYTE_POINTER, INT64])
    builder.call(function, [*values, INT64(sig.args[0].cls.size), ir.IntType(1)(0)])
    return context.get_dummy_value()


@type_callable(clear_struct)
def type_clear_struct(_context: Any) -> Any:
    return lambda struct: types.none if isinstance(struct, StructType) else None


@lower_builtin(clear_struct, StructType)
def lower_clear_struct(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.memset", [BYTE_POINTER, INT64])
    builder.call(function, [*values, ir.IntType(8)(0), INT64(sig.args[0].cls.size), ir.IntType(1)(0)])
    return context.get_dummy_value()
