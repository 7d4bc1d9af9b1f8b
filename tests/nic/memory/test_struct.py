"""`Struct`: the same bytes and the same numbers from Python and from compiled code."""

import gc
import struct as stdlib_struct
from enum import IntEnum
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crosswire.nic.memory.struct as layouts
from crosswire.nic.memory.struct import (
    ALIGNMENT_BYTES,
    Array,
    Pointer,
    Struct,
    StructMeta,
    address_of,
    array,
    clear_struct,
    copy_struct,
    f64,
    i8,
    i16,
    i32,
    i64,
    size_of,
    u8,
    u16,
    u32,
    u64,
    view,
)
from crosswire.nic.unit.build import CompileError
from crosswire.nic.unit.call import interpreted
from crosswire.nic.unit.compile import NO_JIT, compiled

ANY_INT = st.integers(-(1 << 63), (1 << 63) - 1)
ANY_DOUBLE = st.floats(allow_nan=False)


NUMBERS = {
    "tiny": u8,
    "signed_tiny": i8,
    "small": u16,
    "signed_small": i16,
    "medium": u32,
    "signed_medium": i32,
    "large": i64,
    "huge": u64,
    "double": f64,
}


def make_layout(name: str, fields: dict[str, Any], **options: Any) -> Any:
    """Make a class with these fields."""
    namespace = {"__annotations__": fields, "__module__": __name__, "__qualname__": name}
    return StructMeta(name, (Struct,), namespace, **options)


Aligned = make_layout("Aligned", NUMBERS)
AlignedBig = make_layout("AlignedBig", NUMBERS, byte_order="big")
# One byte in front, so that every field of the packed layouts lies unaligned.
Packed = make_layout("Packed", {"odd": u8, **NUMBERS}, packed=True)
PackedBig = make_layout("PackedBig", {"odd": u8, **NUMBERS}, packed=True, byte_order="big")
LAYOUTS = [Aligned, AlignedBig, Packed, PackedBig]
FORMATS = {
    "tiny": "B",
    "signed_tiny": "b",
    "small": "H",
    "signed_small": "h",
    "medium": "I",
    "signed_medium": "i",
    "large": "q",
    "huge": "q",
}


@compiled
def copy_numbers(source: Aligned, target: Aligned) -> None:
    target.tiny, target.signed_tiny = source.tiny, source.signed_tiny
    target.small, target.signed_small = source.small, source.signed_small
    target.medium, target.signed_medium = source.medium, source.signed_medium
    target.large, target.huge = source.large, source.huge
    target.double = source.double


@compiled
def store_numbers(target: Aligned, value: int, double: float) -> None:
    target.tiny = target.signed_tiny = value
    target.small = target.signed_small = value
    target.medium = target.signed_medium = value
    target.large = target.huge = value
    target.double = double


@compiled
def copy_whole(source: Struct, target: Struct) -> None:
    copy_struct(target, source)


@compiled
def clear_whole(target: Struct) -> None:
    clear_struct(target)


@compiled
def sum_numbers(source: Aligned) -> int:
    total = source.tiny + source.signed_tiny + source.small + source.signed_small
    return total + source.medium + source.signed_medium


def plain(function: Any) -> Any:
    return interpreted(function)


def fits(value: int, code: str) -> int:
    """`value` truncated to the field's width and read back with its sign."""
    size = stdlib_struct.calcsize("<" + code)
    return stdlib_struct.unpack("<" + code, (value & ((1 << 64) - 1)).to_bytes(8, "little")[:size])[0]


@pytest.mark.parametrize("layout", LAYOUTS)
@given(value=ANY_INT, double=ANY_DOUBLE)
def test_compiled_and_plain_store_the_same_bytes(layout: type[Any], value: int, double: float) -> None:
    by_machine, by_python = layout(), layout()
    store_numbers(by_machine, value, double)
    plain(store_numbers)(by_python, value, double)
    assert bytes(by_machine) == bytes(by_python)
    order = ">" if layout.byte_order == "big" else "<"
    for name, code in FORMATS.items():
        expected = fits(value, code)
        assert getattr(by_machine, name) == expected
        offset = layout.fields[name].offset
        assert stdlib_struct.unpack_from(order + code, bytes(by_machine), offset)[0] == expected
    assert by_machine.double == double


