"""The compiler behind units: numba's front end, one LLVM module and one run of its passes a unit.

numba compiles each function into a library of its own that links all that it calls, optimises that and emits machine
code, and the caller's library does all of it again: a loop of 300 small functions, eight deep, took over 87 s of
processor time. Here functions stay modules of plain IR; a unit links each of its functions once, hides all but its
entries, and the passes run once, over everything, with everything to inline.

A function that fails returns a number instead of a Python exception: the exception, its message and its line are in the
unit's list of faults under that number. So machine code needs nothing of Python's or numba's to run.

This is numba's own inside, so its release is bounded in pyproject.toml. Only a process that compiles imports this
module (`nic/unit/build.py`), and such a process never calls numba for anything else.
"""

import ctypes
import hashlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numba.core.config
from llvmlite import ir
from numba import _dynfunc
from numba.core import callconv, cgutils, compiler, cpu, errors, lowering, types, typing
from numba.core import ir as numba_ir
from numba.core.bytecode import _FIXED_OFFSET
from numba.core.codegen import CPUCodeLibrary, JITCPUCodegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import lower_constant
from numba.core.registry import cpu_target
from numba.core.typed_passes import BaseNativeLowering
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin, models, register_model, typeof_impl

from crosswire.nic.memory import struct_numba
from crosswire.nic.unit import branches
from crosswire.nic.unit.compile import Compiled, Generic, Lowering, lowerings, on_lowering, plain_function
from crosswire.nic.unit.entries import I32, write_entry, write_memory_entry
from crosswire.nic.unit.kinds import Class, Elements, Group, Kind, kind_name
from crosswire.nic.unit.source import shown_path

SHARE_WEIGHT = 100  # of a thousandth: LLVM gets weights from 1, which stands for never, to 100,001
FIRST_FAULT = 16  # smaller statuses are numba's own
FAULT_MASK = (1 << 31) - 1
NOWHERE = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
WORDS: dict[str, Any] = {"i64": types.int64, "f64": types.float64, "none": types.none, "bool": types.boolean}


class UnitCallConv(callconv.MinimalCallConv):  # type: ignore[misc]
    """Functions return a status and their value, in registers; a raised exception's status is a number.

    numba's own conventions return the value through a pointer. LLVM's level 1 leaves such a place in memory, with a
    store of zero at the beginning of whatever the call is inlined into: 5 to 10 of 100 instructions of the hot line.
    """

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.faults: dict[int, str] = {}
        self.here: Any = None  # the line that is being lowered
        self.end: tuple[Any, ...] = (None,)  # the last block of the function being lowered, status and value there
        self.outlined: set[str] = set()  # names of functions that are called as `outlined` says

    def get_function_type(self, restype: Any, argtypes: Any) -> Any:
        """Return the type of a function in LLVM's code."""
        result = ir.LiteralStructType((I32, self.get_return_type(restype).pointee))
        return ir.FunctionType(result, list(self._get_arg_packer(argtypes).argument_types))

    def get_arguments(self, func: Any) -> Any:
        """Return the arguments of a function: all that it has."""
        return func.args

    def decorate_function(self, function: Any, names: Any, argument_types: Any, noalias: bool = False) -> None:
        """Name the arguments; say how a function that is outlined is called."""
        assert not noalias
        packer = self._get_arg_packer(argument_types)
        packer.assign_names(self.get_arguments(function), ["arg." + name for name in names])
        if function.name in self.outlined:
            function.calling_convention = "preserve_mostcc"
            function.attributes.add("noinline")
            function.attributes.add("cold")

    def call_function(
        self, builder: Any, callee: Any, returns: Any, argument_types: Any, arguments: Any, attrs: Any = None
    ) -> Any:
        """Call a function of this convention; numba's own callers may name attributes, which change nothing here."""
        words = self._get_arg_packer(argument_types).as_arguments(builder, arguments)
        pair = builder.call(callee, list(words))
        status = self._get_return_status(builder, builder.extract_value(pair, 0))
        if not isinstance(returns, types.Optional):
            is_ok = builder.icmp_signed("==", status.code, callconv.RETCODE_OK)
            status = status._replace(is_ok=is_ok, is_error=builder.not_(is_ok))
        value = self.context.get_returned_value(builder, returns, builder.extract_value(pair, 1))
        return status, value

    def return_value(self, builder: Any, retval: Any) -> None:
        """Return a value: all went well."""
        self._leave(builder, callconv.RETCODE_OK, retval)

    def _return_errcode_raw(self, builder: Any, code: Any) -> None:
        """Return a status without a value."""
        kind = builder.function.function_type.return_type.elements[1]
        self._leave(builder, I32(code) if isinstance(code, int) else code, ir.Constant(kind, ir.Undefined))

    def _leave(self, builder: Any, status: Any, value: Any) -> None:
        """Go to the function's only return, with a status and a value.

        With a return in each place LLVM joins the pairs before it inlines, and no longer knows each one's status.
        """
        function, (end, *parts) = builder.function, self.end
        if end is None or end.function is not function:
            end = function.append_basic_block("end")
            last = ir.IRBuilder(end)
            pair = ir.Constant(function.function_type.return_type, ir.Undefined)
            parts = [last.phi(kind) for kind in pair.type.elements]
            for place, part in enumerate(parts):
                pair = last.insert_value(pair, part, place)
            last.ret(pair)
            self.end = (end, *parts)
        for part, each in zip(parts, (status, value), strict=True):
            part.add_incoming(each, builder.block)
        builder.branch(end)

    def return_user_exc(
        self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None, func_name: str | None = None
    ) -> None:
        """Return the number of this exception raised here."""
        text = fault_text(exc, exc_args, loc or self.here, func_name)
        code = fault_code(text)
        known = self.faults.setdefault(code, text)
        if known != text:
            raise errors.LoweringError(f"two faults have the number {code}: {known!r} and {text!r}")
        self._return_errcode_raw(builder, I32(code))


