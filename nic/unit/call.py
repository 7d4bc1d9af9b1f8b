"""Compiled functions called from Python, each as a unit of its own: for tests, benchmarks and what set-up computes.

`machine_code` makes one function callable. `compile_calls` makes every function that compiled code may call compiled
from Python, too, at its first call with each set of argument types: so tests test machine code.
"""

import ctypes
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from crosswire.nic.unit.build import compiler_of_this_process
from crosswire.nic.unit.compile import NO_JIT, Compiled, plain_function
from crosswire.nic.unit.kinds import Kind, from_words, kind_named, kind_of, to_words, word_count
from crosswire.nic.unit.load import call_with_memory
from crosswire.nic.unit.unit import Entry, Unit, load_units

F = TypeVar("F", bound=Callable[..., Any])
SYMBOL = "call"


def call_unit(function: Any, kinds: tuple[Kind, ...]) -> Unit:
    """The unit of one function for one set of argument types."""
    plain = plain_function(function)
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"{plain.__module__.rpartition('.')[2]}_{plain.__qualname__}")
    return Unit(f"call-{name[-64:]}", (Entry(SYMBOL, function, kinds, in_memory=True),))


class Call:
    """One function for one set of argument types: its machine code, and the kind of what it returns."""

    def __init__(self, function: Any, kinds: tuple[Kind, ...]) -> None:
        (loaded,) = load_units([call_unit(function, kinds)])
        self.address = loaded.addresses[SYMBOL]
        self.returns = kind_named(loaded.returns[SYMBOL], kinds)
        self.words = max(sum(map(word_count, kinds)), word_count(self.returns))

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        words: list[int] = []
        for each in arguments:
            to_words(each, words)
        room = (ctypes.c_int64 * self.words)(*words)
        call_with_memory(self.address, room)
        return from_words(self.returns, iter(room))


_calls: dict[tuple[Any, ...], Call] = {}


def call_compiled(function: Compiled, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Call the machine code of `function` for these arguments. What it raises, and TypeError as Python would."""
    if keywords or len(arguments) != len(function.signature.parameters):
        bound = function.signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        arguments = bound.args
    kinds = tuple(map(kind_of, arguments))
    key = (function, kinds)
    call = _calls.get(key)
    if call is None:
        call = _calls[key] = Call(function, kinds)
    return call(arguments)


def bind(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Return `function` as machine code with its first arguments settled: whole numbers may follow.

    What a call by `machine_code` finds out each time, how arguments are passed, is found out once: 1 us, not 6.
    """
    if NO_JIT:
        return partial(plain_function(function), *arguments)
    plain = plain_function(function)
    more = len(inspect.signature(plain).parameters) - len(arguments)
    kinds = (*map(kind_of, arguments), *(kind_of(0) for _ in range(more)))
    made = _calls.get((plain, kinds))
    if made is None:
        wrapped = function if isinstance(function, Compiled) else Compiled(function, is_inlined=False)
        made = _calls[plain, kinds] = Call(wrapped, kinds)
    words: list[int] = []
    for each in arguments:
        to_words(each, words)
    settled: list[Any] = words  # as a slice of ctypes' wants them
    room, address, returns = (ctypes.c_int64 * made.words)(), made.address, made.returns
    count = len(settled)
    kept = arguments  # the memory that the words point to

    def call(*numbers: int) -> Any:
        given: list[Any] = list(numbers)
        room[:count] = settled
        room[count : count + more] = given
        call_with_memory(address, room)
        return from_words(returns, iter(room)) if kept else None

    return call


def compile_calls() -> None:
    """Compile every function that compiled code may call when Python calls it, from here on."""
    if not NO_JIT:
        compiler_of_this_process()  # once, not in each of the many processes that are forked
        Compiled.call_from_python = staticmethod(call_compiled)


def interpreted(function: F) -> F:
    """Return `function` as Python runs it, and all that it calls, whatever `compile_calls` has said."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        call_from_python, Compiled.call_from_python = Compiled.call_from_python, None
        try:
            return plain_function(function)(*arguments, **keywords)
        finally:
            Compiled.call_from_python = call_from_python

    return cast("F", call)


def machine_code(function: F) -> F:
    """Return `function` as machine code, made or loaded at its first call; itself when compilation is off."""
    if NO_JIT:
        return function
    wrapped = function if isinstance(function, Compiled) else Compiled(function)

    def call(*arguments: Any, **keywords: Any) -> Any:
        return call_compiled(wrapped, arguments, keywords)

    return cast("F", call)
