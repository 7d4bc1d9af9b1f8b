"""How a plain Python function becomes part of the compiled loop.

Every function of the hot line is written once, as plain Python over `Struct`s. `compiled` and `generic` register it for
both worlds: numba's, where calls are bound at compile time and inlined by LLVM, and the interpreter's
(`CROSSWIRE_NO_JIT=1`), where the very same source runs step by step in a debugger.
"""

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from typing import Generic as GenericOver

from numba import njit, types
from numba.extending import lower_builtin, overload, type_callable

NO_JIT = os.environ.get("CROSSWIRE_NO_JIT", "") not in ("", "0")

# Set by engine.cache once numba's cache folder is one that is named by all sources: before that nothing may be kept.
on_disk = threading.Event()

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")

# numpy's error model drops the zero-division branch; divisors are proven non-zero where they are loaded.
# Nothing calls the loop from C, so it needs no C wrapper.
JIT_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}


def compiled(function: F) -> F:
    """Mark `function` as part of the compiled loop; left as it is when compilation is off."""
    return _dispatcher(function, JIT_OPTIONS)


def inlined(function: F) -> F:
    """As `compiled`, and inlined into every caller, where LLVM's own judgement was measured to cost."""
    return _dispatcher(function, {**JIT_OPTIONS, "forceinline": True})


def _dispatcher(function: F, options: dict[str, Any]) -> F:
    if NO_JIT:
        return function
    dispatcher = njit(**options)(function)
    resolve = dispatcher.get_call_template

    def resolve_by_type(arguments: Any, keywords: Any) -> Any:
        return resolve(tuple(map(_widest, arguments)), {name: _widest(each) for name, each in keywords.items()})

    # numba would compile a function anew for every constant that it is called with, which more than doubled the time;
    # LLVM propagates the constants when it inlines.
    dispatcher.get_call_template = resolve_by_type
    compile_for_python = dispatcher._compile_for_args

    def compile_or_load(*arguments: Any, **keywords: Any) -> Any:
        if on_disk.is_set():
            dispatcher.enable_caching()
        return compile_for_python(*arguments, **keywords)

    # Called when Python, not compiled code, calls the function: set-up code calls a dozen, 0.2 s each to compile.
    dispatcher._compile_for_args = compile_or_load
    return dispatcher


def _widest(argument: types.Type) -> types.Type:
    """The type without the value: int64 for a literal integer or the member of an IntEnum."""
    plain = types.unliteral(argument)
    return types.int64 if isinstance(plain, types.IntEnumMember) else plain


class Generic(GenericOver[P, R]):
    """A function implemented once per `Struct` class, chosen by the class of its first argument.

    Compiled code binds the choice at compile time (no function pointer is called on the hot line); plain Python looks
    the class up along its method resolution order.
    """

    def __init__(self, stub: Callable[P, R]) -> None:
        functools.update_wrapper(self, stub)
        self.implementations: dict[type, Callable[..., R]] = {}

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> R:
        return self.implementation_for(type(arguments[0]))(*arguments, **keywords)

    def implementation_for(self, cls: type) -> Callable[..., R]:
        for base in cls.__mro__:
            if base in self.implementations:
                return self.implementations[base]
        name = self.__name__  # type: ignore[attr-defined]
        raise TypeError(f"{name}() has no implementation for {cls.__module__}.{cls.__qualname__}")

    def register(self, cls: type) -> Callable[[F], F]:
        """Decorator: implement this function for `cls` and its subclasses."""

        def add(function: F) -> F:
            if cls in self.implementations:
                raise TypeError(f"{self.__name__}() is already implemented for {cls.__qualname__}")  # type: ignore[attr-defined]
            self.implementations[cls] = function
            return function

        return add


def generic(stub: Callable[P, R]) -> Generic[P, R]:
    """Declare a function whose implementations are registered per `Struct` class; `stub` gives name and contract."""
    return _declare(stub, JIT_OPTIONS)


def inlined_generic(stub: Callable[P, R]) -> Generic[P, R]:
    """As `generic`, and every implementation inlined into every caller."""
    return _declare(stub, {**JIT_OPTIONS, "forceinline": True})


def _declare(stub: Callable[P, R], options: dict[str, Any]) -> Generic[P, R]:
    function = Generic(stub)

    def choose(*arguments: Any) -> Callable[..., Any] | None:
        cls = getattr(arguments[0], "cls", None)
        return None if cls is None else function.implementation_for(cls)

    # overload() reads the signature's owner by name; strict=False because implementations name their own arguments.
    choose.__name__ = stub.__name__
    overload(function, strict=False, jit_options=dict(options))(choose)
    return function


def lowers(function: Callable[..., Any], *argument_types: types.Type, returns: types.Type) -> Callable[[F], F]:
    """Decorator: a code generator `(context, builder, *values) -> value` is the compiled body of `function`.

    The plain-Python body stays what the interpreter runs. Arguments are cast to `argument_types` first.
    """

    def register(generate: F) -> F:
        @type_callable(function)
        def typer(_context: Any) -> Any:
            def typed(*arguments: Any) -> types.Type | None:
                return returns if len(arguments) == len(argument_types) else None

            # numba folds call arguments by this signature, and can't fold into *arguments.
            typed.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
            return typed

        @lower_builtin(function, *([types.Any] * len(argument_types)))
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            cast = [
                context.cast(builder, value, given, wanted)
                for value, given, wanted in zip(values, signature.args, argument_types, strict=True)
            ]
            result = generate(context, builder, *cast)
            return context.get_dummy_value() if returns is types.none else result

        return generate

    return register