def fault_text(exception: Any, arguments: Any, place: Any, function_name: str | None) -> str:
    """ "ZeroDivisionError: division by zero (strategies/mine.py:12)", the same wherever the file lies."""
    name = getattr(exception, "__name__", "Exception")
    message = "; ".join(str(each) for each in arguments or ())
    where = f"{shown_path(place.filename)}:{place.line}" if place is not None else function_name or "?"
    return f"{name}: {message} ({where})" if message else f"{name} ({where})"


def fault_code(text: str) -> int:
    """Number a fault the same in every unit: a status says what happened whichever unit passes it on."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return max(FIRST_FAULT, digest & FAULT_MASK)


class UnitLibrary(CPUCodeLibrary):  # type: ignore[misc]
    """One function's IR, and the libraries that it calls; nothing is optimised or emitted here."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.modules: list[Any] = []
        self.called: dict[int, UnitLibrary] = {}

    def add_ir_module(self, ir_module: Any) -> None:
        """Keep a module for the unit."""
        self._raise_if_finalized()
        module = llvm.parse_assembly(cgutils.normalize_ir_text(str(ir_module)))
        module.name = ir_module.name
        self.modules.append(module)

    def add_linking_library(self, library: Any) -> None:
        """Note what is called."""
        self.called[id(library)] = library

    def finalize(self) -> None:
        """Do nothing before the whole unit is known."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Refuse: no function has an address yet."""
        raise errors.LoweringError(f"{name} has no address while its unit is being compiled")


class UnitCodegen(JITCPUCodegen):  # type: ignore[misc]
    """Makes `UnitLibrary`s, and the target machine that a unit is emitted for."""

    _library_class = UnitLibrary

    def _init(self, llvm_module: Any) -> None:
        """Set up as numba does, without an engine: nothing runs in this process."""
        target = llvm.Target.from_triple(llvm.get_process_triple())
        options: dict[str, Any] = {"opt": int(numba.core.config.OPT)}
        self._tm_features = self._customize_tm_features()
        self._customize_tm_options(options)
        self._tm = target.create_target_machine(**options)
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)

    @property
    def target_data(self) -> Any:
        """Sizes and alignments of the machine."""
        return self._target_data


