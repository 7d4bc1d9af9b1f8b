"""One optimisation for the whole loop instead of one for every function of it.

numba compiles each function into a library of its own that links all that it calls, runs LLVM's full pipeline over
that and emits machine code, and the caller's library does all of it again. A loop of 300 small functions, eight deep,
had taken 87 s of processor time and was not done; with this it takes 46 s, and 35 s with one compilation a type
(`nic.unit.compile`). Only the outermost function is ever called from Python, so here the inner ones stay linked,
unoptimised IR, and the pipeline runs once, over everything, with everything to inline.

An inner function that Python calls later is compiled again, on its own. The hooks are numba's own internals, so its
release is bounded in pyproject.toml, and tests/nic/unit/test_compile.py shows that they hold.
"""

from typing import Any

from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.lowering import BaseLower

_optimise = JITCodeLibrary._optimize_final_module
_make_ready = JITCodeLibrary._finalize_final_module
_set_environment = JITCPUCodegen.set_env
_save = FunctionCache.save_overload
_wrap = BaseLower.create_cpython_wrapper


class Compilations(event.Listener):  # type: ignore[misc]
    """Follows numba's nested compilations, to know which one is the outermost."""

    def __init__(self) -> None:
        self.depth = 0
        self.inner: list[Any] = []  # dispatchers whose machine code was not emitted
        self.environments: list[tuple[Any, str, Any]] = []  # of functions in code that was not emitted yet

    def on_start(self, event: Any) -> None:
        """A compilation begins, perhaps within another."""
        self.depth += 1
        if self.depth > 1:
            self.inner.append(event.data["dispatcher"])

    def on_end(self, event: Any) -> None:
        """A compilation ended, or failed; after the outermost nothing is left half done."""
        self.depth -= 1
        if self.depth > 0:
            return
        for codegen, name, environment in self.environments:
            if codegen._engine.get_global_value_address(name):
                _set_environment(codegen, name, environment)
        for dispatcher in self.inner:
            dispatcher._reset_overloads()
        self.environments.clear()
        self.inner.clear()


_compilations = Compilations()


def _optimise_outermost(library: Any) -> None:
    """The full pipeline, for the library that is going to be called."""
    if _compilations.depth <= 1:
        _optimise(library)


def _emit_outermost(library: Any) -> None:
    """Machine code, for the library that is going to be called; others are only ever linked."""
    if _compilations.depth <= 1:
        _make_ready(library)
    else:
        library._finalize_dynamic_globals()
        library._finalized = True


def _set_environment_when_emitted(codegen: Any, name: str, environment: Any) -> None:
    """A function's environment is stored in its machine code, which may be yet to come."""
    if _compilations.depth <= 1:
        _set_environment(codegen, name, environment)
    else:
        _compilations.environments.append((codegen, name, environment))


def _wrap_outermost(lowering: Any, release_gil: bool = False) -> None:
    """Only what Python calls needs to be callable from Python."""
    if _compilations.depth <= 1:
        _wrap(lowering, release_gil)


def _save_outermost(cache: Any, signature: Any, result: Any) -> None:
    """Code that was not emitted can't be kept on disk."""
    if _compilations.depth == 0:
        _save(cache, signature, result)


def install() -> None:
    """Let every outermost compilation of this process optimise once."""
    event.register("numba:compile", _compilations)
    JITCodeLibrary._optimize_final_module = _optimise_outermost
    JITCodeLibrary._finalize_final_module = _emit_outermost
    JITCPUCodegen.set_env = _set_environment_when_emitted
    FunctionCache.save_overload = _save_outermost
    BaseLower.create_cpython_wrapper = _wrap_outermost