@pytest.mark.parametrize("target_layout", LAYOUTS)
@pytest.mark.parametrize("source_layout", LAYOUTS)
def test_numbers_survive_a_copy_between_layouts(source_layout: type[Any], target_layout: type[Any]) -> None:
    source = source_layout()
    plain(store_numbers)(source, -0x1122334455667788, -0.1)
    by_machine, by_python = target_layout(), target_layout()
    copy_numbers(source, by_machine)
    plain(copy_numbers)(source, by_python)
    assert bytes(by_machine) == bytes(by_python)
    assert [getattr(by_machine, name) for name in FORMATS] == [getattr(source, name) for name in FORMATS]
    assert sum_numbers(source) == plain(sum_numbers)(by_machine)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_structs_are_copied_and_cleared_and_nothing_beside_them(layout: type[Any]) -> None:
    source, by_machine, by_python = layout.array(2), layout.array(3), layout.array(3)
    plain(store_numbers)(source[0], -0x1122334455667788, -0.1)
    for targets, copy, clear in (
        (by_machine, copy_whole, clear_whole),
        (by_python, plain(copy_whole), plain(clear_whole)),
    ):
        for target in targets:
            copy(source[0], target)
            assert bytes(target) == bytes(source[0]) != bytes(source[1])
        clear(targets[1])
        assert [bytes(target) for target in targets] == [bytes(source[0]), bytes(layout.size), bytes(source[0])]


def test_unsigned_fields_are_read_as_positive_numbers_but_for_64_bits() -> None:
    source = Packed(tiny=-1, small=-1, medium=-1, huge=-1)
    assert (source.tiny, source.small, source.medium, source.huge) == (0xFF, 0xFFFF, 0xFFFFFFFF, -1)
    assert sum_numbers(source) == 0xFF + 0xFFFF + 0xFFFFFFFF


@given(double=st.floats())
def test_doubles_keep_their_bits(double: float) -> None:
    expected = stdlib_struct.pack(">d", double)
    target = PackedBig()
    store_numbers(target, 0, double)
    assert bytes(target)[-8:] == expected
    source = Packed()
    copy_numbers(target, source)
    assert bytes(source)[-8:] == expected[::-1]


def test_layout_follows_the_c_rules() -> None:
    class Mixed(Struct):
        flag: u8
        count: u32
        total: i64
        tail: u16

    assert [Mixed.fields[name].offset for name in ("flag", "count", "total", "tail")] == [0, 4, 8, 16]
    assert (Mixed.size, Mixed.alignment) == (24, 8)
    assert Mixed.dtype == np.dtype([("flag", "u1"), ("count", "u4"), ("total", "i8"), ("tail", "u2")], align=True)


def test_packed_layout_has_no_holes() -> None:
    assert Packed.size == stdlib_struct.calcsize("<BBbHhIiqqd")
    assert PackedBig.dtype["large"] == np.dtype(">i8")


def test_memory_is_zeroed_and_on_a_cache_line() -> None:
    for count in range(1, 20):
        items = array(u8, count)
        assert items.address % ALIGNMENT_BYTES == 0
        assert bytes(items) == bytes(count)


# --- nested ----------------------------------------------------------------------------------------------------------


class Level(Struct):
    price_ticks: i64
    qty_lots: i64


class Inner(Struct, packed=True, byte_order="big"):
    mark: u8
    numbers: Annotated[Array, u16, 3]


class Book(Struct):
    count: i64
    best: Level
    levels: Annotated[Array, Level, 4]
    inner: Inner
    spill: Annotated[Pointer, Level]
    raw: Annotated[Pointer, u8]


class SpecialBook(Book):
    extra: i64


@compiled
def fill_book(book: Book) -> None:
    book.best.price_ticks = 7
    for index in range(4):
        level = book.levels[index]
        level.price_ticks = 10 + index
        book.levels[index].qty_lots = 100 + index
    book.inner.mark = 0xAB
    for index in range(3):
        book.inner.numbers[index] = 0x0102 + index
    book.spill[1].price_ticks = -5
    book.raw[0] = 0x1FF


@compiled
def sum_book(book: Book) -> int:
    total = book.best.price_ticks + book.inner.mark + book.spill[1].price_ticks + book.raw[0]
    for index in range(4):
        total += book.levels[index].price_ticks * book.levels[index].qty_lots
    for index in range(3):
        total += book.inner.numbers[index]
    return total


def make_book(cls: type[Book]) -> Book:
    return cls(spill=array(Level, 2), raw=array(u8, 3))


@pytest.mark.parametrize("cls", [Book, SpecialBook])
def test_nested_structs_arrays_and_pointers(cls: type[Book]) -> None:
    by_machine, by_python = make_book(cls), make_book(cls)
    fill_book(by_machine)
    plain(fill_book)(by_python)
    for book in (by_machine, by_python):
        assert [(level.price_ticks, level.qty_lots) for level in book.levels] == [
            (10 + index, 100 + index) for index in range(4)
        ]
        assert bytes(book.inner) == bytes.fromhex("ab 0102 0103 0104")
        assert list(book.inner.numbers) == [0x0102, 0x0103, 0x0104]
        assert book.spill[1].price_ticks == -5
        assert bytes(book.raw) == b"\xff\0\0"
        assert book.best.price_ticks == 7
    assert sum_book(by_machine) == plain(sum_book)(by_python)
    # Equal but for the addresses.
    start = Book.fields["spill"].offset
    assert bytes(by_machine)[:start] == bytes(by_python)[:start]