class UnitContext(cpu.CPUContext):  # type: ignore[misc]
    """numba's processor target with the conventions above."""

    def init(self) -> None:
        """Called once by the base class."""
        self.is32bit = False
        self._internal_codegen = UnitCodegen("crosswire.unit")
        self._call_conv = UnitCallConv(self)

    @property
    def call_conv(self) -> UnitCallConv:
        """How functions are called, and the faults found so far."""
        return self._call_conv  # type: ignore[no-any-return]

    def create_cpython_wrapper(self, *_arguments: Any, **_keywords: Any) -> None:
        """Make none: nothing is called from Python."""

    def create_cfunc_wrapper(self, *_arguments: Any, **_keywords: Any) -> None:
        """Make none: nothing is called from C; a unit's entries are written by `write_entry`."""

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """Return what stands for a function that numba itself wrote in Python, such as `bool`; it is never called."""
        name = fndesc.qualname.rpartition(".")[2]
        return _dynfunc.make_function(fndesc.lookup_module(), name, name, NOWHERE, env, (library,))

    def post_lowering(self, module: Any, library: Any) -> None:
        """Link nothing of numba's: there is no reference counted."""

    def load_additional_registries(self) -> None:
        """Load only what code over `Struct`s uses: a third of a second less than all of numba's."""
        from numba.core import inline_closurecall, optional  # noqa: F401
        from numba.cpython import builtins, enumimpl, iterators, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401
        from numba.misc import literal  # noqa: F401
        from numba.np import arrayobj  # noqa: F401  constants of tuples, len

        self.install_registry(mathimpl.registry)


class UnitTypingContext(typing.Context):  # type: ignore[misc]
    """numba's types of functions, as far as code over `Struct`s needs them."""

    def load_additional_registries(self) -> None:
        """Load enumerations and mathematics."""
        from numba.core.typing import enumdecl, mathdecl

        self.install_registry(enumdecl.registry)
        self.install_registry(mathdecl.registry)


def ways_of(branch: Any) -> branches.Ways:
    """Where the two ways from a branch begin in the bytecode."""
    return frozenset(label - _FIXED_OFFSET for label in (branch.truebr, branch.falsebr))


class UnitLower(lowering.Lower):  # type: ignore[misc]
    """numba's lowering, which says more: to the calling convention where it is, to LLVM which way branches usually go.

    Integer division does not say its line.
    """

    def setup_function(self, description: Any) -> None:
        """Begin a function; one that is outlined is known as such before it is declared anywhere."""
        if self.func_ir.func_id.func in _outlined:
            self.call_conv.outlined.add(description.llvm_func_name)
        self.shares = branches.shares_of(self.func_ir.func_id.func)
        super().setup_function(description)

    def lower_inst(self, inst: Any) -> None:
        """Lower an instruction; of a branch, say how often it goes either way, where that was counted."""
        super().lower_inst(inst)
        if isinstance(inst, numba_ir.Branch):
            share = self.shares.get(ways_of(inst))
            if share is not None:
                weights = [SHARE_WEIGHT * each + 1 for each in (share, branches.WHOLE - share)]
                self.builder.block.terminator.set_weights(weights)

    def notify_loc(self, location: Any) -> None:
        """Note that a new line begins."""
        super().notify_loc(location)
        self.context.call_conv.here = location


@register_pass(mutates_CFG=True, analysis_only=False)
class UnitLowering(BaseNativeLowering):  # type: ignore[misc]
    """numba's pass of that name, with our lowering."""

    _name = "crosswire_unit_lowering"

    @property
    def lowering_class(self) -> type:
        """The class that does the work."""
        return UnitLower


class UnitCompiler(compiler.CompilerBase):  # type: ignore[misc]
    """numba's passes that code over `Struct`s needs, in numba's order."""

    def define_pipelines(self) -> list[Any]:
        """Define one pipeline: there is no other way to run."""
        from numba.core.typed_passes import (
            AnnotateTypes,
            IRLegalization,
            NoPythonBackend,
            NopythonRewrites,
            NopythonTypeInference,
            PreLowerStripPhis,
        )
        from numba.core.untyped_passes import (
            DeadBranchPrune,
            FixupArgs,
            GenericRewrites,
            IRProcessing,
            LiteralUnroll,
            ReconstructSSA,
            RewriteSemanticConstants,
            TranslateByteCode,
        )

        manager = compiler.PassManager("unit")
        for each in (
            TranslateByteCode,
            FixupArgs,
            IRProcessing,
            RewriteSemanticConstants,
            DeadBranchPrune,
            GenericRewrites,
            LiteralUnroll,
            ReconstructSSA,
            NopythonTypeInference,
            PreLowerStripPhis,
            NopythonRewrites,
            IRLegalization,
            AnnotateTypes,
            UnitLowering,
            NoPythonBackend,
        ):
            manager.add_pass(each, each.__name__)
        manager.finalize()
        return [manager]


