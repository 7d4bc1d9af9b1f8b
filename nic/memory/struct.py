"""`Struct`: one C struct in memory with two views.

Python sees an object with attributes; compiled code sees a typed pointer with no reference count. A class lists its
fields as annotations:

    class Level(Struct):
        price_ticks: i64
        qty_lots: i64

    class Side(Struct):
        count: i64
        levels: Annotated[Array, Level, 64]      # nested, in place
        spill: Annotated[Pointer, Level]         # elsewhere; kept alive by this struct
        book: Annotated[Book, Reference]         # one struct elsewhere, read as the struct itself

Every integer field reads as a signed 64-bit number in both worlds, so that no expression can mix signedness (numba
promotes int64 with uint64 to float64). Stores truncate to the field's width, as the machine does.

`packed=True` lays fields out back to back, as SBE and the IP headers do; `byte_order="big"` swaps on access. Wire
messages are declared this way, so that an offset exists in one place only.

Measured on 2 vCPU machines: a loop over such pointers takes 1.3 ns an event where NumPy arrays in tuples take 212 ns,
nearly all of it reference counting.
"""

import ctypes
import inspect
import mmap
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypeGuard, TypeVar, get_args, get_origin

import numpy as np

from crosswire.nic.unit.compile import NO_JIT

ByteOrder = Literal["little", "big"]
Element: TypeAlias = "Scalar | type[Struct]"
StructT = TypeVar("StructT", bound="Struct")

ALIGNMENT_BYTES = 64  # every allocation starts on a cache line
LARGE_PAGE_BYTES = 2 << 20
REPR_LETTERS_MAX = 2000  # of a struct shown in a debugger or a failing test


@dataclass(frozen=True)
class Scalar:
    """One machine number: its NumPy format without byte order, e.g. `i8` for a signed 64-bit integer."""

    name: str
    format: str
    ctype: Any

    @property
    def size(self) -> int:
        return int(self.format[1:])

    @property
    def is_float(self) -> bool:
        return self.format[0] == "f"

    @property
    def is_signed(self) -> bool:
        return self.format[0] == "i"

    def at(self, address: int, byte_order: ByteOrder) -> Any:
        ctype = self.ctype if byte_order == sys.byteorder else getattr(self.ctype, f"__ctype_{byte_order[0]}e__")
        return ctype.from_address(address)


i8 = Annotated[int, Scalar("i8", "i1", ctypes.c_int8)]
u8 = Annotated[int, Scalar("u8", "u1", ctypes.c_uint8)]
i16 = Annotated[int, Scalar("i16", "i2", ctypes.c_int16)]
u16 = Annotated[int, Scalar("u16", "u2", ctypes.c_uint16)]
i32 = Annotated[int, Scalar("i32", "i4", ctypes.c_int32)]
u32 = Annotated[int, Scalar("u32", "u4", ctypes.c_uint32)]
i64 = Annotated[int, Scalar("i64", "i8", ctypes.c_int64)]
# Read as its two's complement: an all-ones null is -1, and no venue counts past 2**63.
u64 = Annotated[int, Scalar("u64", "u8", ctypes.c_int64)]
f64 = Annotated[float, Scalar("f64", "f8", ctypes.c_double)]


# Takes (size, alignment) and returns the address of zeros, and what keeps them; None: each `Memory` is its own.
Allocator: TypeAlias = Callable[[int, int], tuple[int, Any]]
allocator: ContextVar[Allocator | None] = ContextVar("allocator", default=None)


