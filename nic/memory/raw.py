"""Bytes at bare addresses, and the few 64-bit operations whose wrap-around matters: one meaning in both worlds."""

import ctypes
import time
from typing import Any

from llvmlite import ir

from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import NO_JIT, compiled, lowers

_I64 = ir.IntType(64)
_MASK_64 = (1 << 64) - 1
LINE_BYTES = 64  # a cache line, on every processor that this runs on
FNV_BASIS = 0xCBF29CE484222325 - (1 << 64)  # FNV-1a, 64 bits (draft-eastlake-fnv): the state before the first byte
_FNV_PRIME = 0x100000001B3
# The step and the multipliers of splitmix64.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_SECOND = 0x94D049BB133111EB - (1 << 64)
_HASH_MULTIPLIER = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, odd (Knuth, TAOCP 6.4: multiplicative hashing)


def _pointer(builder: Any, address: Any, bits: int) -> Any:
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def pinned(address: int) -> int:
    """Return `address`, computed here once and kept in one register.

    Of an array's item LLVM keeps base and index apart, and adds them at each use: where many items are in use at once,
    as in the risk gate, registers are spilled for it.
    """
    return address


@lowers(pinned, "i64", returns="i64")
def _pinned(_context: Any, builder: Any, address: Any) -> Any:
    return builder.asm(ir.FunctionType(_I64, [_I64]), "", "=r,0", [address], side_effect=False)


def copy_bytes(destination: int, source: int, length_bytes: int) -> None:
    """Copy between regions that do not overlap."""
    ctypes.memmove(destination, source, length_bytes)


@lowers(copy_bytes, "i64", "i64", "i64", returns="none")
def _copy_bytes(_context: Any, builder: Any, destination: Any, source: Any, length_bytes: Any) -> None:
    pointers = [_pointer(builder, address, 8) for address in (destination, source)]
    function = builder.module.declare_intrinsic("llvm.memcpy", [pointers[0].type, pointers[1].type, _I64])
    builder.call(function, [*pointers, length_bytes, ir.IntType(1)(0)])


def fill_bytes(address: int, value: int, length_bytes: int) -> None:
    """Set every byte of a region to `value`."""
    ctypes.memset(address, value, length_bytes)


@lowers(fill_bytes, "i64", "i64", "i64", returns="none")
def _fill_bytes(_context: Any, builder: Any, address: Any, value: Any, length_bytes: Any) -> None:
    pointer = _pointer(builder, address, 8)
    function = builder.module.declare_intrinsic("llvm.memset", [pointer.type, _I64])
    builder.call(function, [pointer, builder.trunc(value, ir.IntType(8)), length_bytes, ir.IntType(1)(0)])


def load_i64(address: int) -> int:
    """Load a native 64-bit word from any address."""
    return ctypes.c_int64.from_address(address).value


@lowers(load_i64, "i64", returns="i64")
def _load_i64(_context: Any, builder: Any, address: Any) -> Any:
    return builder.load(_pointer(builder, address, 64), align=1)


def store_i64(address: int, value: int) -> None:
    """Store a native 64-bit word at any address."""
    ctypes.c_int64.from_address(address).value = value


@lowers(store_i64, "i64", "i64", returns="none")
def _store_i64(_context: Any, builder: Any, address: Any, value: Any) -> None:
    builder.store(value, _pointer(builder, address, 64), align=1)


def load_u32_acquire(address: int) -> int:
    """Load from an aligned address; no later access moves before it. Pairs with another core's `store_u32_release`."""
    return ctypes.c_uint32.from_address(address).value


@lowers(load_u32_acquire, "i64", returns="i64")
def _load_u32_acquire(_context: Any, builder: Any, address: Any) -> Any:
    return builder.zext(builder.load_atomic(_pointer(builder, address, 32), "acquire", 4), _I64)


def store_u32_release(address: int, value: int) -> None:
    """Store at an aligned address; no earlier access moves after it."""
    ctypes.c_uint32.from_address(address).value = value


@lowers(store_u32_release, "i64", "i64", returns="none")
def _store_u32_release(_context: Any, builder: Any, address: Any, value: Any) -> None:
    builder.store_atomic(builder.trunc(value, ir.IntType(32)), _pointer(builder, address, 32), "release", 4)


def load_i64_acquire(address: int) -> int:
    """Load from an aligned address; no later access moves before it. Pairs with another core's `store_i64_release`."""
    return ctypes.c_int64.from_address(address).value


@lowers(load_i64_acquire, "i64", returns="i64")
def _load_i64_acquire(_context: Any, builder: Any, address: Any) -> Any:
    return builder.load_atomic(_pointer(builder, address, 64), "acquire", 8)