class CallableType(types.Callable):  # type: ignore[misc]
    """A `Compiled` or a `Generic` where compiled code calls it: compiled once for each set of argument types."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.made: dict[tuple[Any, ...], Any] = {}
        super().__init__(f"callable({function.__module__}.{function.__qualname__},{id(function)})")

    @property
    def key(self) -> Any:
        return id(self.function)

    def choose(self, arguments: Sequence[Any]) -> tuple[Callable[..., Any], bool]:
        """Choose the plain function for these argument types; also tell whether it is inlined into its callers."""
        function = self.function
        if isinstance(function, Generic):
            cls = getattr(arguments[0], "cls", None)
            if cls is None:
                raise errors.TypingError(f"{function.__name__}() needs a struct, not {arguments[0]}")  # type: ignore[attr-defined]
            try:
                found = function.implementation_for(cls)
            except TypeError as error:
                raise errors.TypingError(str(error)) from None
            is_inlined = function.is_inlined
            if isinstance(found, Compiled):
                note_outlined(found)
                return found.plain, is_inlined or found.is_inlined
            return found, is_inlined
        note_outlined(function)
        return function.plain, function.is_inlined

    def get_call_type(self, _context: Any, arguments: Any, keywords: Any) -> Any:
        """Return the signature for these argument types; compiles what is needed for it."""
        plain, is_inlined = self.choose(arguments)
        signature = inspect.signature(plain)
        folded = tuple(map(widest, fold(signature, arguments, dict(keywords))))
        result = compile_function(plain, folded, is_inlined)
        self.made[folded] = result.fndesc
        return typing.signature(result.signature.return_type, *folded).replace(pysig=signature)

    def get_call_signatures(self) -> tuple[list[Any], bool]:
        """Accept any signature."""
        return [], True

    def get_impl_key(self, signature: Any) -> Any:
        """Return the key under which `compile_function` has put the code into the target context."""
        return self.made[signature.args]


register_model(CallableType)(models.OpaqueModel)


@lower_constant(CallableType)
def _function_as_value(context: Any, _builder: Any, _type: Any, _value: Any) -> Any:
    """Represent a function by nothing: calls are bound by type."""
    return context.get_dummy_value()


_types: dict[int, CallableType] = {}


@typeof_impl.register(Compiled)
@typeof_impl.register(Generic)
def typeof_callable(function: Any, _context: Any) -> CallableType:
    """Give each function a type of its own."""
    return _types.setdefault(id(function), CallableType(function))


def widest(argument: Any) -> Any:
    """Return the type without the value: int64 for a literal integer and any member of an IntEnum; a bool stays one.

    numba would compile a function anew for every constant that it is called with, which more than doubled the time;
    LLVM propagates the constants when it inlines.
    """
    plain = types.unliteral(argument)
    if isinstance(plain, types.IntEnumMember):
        return types.int64
    if isinstance(plain, types.Integer):
        return types.int64
    return plain


def fold(signature: inspect.Signature, arguments: Any, keywords: dict[str, Any]) -> tuple[Any, ...]:
    """Order argument types by position; a default counts as a value of its type."""

    def of_default(_index: int, _parameter: Any, default: Any) -> Any:
        return cpu_target.typing_context.resolve_value_type(default)

    def given(_index: int, _parameter: Any, value: Any) -> Any:
        return value

    def of_rest(_index: int, _parameter: Any, values: Any) -> Any:
        return types.StarArgTuple(values)

    folded = typing.fold_arguments(signature, arguments, keywords, given, of_default, of_rest)
    return tuple(folded)


_outlined: set[Callable[..., Any]] = set()


def note_outlined(function: Compiled) -> None:
    """Remember, before it is compiled, that a function is outlined."""
    if function.is_outlined:
        _outlined.add(function.plain)


_compiled: dict[tuple[Any, ...], Any] = {}
_under_way: list[Callable[..., Any]] = []


def compile_function(plain: Callable[..., Any], arguments: tuple[Any, ...], is_inlined: bool) -> Any:
    """Compile a function for argument types, once; numba's result."""
    key = (plain, arguments)
    if key in _compiled:
        return _compiled[key]
    if plain in _under_way:
        raise errors.TypingError(f"{plain.__qualname__} calls itself, which compiled code can't")
    flags = compiler.Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.error_model = "python"
    flags.forceinline = is_inlined
    _under_way.append(plain)
    try:
        with global_compiler_lock:
            target = cpu_target.target_context
            result = compiler.compile_extra(
                cpu_target.typing_context, target, plain, arguments, None, flags, {}, pipeline_class=UnitCompiler
            )
    finally:
        _under_way.pop()
    target.insert_user_function(result.fndesc, result.fndesc, [result.library])
    _compiled[key] = result
    return result