class Memory:
    """A zeroed, aligned allocation, and whatever its pointer fields point to.

    `targets` maps the address of a pointer field to the `Array` stored there: compiled code holds bare addresses, so
    this is what keeps the target alive as long as the pointer. It comes from `allocator`, unless `is_private`. `bounds`
    are those of what another process shares (`nic/memory/arena.py`): no pointer is followed out of it.
    """

    __slots__ = ("_buffer", "address", "bounds", "targets")

    def __init__(
        self,
        size_bytes: int = 0,
        *,
        in_large_pages: bool = False,
        is_private: bool = False,
        bounds: tuple[int, int] | None = None,
    ) -> None:
        alignment = LARGE_PAGE_BYTES if in_large_pages else ALIGNMENT_BYTES
        self._buffer: Any = None
        self.address = 0
        self.bounds = bounds
        allocate = None if is_private else allocator.get()
        if size_bytes and allocate is not None:
            self.address, self._buffer = allocate(size_bytes, alignment)
        elif size_bytes:
            size_bytes += alignment
            self._buffer = _large_pages(size_bytes) if in_large_pages else np.zeros(size_bytes, np.uint8)
            self.address = _round_up(self._buffer.ctypes.data, alignment)
        self.targets: dict[int, Array] = {}

    def check(self, address: int, size_bytes: int) -> None:
        """Raise a ValueError if these bytes are not of what is shared."""
        if self.bounds is not None and not self.bounds[0] <= address <= self.bounds[1] - size_bytes:
            raise ValueError(f"{size_bytes} bytes at {address:#x} are not shared")


def _large_pages(size_bytes: int) -> "np.ndarray[Any, Any]":
    """Map zeros, in pages of 2 MB where the kernel can make them."""
    mapped = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapped, np.uint8)


class Array:
    """Elements side by side in memory, from `address`; checked against `count` when used from Python."""

    __slots__ = ("address", "byte_order", "count", "element", "memory")

    def __init__(
        self, address: int, element: Element, count: int | None, memory: Memory, byte_order: ByteOrder = "little"
    ) -> None:
        self.address = address
        self.element = element
        self.count = count
        self.memory = memory
        self.byte_order = byte_order

    def _address_of(self, index: int) -> int:
        if self.address == 0:
            raise ValueError("null pointer")
        if index < 0 or (self.count is not None and index >= self.count):
            raise IndexError(f"index {index} outside 0..{self.count}")
        address = self.address + index * self.element.size
        self.memory.check(address, self.element.size)
        return address

    def __getitem__(self, index: int) -> Any:
        address = self._address_of(index)
        if isinstance(self.element, Scalar):
            return self.element.at(address, self.byte_order).value
        return self.element.at(address, self.memory)

    def __setitem__(self, index: int, value: Any) -> None:
        if not isinstance(self.element, Scalar):
            raise TypeError("assign to the fields of an element, not to the element")
        self.element.at(self._address_of(index), self.byte_order).value = value

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("a pointer has no length")
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __bytes__(self) -> bytes:
        return ctypes.string_at(self.address, len(self) * self.element.size)

    def numpy(self, count: int | None = None) -> np.ndarray[Any, Any]:
        """The first `count` elements (default: all) as a NumPy view of the same memory."""
        count = len(self) if count is None else count
        dtype = np.dtype(self.element.format) if isinstance(self.element, Scalar) else self.element.dtype
        self.memory.check(self.address, count * dtype.itemsize)
        raw: Any = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(self.address)
        # The view must keep the memory alive by itself: ctypes objects made from an address do not.
        raw._memory = self.memory
        return np.frombuffer(raw, dtype=dtype, count=count)

    def __repr__(self) -> str:
        name = self.element.name if isinstance(self.element, Scalar) else self.element.__name__
        return f"<{name}[{'' if self.count is None else self.count}] at {self.address:#x}>"


class Reference:
    """Marks a field that holds the address of one struct elsewhere, and reads as that struct; never null when read."""


if TYPE_CHECKING:
    Pointer = Array  # any array can be stored in a pointer field
else:

    class Pointer(Array):
        """An `Array` that lies elsewhere: the field holds its address, and has no length of its own."""

        __slots__ = ()


# With compilation off, how many elements lie where a pointer field points: (field's address, target's) -> count. A
# struct that is handed over by its address has no `Memory.targets`, and its bounds are to be held all the same.
_counts: dict[tuple[int, int], int | None] = {}
COUNTS_MAX = 1 << 16  # remembered; the oldest are forgotten


