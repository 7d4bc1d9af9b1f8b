"""System calls that compiled code makes itself, without Python on the way.

They are calls of the C library's functions by name, as a C program would make them: so LD_PRELOAD libraries that
replace sockets (OpenOnload, VMA) see them. Each returns what the function does, or -errno.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from crosswire.nic.host.process import libc
from crosswire.nic.unit.compile import Word, lowers

MSG_DONTWAIT = 0x40
MSG_WAITFORONE = 0x10000
MSG_NOSIGNAL = 0x4000

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()


def _from_python(name: str, *arguments: Any) -> int:
    function = getattr(libc, name)
    function.restype = ctypes.c_long if name in ("sendto", "send", "recv") else ctypes.c_int
    result: int = function(*arguments)
    return -ctypes.get_errno() if result == -1 else result


def _lower_call(function: Callable[..., int], name: str, parts: tuple[Any, ...], returns: Any, extra: int = 0) -> None:
    """Have compiled code call libc's `name` for `function`: arguments cast to `parts`, then `extra` null ones."""

    def generate(_context: Any, builder: Any, *values: Any) -> Any:
        signature = ir.FunctionType(returns, [*parts, *([_POINTER] * extra)])
        target = builder.module.globals.get(name) or ir.Function(builder.module, signature, name)
        cast = [
            builder.inttoptr(value, part)
            if part == _POINTER
            else (value if part == _I64 else builder.trunc(value, part))
            for value, part in zip(values, parts, strict=True)
        ]
        result = builder.call(target, [*cast, *([_POINTER(None)] * extra)])
        result = result if returns == _I64 else builder.sext(result, _I64)
        errno_type = ir.FunctionType(_I32.as_pointer(), [])
        errno_at = builder.module.globals.get("__errno_location") or ir.Function(
            builder.module, errno_type, "__errno_location"
        )
        place = builder.alloca(_I64)
        builder.store(result, place)
        with builder.if_then(builder.icmp_signed("<", result, _I64(0)), likely=False):
            builder.store(builder.neg(builder.sext(builder.load(builder.call(errno_at, [])), _I64)), place)
        return builder.load(place)

    words: list[Word] = ["i64"] * len(parts)
    lowers(function, *words, returns="i64")(generate)


def call_send(fd: int, address: int, length: int, flags: int) -> int:
    """Call send(2)."""
    return _from_python("send", fd, ctypes.c_void_p(address), ctypes.c_size_t(length), flags)


def call_recv(fd: int, address: int, length: int, flags: int) -> int:
    """Call recv(2)."""
    return _from_python("recv", fd, ctypes.c_void_p(address), ctypes.c_size_t(length), flags)


def call_recvmmsg(fd: int, vector: int, count: int, flags: int) -> int:
    """Call recvmmsg(2) without a timeout; `vector` is the address of `count` mmsghdr."""
    return _from_python("recvmmsg", fd, ctypes.c_void_p(vector), count, flags, None)


def call_sendmmsg(fd: int, vector: int, count: int, flags: int) -> int:
    """Call sendmmsg(2); `vector` is the address of `count` mmsghdr."""
    return _from_python("sendmmsg", fd, ctypes.c_void_p(vector), count, flags)


def call_connect(fd: int, address: int, length: int) -> int:
    """Call connect(2); `address` is that of a sockaddr."""
    return _from_python("connect", fd, ctypes.c_void_p(address), length)


_lower_call(call_send, "send", (_I32, _POINTER, _I64, _I32), _I64)
_lower_call(call_recv, "recv", (_I32, _POINTER, _I64, _I32), _I64)
_lower_call(call_recvmmsg, "recvmmsg", (_I32, _POINTER, _I32, _I32), _I32, extra=1)
_lower_call(call_sendmmsg, "sendmmsg", (_I32, _POINTER, _I32, _I32), _I32)
_lower_call(call_connect, "connect", (_I32, _POINTER, _I32), _I32)