def test_a_class_inherits_the_layout_of_its_parent() -> None:
    special = SpecialBook(count=3, extra=4)
    assert SpecialBook.fields["extra"].offset == Book.size
    assert Book.at(special.address).count == 3


def test_packing_and_byte_order_are_inherited() -> None:
    class More(PackedBig):
        last: u16

    more = More(last=0x0102)
    assert bytes(more)[-2:] == b"\x01\x02"
    assert More.size == PackedBig.size + 2


def test_a_pointer_keeps_its_target_alive() -> None:
    book = Book(spill=array(Level, 2))
    book.spill[1].qty_lots = 42
    gc.collect()
    assert [array(Level, 2).address for _ in range(50)].count(book.spill.address) == 0
    assert book.spill[1].qty_lots == 42


def test_a_part_keeps_the_whole_alive() -> None:
    inner, numbers, whole = (lambda book: (book.inner, book.levels, book.levels.numpy()))(make_book(Book))
    gc.collect()
    numbers[3].qty_lots = 9
    inner.mark = 1
    assert whole["qty_lots"].tolist() == [0, 0, 0, 9]


def test_numpy_view_shares_the_memory() -> None:
    levels = array(Level, 3)
    records = levels.numpy()
    records["price_ticks"] = [1, 2, 3]
    assert [level.price_ticks for level in levels] == [1, 2, 3]
    assert len(levels.numpy(2)) == 2


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 4, 1 << 40])
def test_python_checks_bounds(index: int) -> None:
    book = make_book(Book)
    with pytest.raises(IndexError, match=rf"index {index} outside 0\.\.4"):
        book.levels[index]
    with pytest.raises(IndexError):
        array(i64, 4)[index] = 1


def test_python_checks_the_bounds_of_a_pointer_whose_target_it_knows() -> None:
    book = make_book(Book)
    with pytest.raises(IndexError, match=r"index 2 outside 0\.\.2"):
        book.spill[2]


def test_null_pointer_is_an_error() -> None:
    with pytest.raises(ValueError, match="null pointer"):
        Book().spill[0]


def test_pointer_to_another_class_is_refused() -> None:
    with pytest.raises(TypeError, match="spill points to"):
        Book().spill = array(i64, 1)


def test_what_lies_in_place_is_not_assigned() -> None:
    book = make_book(Book)
    with pytest.raises(TypeError, match="best lies in place"):
        book.best = Level()
    with pytest.raises(TypeError, match="levels lies in place"):
        book.levels = array(Level, 4)
    with pytest.raises(TypeError, match="assign to the fields of an element"):
        book.levels[0] = Level()


def test_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Level has no field 'price'"):
        Level(price=1)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int, "is no field type"),
        (Annotated[int, "note"], "is no field type"),
        (Annotated[Array, Level], "needs a positive count"),
        (Annotated[Array, Level, 0], "needs a positive count"),
        (Annotated[Array, int, 3], "is no element type"),
    ],
)
def test_bad_annotation_names_the_field(annotation: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"Broken\.field: .*{message}"):
        layouts.StructMeta("Broken", (Struct,), {"__annotations__": {"field": annotation}, "__module__": __name__})


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_compiled_code_refuses_an_unknown_field() -> None:
    @compiled
    def read(level: Level) -> int:
        return level.price  # type: ignore[attr-defined]

    with pytest.raises(CompileError, match="price"):
        read(Level())


# --- readable, addressable ---------------------------------------------------------------------------------------


def test_repr_names_every_field() -> None:
    assert repr(Level(price_ticks=1, qty_lots=-2)) == "Level(price_ticks=1, qty_lots=-2)"
    text = repr(make_book(Book))
    assert text.startswith("Book(count=0, best=Level(price_ticks=0, qty_lots=0), levels=<Level[4] at 0x")
    assert "raw=<u8[3] at 0x" in text
    assert repr(Book().spill) == "<Level[] at 0x0>"


class Code(IntEnum):
    LAST = 3


@compiled
def walk(address: int) -> int:
    """A view stepped by the size of its class, an address taken back, an enum as index."""
    first = view(Level, address)
    second = view(Level, address + size_of(Level))
    total = first.price_ticks * 1000 + second.price_ticks
    return total if address_of(first) == address else -1


@compiled
def at_code(book: Book) -> int:
    return address_of(book.levels[Code.LAST]) - address_of(book.levels)


def test_view_address_of_size_of() -> None:
    levels = array(Level, 2)
    levels[0].price_ticks, levels[1].price_ticks = 3, 4
    assert walk(levels.address) == plain(walk)(levels.address) == 3004
    assert at_code(make_book(Book)) == plain(at_code)(make_book(Book)) == 3 * Level.size


@compiled
def same(level: Level) -> Level:
    return level


def test_a_struct_comes_back_as_a_view() -> None:
    level = Level(price_ticks=5)
    back = same(level)
    assert isinstance(back, Level)
    assert back.address == level.address
    assert back.price_ticks == 5