def _note_count(address: int, target: Array) -> None:
    if len(_counts) >= COUNTS_MAX:
        del _counts[next(iter(_counts))]
    _counts[address, target.address] = target.count


class Field:
    """One field of a `Struct`: where it lies and how it is read. As a descriptor it does both from Python."""

    __slots__ = ("byte_order", "count", "element", "is_pointer", "is_reference", "name", "offset")

    def __init__(
        self, name: str, offset: int, element: Element, count: int | None, base: Any, byte_order: ByteOrder
    ) -> None:
        self.name = name
        self.offset = offset
        self.element = element
        self.count = count
        self.is_pointer = base is Pointer
        self.is_reference = base is Reference
        self.byte_order = byte_order

    @property
    def is_address(self) -> bool:
        """Tell whether the field holds an address."""
        return self.is_pointer or self.is_reference

    @property
    def size(self) -> int:
        return 8 if self.is_address else self.element.size * (1 if self.count is None else self.count)

    @property
    def is_scalar(self) -> bool:
        return isinstance(self.element, Scalar) and self.count is None and not self.is_address

    def __get__(self, struct: "Struct | None", owner: type) -> Any:
        if struct is None:
            return self
        address = struct._base + self.offset
        if self.is_pointer:
            target = struct.memory.targets.get(address)
            there = ctypes.c_uint64.from_address(address).value
            count = _counts.get((address, there)) if target is None else target.count
            return Pointer(there, self.element, count, struct.memory, self.byte_order)
        if self.is_reference:
            assert not isinstance(self.element, Scalar)
            there = ctypes.c_uint64.from_address(address).value
            if there == 0:
                raise ValueError(f"{self.name} refers to nothing yet")
            struct.memory.check(there, self.element.size)
            target = struct.memory.targets.get(address)
            memory = struct.memory if struct.memory.bounds is not None else None
            return self.element.at(there, memory if target is None else target.memory)
        if self.count is not None:
            return Array(address, self.element, self.count, struct.memory, self.byte_order)
        if isinstance(self.element, Scalar):
            return self.element.at(address, self.byte_order).value
        return self.element.at(address, struct.memory)

    def __set__(self, struct: "Struct", value: Any) -> None:
        address = struct._base + self.offset
        if self.is_pointer:
            if not isinstance(value, Array) or value.element is not self.element:
                raise TypeError(f"{self.name} points to {self.element!r}, not {value!r}")
            ctypes.c_uint64.from_address(address).value = value.address
            struct.memory.targets[address] = value
            if NO_JIT:
                _note_count(address, value)
        elif self.is_reference:
            assert not isinstance(self.element, Scalar)
            if not isinstance(value, self.element):
                raise TypeError(f"{self.name} refers to a {self.element!r}, not to {value!r}")
            ctypes.c_uint64.from_address(address).value = value._base
            struct.memory.targets[address] = one(value)
        elif self.count is not None or not isinstance(self.element, Scalar):
            raise TypeError(f"{self.name} lies in place: assign to its elements or fields")
        else:
            self.element.at(address, self.byte_order).value = value

    @property
    def format(self) -> Any:
        """NumPy dtype of the field."""
        if self.is_address:
            return np.dtype("u8")
        if isinstance(self.element, Scalar):
            base = np.dtype(self.element.format).newbyteorder("<" if self.byte_order == "little" else ">")
        else:
            base = self.element.dtype
        return base if self.count is None else np.dtype((base, (self.count,)))