def store_i64_release(address: int, value: int) -> None:
    """Store at an aligned address; no earlier access moves after it."""
    ctypes.c_int64.from_address(address).value = value


@lowers(store_i64_release, "i64", "i64", returns="none")
def _store_i64_release(_context: Any, builder: Any, address: Any, value: Any) -> None:
    builder.store_atomic(value, _pointer(builder, address, 64), "release", 8)


@compiled
def mix_bits(state: int) -> int:
    """Run two rounds of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""
    state = multiply_u64(state ^ shift_right(state, 30), _MIX_FIRST)
    return multiply_u64(state ^ shift_right(state, 27), MIX_SECOND)


def hash_bits(key: int, bits: int) -> int:
    """The top `bits` (1 to 63) bits of a multiplicative hash of `key`: a slot of a table of 2**bits."""
    return ((key * _HASH_MULTIPLIER) & _MASK_64) >> (64 - bits)


@lowers(hash_bits, "i64", "i64", returns="i64")
def _hash_bits(_context: Any, builder: Any, key: Any, bits: Any) -> Any:
    return builder.lshr(builder.mul(key, _I64(_HASH_MULTIPLIER)), builder.sub(_I64(64), bits))


def multiply_u64(left: int, right: int) -> int:
    """The low 64 bits of a product, as their two's complement."""
    return _signed((left * right) & _MASK_64)


@lowers(multiply_u64, "i64", "i64", returns="i64")
def _multiply_u64(_context: Any, builder: Any, left: Any, right: Any) -> Any:
    return builder.mul(left, right)


def add_with_carry(left: int, right: int) -> int:
    """The sum of two 64-bit words modulo 2**64 - 1: what is carried out at the top comes in at the bottom."""
    total = (left & _MASK_64) + (right & _MASK_64)
    return _signed((total & _MASK_64) + (total >> 64))


@lowers(add_with_carry, "i64", "i64", returns="i64")
def _add_with_carry(_context: Any, builder: Any, left: Any, right: Any) -> Any:
    total = builder.uadd_with_overflow(left, right)
    return builder.add(builder.extract_value(total, 0), builder.zext(builder.extract_value(total, 1), _I64))


LANES = 4  # words that `xor_products` takes at a time: a vector of AVX2; elsewhere LLVM splits it


def xor_products(words: int, multipliers: int, count: int, spread_bits: int) -> int:
    """XOR of the low 64 bits of the products of `count` words, a multiple of LANES, by as many multipliers.

    Both lie at addresses. Each word is first XORed with itself shifted right by `spread_bits` (1 to 63).
    """
    total = 0
    for position in range(0, 8 * count, 8):
        word = load_i64(words + position)
        total ^= multiply_u64(word ^ shift_right(word, spread_bits), load_i64(multipliers + position))
    return total


@lowers(xor_products, "i64", "i64", "i64", "i64", returns="i64")
def _xor_products(_context: Any, builder: Any, words: Any, multipliers: Any, count: Any, spread_bits: Any) -> Any:
    lanes = ir.VectorType(_I64, LANES)
    bits = ir.Constant(lanes, [ir.Undefined] * LANES)
    for lane in range(LANES):
        bits = builder.insert_element(bits, spread_bits, ir.IntType(32)(lane))
    before = builder.block
    loop, after = builder.append_basic_block("products"), builder.append_basic_block("summed")
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), loop, after)
    builder.position_at_end(loop)
    place, total = builder.phi(_I64), builder.phi(lanes)
    position = builder.shl(place, _I64(3))
    word, multiplier = (
        builder.load(builder.inttoptr(builder.add(start, position), lanes.as_pointer()), align=8)
        for start in (words, multipliers)
    )
    product = builder.mul(builder.xor(word, builder.lshr(word, bits)), multiplier)
    summed = builder.xor(total, product)
    behind = builder.add(place, _I64(LANES))
    builder.cbranch(builder.icmp_signed("<", behind, count), loop, after)
    for phi, first, next_ in ((place, _I64(0), behind), (total, ir.Constant(lanes, [0] * LANES), summed)):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, loop)
    builder.position_at_end(after)
    result = builder.phi(lanes)
    result.add_incoming(ir.Constant(lanes, [0] * LANES), before)
    result.add_incoming(summed, loop)
    reduce = builder.module.declare_intrinsic(f"llvm.vector.reduce.xor.v{LANES}i64", (), ir.FunctionType(_I64, [lanes]))
    return builder.call(reduce, [result])


