"""How a plain Python function becomes machine code.

Every function of the hot line is written once, as plain Python over `Struct`s. `compiled` and `generic` mark it for
both worlds: compiled into a unit (`nic/unit/unit.py`), where calls are bound by class and inlined by LLVM, and the
interpreter, where the very same source runs step by step in a debugger. Called from Python a function is interpreted:
machine code is entered through units only, so a process that finds its units on disk never imports numba.

`CROSSWIRE_NO_JIT=1` runs units uncompiled, too.
"""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar, cast
from typing import Generic as GenericOver

NO_JIT = os.environ.get("CROSSWIRE_NO_JIT", "") not in ("", "0")

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


class Compiled:
    """A function that compiled code may call. From Python it runs interpreted, or as `call_from_python` says."""

    call_from_python: Callable[["Compiled", tuple[Any, ...], dict[str, Any]], Any] | None = None

    def __init__(self, plain: Callable[..., Any], is_inlined: bool = False, is_outlined: bool = False) -> None:
        functools.update_wrapper(self, plain)
        self.plain = plain
        self.is_inlined = is_inlined
        self.is_outlined = is_outlined
        self.signature = inspect.signature(plain)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        call = Compiled.call_from_python
        return self.plain(*arguments, **keywords) if call is None else call(self, arguments, keywords)

    def __repr__(self) -> str:
        return f"<compiled {self.plain.__module__}.{self.plain.__qualname__}>"


def _marked(function: F) -> F:
    """Let a function that is interpreted still tell that compiled code may call it."""
    function.is_compiled = True  # type: ignore[attr-defined]
    return function


def compiled(function: F) -> F:
    """Mark `function` for compiled code to call."""
    return _marked(function) if NO_JIT else cast("F", Compiled(function))


def inlined(function: F) -> F:
    """Mark as `compiled` does, and inline into every caller, where LLVM's own judgement was measured to cost."""
    return _marked(function) if NO_JIT else cast("F", Compiled(function, is_inlined=True))


def outlined(function: F) -> F:
    """Mark as `compiled` does, for what rarely happens: never inlined, laid out and called at no cost to the caller.

    The function saves all registers that it uses, so that whoever may call it keeps its values where they are.
    """
    return _marked(function) if NO_JIT else cast("F", Compiled(function, is_outlined=True))


def plain_function(function: F) -> F:
    """The function that runs when `function` is interpreted, whatever `call_from_python` says."""
    return cast("F", getattr(function, "plain", function))


# By class: every function that implements some generic for it. A unit made from the class is made from these, too.
implemented_for: dict[type, list[Callable[..., Any]]] = {}


class Generic(GenericOver[P, R]):
    """A function implemented once per `Struct` class, chosen by the class of its first argument.

    Compiled code binds the choice at compile time (no function pointer is called on the hot line); plain Python looks
    the class up along its method resolution order.
    """

    def __init__(self, stub: Callable[P, R], is_inlined: bool) -> None:
        functools.update_wrapper(self, stub)
        self.is_inlined = is_inlined
        self.implementations: dict[type, Callable[..., R]] = {}

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> R:
        return self.implementation_for(type(arguments[0]))(*arguments, **keywords)

    def implementation_for(self, cls: type) -> Callable[..., R]:
        """The implementation of the nearest base of `cls`; TypeError if there is none."""
        for base in cls.__mro__:
            if base in self.implementations:
                return self.implementations[base]
        name = self.__name__  # type: ignore[attr-defined]
        raise TypeError(f"{name}() has no implementation for {cls.__module__}.{cls.__qualname__}")

    def is_registered(self, cls: type) -> bool:
        """Whether there is an implementation for `cls` or a base of it."""
        return any(base in self.implementations for base in cls.__mro__)

    def register(self, cls: type) -> Callable[[F], F]:
        """Decorator: implement this function for `cls` and its subclasses."""

        def add(function: F) -> F:
            if cls in self.implementations:
                raise TypeError(f"{self.__name__}() is already implemented for {cls.__qualname__}")  # type: ignore[attr-defined]
            self.implementations[cls] = function
            # What stands beside the generic itself comes with it, to all that call it and to nobody else.
            if function.__module__ != self.__module__:
                implemented_for.setdefault(cls, []).append(function)
            return function

        return add


def generic(stub: Callable[P, R]) -> Generic[P, R]:
    """Declare a function whose implementations are registered per `Struct` class; `stub` gives name and contract."""
    return Generic(stub, is_inlined=False)


def inlined_generic(stub: Callable[P, R]) -> Generic[P, R]:
    """Declare as `generic` does, and inline every implementation into every caller."""
    return Generic(stub, is_inlined=True)


Word = Literal["i64", "f64", "none"]


@dataclass(frozen=True)
class Lowering:
    """The compiled body of a function that compiled Python can't express: a generator of LLVM's code."""

    function: Callable[..., Any]
    arguments: tuple[Word, ...] | None  # None: any number of i64
    returns: Word
    generate: Callable[..., Any]


lowerings: list[Lowering] = []
on_lowering: list[Callable[[Lowering], None]] = []  # the compiler's, once it is there


def lowers(
    function: Callable[..., Any], *arguments: Word, returns: Word, is_variadic: bool = False
) -> Callable[[F], F]:
    """Decorator: a code generator `(context, builder, *values) -> value` is the compiled body of `function`.

    The plain-Python body stays what the interpreter runs. Arguments are cast to the words named first.
    """

    def register(generate: F) -> F:
        lowering = Lowering(function, None if is_variadic else arguments, returns, generate)
        lowerings.append(lowering)
        for take in on_lowering:
            take(lowering)
        return generate

    return register