class StructMeta(type):
    """Lays out a `Struct` class from its annotations."""

    fields: dict[str, Field]
    size: int
    alignment: int
    packed: bool
    byte_order: ByteOrder
    dtype: np.dtype[Any]
    hidden: tuple[str, ...]  # fields whose values no text shows
    is_private: bool  # it holds such a field: no memory that is shared has it

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_options: Any) -> "StructMeta":
        # No dictionary beside the memory: what is no field can't be assigned from Python either.
        return super().__new__(mcs, name, bases, {"__slots__": (), **namespace})

    def __init__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        packed: bool | None = None,
        byte_order: ByteOrder | None = None,
        hidden: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, bases, namespace)
        parent = next((base for base in bases if isinstance(base, StructMeta)), None)
        cls.packed = packed if packed is not None else (parent.packed if parent else False)
        cls.byte_order = byte_order or (parent.byte_order if parent else "little")
        cls.hidden = (*parent.hidden, *hidden) if parent else hidden
        cls.fields = dict(parent.fields) if parent else {}
        cls._offset = max((f.offset + f.size for f in cls.fields.values()), default=0)
        cls.alignment = parent.alignment if parent else 1
        cls.is_private = bool(cls.hidden) or (parent is not None and parent.is_private)
        for field_name, annotation in inspect.get_annotations(cls, eval_str=True).items():
            cls._add(field_name, annotation)
        cls.size = cls._offset if cls.packed else _round_up(cls._offset, cls.alignment)
        cls.dtype = np.dtype(
            {
                "names": list(cls.fields),
                "formats": [field.format for field in cls.fields.values()],
                "offsets": [field.offset for field in cls.fields.values()],
                "itemsize": max(cls.size, 1),
            }
        )

    def _add(cls, name: str, annotation: Any) -> None:
        element, count, base = _parse_annotation(cls, name, annotation)
        alignment = 8 if base is not None else (element.size if isinstance(element, Scalar) else element.alignment)
        if not cls.packed:
            cls._offset = _round_up(cls._offset, alignment)
            cls.alignment = max(cls.alignment, alignment)
        if base is None and _is_struct(element):
            cls.is_private = cls.is_private or element.is_private
        field = Field(name, cls._offset, element, count, base, cls.byte_order)
        cls.fields[name] = field
        setattr(cls, name, field)
        cls._offset += field.size


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _is_struct(value: object) -> TypeGuard["type[Struct]"]:
    return isinstance(value, StructMeta)


def _parse_annotation(cls: type, name: str, annotation: Any) -> tuple[Element, int | None, Any]:
    """Return the element, the count of an array in place, and Pointer or Reference for a field that is an address."""
    where = f"{cls.__qualname__}.{name}"
    if _is_struct(annotation):
        return annotation, None, None
    if get_origin(annotation) is not Annotated:
        raise TypeError(f"{where}: {annotation!r} is no field type; use i64, u8, a Struct, Annotated[Array, ...] ...")
    base, *details = get_args(annotation)
    if _is_struct(base) and details == [Reference]:
        return base, None, Reference
    if base in (Array, Pointer):
        element = details[0]
        if get_origin(element) is Annotated:
            element = get_args(element)[1]
        if not (isinstance(element, Scalar) or _is_struct(element)):
            raise TypeError(f"{where}: {details[0]!r} is no element type")
        if base is Pointer:
            return element, None, Pointer
        if len(details) != 2 or not isinstance(details[1], int) or details[1] <= 0:
            raise TypeError(f"{where}: Annotated[Array, element, count] needs a positive count")
        return element, details[1], None
    if isinstance(details[0], Scalar):
        return details[0], None, None
    raise TypeError(f"{where}: {annotation!r} is no field type")


class Struct(metaclass=StructMeta):
    """Base of all hot state. `Struct(**fields)` allocates zeroed memory; `at` views memory that exists."""

    __slots__ = ("_base", "memory")

    def __init__(self, **values: Any) -> None:
        self.memory = Memory(max(type(self).size, 1), is_private=type(self).is_private)
        self._base = self.memory.address
        for name, value in values.items():
            if name not in type(self).fields:
                raise TypeError(f"{type(self).__qualname__} has no field {name!r}")
            setattr(self, name, value)

    @classmethod
    def at(cls, address: int, memory: Memory | None = None) -> Self:
        """The struct at `address`; `memory` keeps that address alive (default: the caller does)."""
        struct = cls.__new__(cls)
        struct._base = address
        struct.memory = Memory() if memory is None else memory
        return struct

    @classmethod
    def array(cls, count: int) -> Array:
        """`count` zeroed structs side by side."""
        return array(cls, count)

    @property
    def address(self) -> int:
        """Where the struct lies; a class may have a field of that name instead (`address_of` works for all)."""
        return self._base

    def __bytes__(self) -> bytes:
        return ctypes.string_at(self._base, type(self).size)

    def __repr__(self) -> str:
        """Show field by field, REPR_LETTERS_MAX letters at most: a whole exchange would take minutes."""
        return f"{type(self).__name__}({_bounded(_described(self))})"