def install(llvm_level: int, processor: str) -> None:
    """Make this process a compiler of units for `processor` ("host", or a name of LLVM's such as x86-64-v3)."""
    numba.core.config.OPT = numba.core.config._OptLevel(str(llvm_level))
    if processor != "host":
        numba.core.config.CPU_NAME, numba.core.config.CPU_FEATURES = processor, ""
    typing_context = UnitTypingContext()
    vars(cpu_target)["_toplevel_typing_context"] = typing_context
    vars(cpu_target)["_toplevel_target_context"] = UnitContext(typing_context, "cpu")
    # Most loops turn once or twice: over venues, strategies, events, links. Those whose turns are known are unrolled.
    llvm.set_option("crosswire", "-unroll-runtime=false")
    # For the same reason nothing is hoisted out of them: on the way to a frame that has none of what a loop is for, it
    # would be computed and kept for nothing.
    llvm.set_option("crosswire", "-opt-disable=licm")
    for lowering_ in lowerings:
        register_lowering(lowering_)
    on_lowering.append(register_lowering)
    cpu_target.target_context.refresh()


def register_lowering(lowering_: Lowering) -> None:
    """Tell numba of a function whose code is generated."""
    wanted = None if lowering_.arguments is None else [WORDS[word] for word in lowering_.arguments]
    returns = WORDS[lowering_.returns]
    pysig = None if wanted is None else inspect.signature(lowering_.function)

    @infer_global(lowering_.function)
    class Typed(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, _keywords: Any) -> Any:
            if wanted is not None and len(arguments) != len(wanted):
                return None
            return typing.signature(returns, *(wanted or [types.int64] * len(arguments))).replace(pysig=pysig)

    shape = (types.VarArg(types.Any),) if wanted is None else (types.Any,) * len(wanted)

    @lower_builtin(lowering_.function, *shape)
    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to = [types.int64] * len(values) if wanted is None else wanted
        cast = [
            context.cast(builder, value, given, each)
            for value, given, each in zip(values, signature.args, to, strict=True)
        ]
        result = lowering_.generate(context, builder, *cast)
        return context.get_dummy_value() if returns is types.none else result


def numba_type(kind: Kind) -> Any:
    """The type of a kind in compiled code."""
    if isinstance(kind, str):
        return WORDS[kind]
    if isinstance(kind, Elements):
        return struct_numba.ArrayType(kind.element, kind.byte_order)
    if isinstance(kind, Class):
        return struct_numba.StructClassType(kind.cls)
    if isinstance(kind, Group):
        parts = [numba_type(part) for part in kind.parts]
        if kind.cls is not tuple:
            return types.BaseTuple.from_types(parts, kind.cls)
        return types.BaseTuple.from_types(parts)
    return struct_numba.StructType(kind)