def load_u8(address: int) -> int:
    """Load one byte."""
    return ctypes.c_uint8.from_address(address).value


@lowers(load_u8, "i64", returns="i64")
def _load_u8(_context: Any, builder: Any, address: Any) -> Any:
    return builder.zext(builder.load(_pointer(builder, address, 8)), _I64)


@compiled
def fnv1a(state: int, address: int, length_bytes: int) -> int:
    """FNV-1a hash of `state` (FNV_BASIS to begin with) and of more bytes, as its two's complement."""
    for position in range(length_bytes):
        state = multiply_u64(state ^ load_u8(address + position), _FNV_PRIME)
    return state


def count_trailing_zeros(bits: int) -> int:
    """Index of the lowest set bit of a 64-bit word; 64 for zero."""
    word = bits & _MASK_64
    return (word & -word).bit_length() - 1 if word else 64


@lowers(count_trailing_zeros, "i64", returns="i64")
def _count_trailing_zeros(_context: Any, builder: Any, bits: Any) -> Any:
    return builder.cttz(bits, ir.IntType(1)(0))


def count_leading_zeros(bits: int) -> int:
    """63 less the index of the highest set bit of a 64-bit word; 64 for zero."""
    return 64 - (bits & _MASK_64).bit_length()


@lowers(count_leading_zeros, "i64", returns="i64")
def _count_leading_zeros(_context: Any, builder: Any, bits: Any) -> Any:
    return builder.ctlz(bits, ir.IntType(1)(0))


def shift_left(bits: int, count: int) -> int:
    """A 64-bit word shifted left by 0 to 63 places, as its two's complement."""
    return _signed((bits << count) & _MASK_64)


@lowers(shift_left, "i64", "i64", returns="i64")
def _shift_left(_context: Any, builder: Any, bits: Any, count: Any) -> Any:
    return builder.shl(bits, count)


def shift_right(bits: int, count: int) -> int:
    """A 64-bit word shifted right by 0 to 63 places, zeros moving in."""
    return _signed((bits & _MASK_64) >> count)


@lowers(shift_right, "i64", "i64", returns="i64")
def _shift_right(_context: Any, builder: Any, bits: Any, count: Any) -> Any:
    return builder.lshr(bits, count)


def round_half_even(value: float) -> int:
    """Nearest integer to a finite double, ties to even; for |value| < 2**63."""
    return round(value)


@lowers(round_half_even, "f64", returns="i64")
def _round_half_even(_context: Any, builder: Any, value: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.rint", [value.type])
    return builder.fptosi(builder.call(function, [value]), _I64)


def prefetch(address: int) -> None:
    """Have the cache line at `address` fetched; changes nothing, and any address may be named."""


@lowers(prefetch, "i64", returns="none")
def _prefetch(_context: Any, builder: Any, address: Any) -> None:
    _fetch_line(builder, address, is_written=False)


def prefetch_to_write(address: int) -> None:
    """Have the cache line at `address` fetched for this core alone, to be written; changes nothing."""


@lowers(prefetch_to_write, "i64", returns="none")
def _prefetch_to_write(_context: Any, builder: Any, address: Any) -> None:
    _fetch_line(builder, address, is_written=True)


def _fetch_line(builder: Any, address: Any, is_written: bool) -> None:
    pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), (pointer, i32, i32, i32))
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    # Kept in every cache, data.
    builder.call(function, [builder.inttoptr(address, pointer), i32(int(is_written)), i32(3), i32(1)])


def cycle_count() -> int:
    """The processor's time-stamp counter, of unknown rate; with compilation off, monotonic nanoseconds."""
    return time.monotonic_ns() if NO_JIT else int(_COUNTER())


@lowers(cycle_count, returns="i64")
def _cycle_count(_context: Any, builder: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(_I64, ()))
    return builder.call(function, [])


def cycle_count_in_order() -> int:
    """Do as `cycle_count`, after all that stands before it is done and before anything behind it has begun.

    For timing a few instructions. LFENCE: Intel SDM volume 2B, RDTSC; on AMD's as Linux sets them up.
    """
    return cycle_count()


@lowers(cycle_count_in_order, returns="i64")
def _cycle_count_in_order(_context: Any, builder: Any) -> Any:
    fence = builder.module.declare_intrinsic("llvm.x86.sse2.lfence", (), ir.FunctionType(ir.VoidType(), ()))
    function = builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(_I64, ()))
    builder.call(fence, [])
    count = builder.call(function, [])
    builder.call(fence, [])
    return count


def _read_counter() -> int:
    return cycle_count()


_COUNTER = machine_code(_read_counter)  # the counter that compiled code reads, for Python