def _described(struct: Struct) -> Iterator[str]:
    """Give the fields of a struct as text; of nested ones the fields in turn."""
    separator = ""
    for name, field in type(struct).fields.items():
        yield f"{separator}{name}="
        separator = ", "
        if name in type(struct).hidden:
            yield "<hidden>"
        elif field.is_reference or field.is_scalar or field.count is not None or field.is_pointer:
            address = ctypes.c_uint64.from_address(struct._base + field.offset).value if field.is_reference else 0
            yield f"<{field.element.__name__} at {address:#x}>" if field.is_reference else repr(getattr(struct, name))  # type: ignore[union-attr]
        else:
            nested = getattr(struct, name)
            yield f"{type(nested).__name__}("
            yield from _described(nested)
            yield ")"


def _bounded(parts: Iterator[str]) -> str:
    text = ""
    for part in parts:
        text += part
        if len(text) > REPR_LETTERS_MAX:
            return text[:REPR_LETTERS_MAX] + " ..."
    return text


def array(element: Any, count: int) -> Array:
    """`count` zeroed elements (a `Struct` class, or a scalar such as `u8`) in memory of their own."""
    if get_origin(element) is Annotated:
        element = get_args(element)[1]
    memory = Memory(max(element.size * count, 1), is_private=_is_private(element))
    return Array(memory.address, element, count, memory)


def arrays(*shapes: tuple[Any, int], in_large_pages: bool = False) -> tuple[Array, ...]:
    """Make several arrays (element, count) side by side in one memory, each from a cache line of its own.

    In large pages what is read here and there costs fewer walks through page tables; a page is taken up whole.
    """
    elements = [get_args(element)[1] if get_origin(element) is Annotated else element for element, _ in shapes]
    offsets = [0]
    for element, (_, count) in zip(elements, shapes, strict=True):
        offsets.append(_round_up(offsets[-1] + element.size * count, ALIGNMENT_BYTES))
    is_private = any(map(_is_private, elements))
    memory = Memory(max(offsets[-1], 1), in_large_pages=in_large_pages, is_private=is_private)
    return tuple(
        Array(memory.address + offset, element, count, memory)
        for offset, element, (_, count) in zip(offsets, elements, shapes, strict=False)
    )


def _is_private(element: Element) -> bool:
    return not isinstance(element, Scalar) and element.is_private


def one(struct: Struct) -> Array:
    """A struct as the target of a pointer field: an array of one."""
    return Array(struct._base, type(struct), 1, struct.memory)


def view(cls: type[StructT], address: int) -> StructT:
    """The struct of class `cls` at `address`, from Python or from compiled code. Nothing is checked."""
    return cls.at(address)


def address_of(struct: Struct | Array) -> int:
    """Address of a struct, array or pointer's target, from Python or from compiled code."""
    return struct.address if isinstance(struct, Array) else struct._base


def size_of(cls: type[Struct]) -> int:
    """Size of a struct class in bytes; a constant in compiled code."""
    return cls.size


def copy_struct(target: Struct, source: Struct) -> None:
    """Copy all fields of a struct to another of the same class, from Python or from compiled code."""
    assert type(target) is type(source)
    ctypes.memmove(target._base, source._base, type(target).size)


def clear_struct(struct: Struct) -> None:
    """Set all bytes of a struct to 0, from Python or from compiled code."""
    ctypes.memset(struct._base, 0, type(struct).size)