def kind_of_type(numba_type_: Any) -> Kind:
    """The kind of a type in compiled code; LoweringError if no value of it can leave compiled code."""
    if isinstance(numba_type_, types.Boolean):
        return "bool"
    if isinstance(numba_type_, types.Integer | types.IntEnumMember):
        return "i64"
    if isinstance(numba_type_, types.Float):
        return "f64"
    if isinstance(numba_type_, types.NoneType):
        return "none"
    if isinstance(numba_type_, struct_numba.StructType):
        return numba_type_.cls
    if isinstance(numba_type_, struct_numba.ArrayType):
        return Elements(numba_type_.element, numba_type_.byte_order)
    if isinstance(numba_type_, types.BaseTuple):
        return Group(getattr(numba_type_, "instance_class", tuple), tuple(map(kind_of_type, numba_type_.types)))
    raise errors.LoweringError(f"{numba_type_} can't be returned to Python")


@dataclass(frozen=True)
class Made:
    """A unit's machine code."""

    object_code: bytes
    returns: dict[str, str]  # by entry: the `kind_name` of what it returns
    faults: dict[int, str]
    symbols: list[str]  # of the C library, that it calls


def compile_unit(name: str, entries: Iterable[tuple[str, Callable[..., Any], tuple[Kind, ...], bool]]) -> Made:
    """Compile functions into one object. numba's errors pass through.

    An entry: symbol, function, kinds of its arguments, whether these come by words in memory.
    """
    context = cpu_target.target_context
    context.call_conv.faults = {}
    codegen = context.codegen()
    unit = codegen.create_library(name)
    returns: dict[str, str] = {}
    for symbol, function, kinds, in_memory in entries:
        arguments = tuple(map(numba_type, kinds))
        result = compile_function(plain_function(function), arguments, is_inlined=False)
        returns[symbol] = kind_name(kind_of_type(result.signature.return_type))
        module = context.create_module(symbol)
        (write_memory_entry if in_memory else write_entry)(context, module, symbol, result, arguments)
        unit.add_ir_module(module)
        unit.add_linking_library(result.library)
    module = linked(unit)
    symbols = hide_all_but(module, set(returns))
    optimise(module, codegen)
    return Made(codegen._tm.emit_object(module), returns, dict(context.call_conv.faults), symbols)


def linked(unit: UnitLibrary) -> Any:
    """Link a unit's IR and that of everything that it calls, each once, to one module."""
    whole = llvm.parse_assembly("")
    whole.triple = llvm.get_process_triple()
    whole.data_layout = unit.codegen._data_layout
    seen: set[int] = set()
    waiting = [unit]
    while waiting:
        library = waiting.pop()
        if id(library) in seen:
            continue
        seen.add(id(library))
        for module in library.modules:
            whole.link_in(module, preserve=True)
        waiting.extend(library.called.values())
    return whole


def hide_all_but(module: Any, entries: set[str]) -> list[str]:
    """Give everything but `entries` internal linkage; the names that are left to the C library."""
    outside = []
    for function in module.functions:
        if function.is_declaration:
            if not function.name.startswith("llvm."):
                outside.append(function.name)
        elif function.name not in entries:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
        elif variable.name.startswith("_ZN08NumbaEnv"):
            variable.initializer = None
    foreign = [each for each in outside if each.startswith(("numba_", "NRT_", "Py", "_ZN"))]
    if foreign:
        raise errors.LoweringError(f"compiled code would need Python's {', '.join(foreign)}")
    return outside


def optimise(module: Any, codegen: Any) -> None:
    """Run LLVM's passes, once."""
    tuning = llvm.create_pipeline_tuning_options(speed_level=int(numba.core.config.OPT))
    tuning.loop_vectorization = False
    tuning.slp_vectorization = False
    builder = llvm.create_pass_builder(codegen._tm, tuning)
    builder.getModulePassManager().run(module, builder)
    # What level 1 leaves out and costs a tenth of it: loads and statuses that are known, stores that nobody reads.
    # 3,578 instructions of the hot line before, 3,417 after.
    more = llvm.create_new_module_pass_manager()
    more.add_jump_threading_pass()
    more.add_new_gvn_pass()
    more.add_dead_store_elimination_pass()
    more.add_instruction_combine_pass()
    more.add_jump_threading_pass()
    more.add_simplify_cfg_pass()
    more.run(module, builder)
