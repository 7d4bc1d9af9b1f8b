"""Reads a function's statements, way by way."""

import ast
from collections.abc import Iterator
from typing import Any

from crosswire.engine.checking.calls import Calls
from crosswire.engine.checking.expressions import assigned_where, joined_all
from crosswire.engine.checking.kinds import (
    DESK_WRITTEN,
    FLOAT,
    MIXED,
    NONE,
    UNKNOWN,
    ElementsOf,
    Kind,
    Number,
    Owner,
    StructOf,
    TupleOf,
    Value,
    kind_of_element,
    loosened,
    sort_of,
)
from crosswire.engine.checking.reader import Scope, dotted_in, number_from, written
from crosswire.nic.memory.struct import Scalar

UNMATCHED = (ast.MatchClass, ast.MatchMapping, ast.MatchSequence, ast.MatchStar)
WAITING = {ast.Try: "try", ast.TryStar: "try", ast.With: "with", ast.AsyncWith: "async", ast.AsyncFor: "async"}


class FunctionReader(Calls):
    """Reads one function for one set of kinds of its arguments."""

    returns: list[tuple[ast.AST, Kind]]
    leaving: list[list[Scope]]  # of each loop around: what holds where it is left or begun anew

    def run(self, arguments: tuple[Kind, ...]) -> Kind:
        """Read the whole function; tell what it returns."""
        self.returns, self.leaving = [], []
        every = self.node.args
        self.refuse_open_arguments()
        names = [each.arg for each in (*every.posonlyargs, *every.args, *every.kwonlyargs)]
        self.scope.names |= dict(zip(names, arguments, strict=False))
        body = self.node.body
        begins_with_text = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        self.block(body[1:] if begins_with_text and isinstance(body[0].value.value, str) else body)  # type: ignore[attr-defined]
        values = [kind for _, kind in self.returns]
        if self.scope.is_reached:
            values.append(NONE)
        if NONE in values and any(kind != NONE for kind in values):
            is_reached, self.scope.is_reached = self.scope.is_reached, True
            self.report(
                self.node,
                "return",
                f"{self.node.name} returns a value on some ways and nothing on others",
                "return one on every way, as return 0",
            )
            self.scope.is_reached = is_reached
            return UNKNOWN
        kind = joined_all(tuple(values))
        if kind != MIXED:
            return kind
        self.scope.is_reached = True
        what = f"{self.node.name} returns one thing on one way and another on another"
        return self.report(self.node, "kind", what, "return values of one sort, of tuples as many parts")

    def refuse_open_arguments(self) -> None:
        """Report parameters that take any number of arguments."""
        for star, each in (("*", self.node.args.vararg), ("**", self.node.args.kwarg)):
            if each is not None:
                self.scope.names[each.arg] = UNKNOWN
                self.report(each, "python", f"{star}{each.arg} is not compiled", "name the parameters one by one")
        if self.node.args.kwonlyargs:
            what = f"{self.node.args.kwonlyargs[0].arg} behind a * is not compiled"
            self.report(self.node.args.kwonlyargs[0], "python", what, "leave the * out")

    def block(self, body: list[ast.stmt]) -> None:
        """Read statements one after another."""
        for each in body:
            self.statement(each)

    def statement(self, node: ast.stmt) -> None:
        """Read one statement."""
        match node:
            case ast.Expr():
                self.read(node.value)
            case ast.Assign():
                kind = self.read(node.value)
                for target in node.targets:
                    self.store(target, kind, node.value)
            case ast.AnnAssign() if node.value is not None:
                self.store(node.target, self.read(node.value), node.value)
            case ast.AugAssign():
                kind = self.operate(
                    node, node.op, self.read(node.target), self.read(node.value), node.target, node.value
                )
                self.store(node.target, kind, node)
            case ast.If():
                self.choose(node)
            case ast.For():
                self.loop_over(node)
            case ast.While():
                self.loop_while(node)
            case ast.Return():
                self.returns.append((node, NONE if node.value is None else self.read(node.value)))
                self.scope.is_reached = False
            case ast.Break() | ast.Continue():
                if self.leaving:
                    self.leaving[-1].append(self.scope.copy())
                self.scope.is_reached = False
            case ast.Assert():
                self.truth(node.test)
                if isinstance(node.msg, ast.JoinedStr):
                    self.report_text(node.msg)
            case ast.Match():
                self.match(node)
            case ast.Pass() | ast.AnnAssign():
                pass
            case _:
                self.refuse_statement(node)

    def refuse_statement(self, node: ast.stmt) -> None:
        """Report a statement that compiled code can't take, and read what is inside."""
        if type(node) in WAITING:
            what = f"{WAITING[type(node)]} is not compiled"
            self.report(node, "exception", what, "test before, and return early")
            self.block(getattr(node, "body", []))
        elif isinstance(node, ast.Raise):
            self.report(node, "exception", "raise ends the whole run", "count what can't be in a field, and return")
            self.scope.is_reached = False
        elif isinstance(node, ast.Global | ast.Nonlocal):
            names = ", ".join(node.names)
            self.report(
                node,
                "state",
                f"{names} lies outside the struct, and compiled code has its first value for ever",
                f"declare {node.names[0]}: i64 in {self.analysis.cls.__name__}",
            )
            for name in node.names:
                self.scope.names[name] = UNKNOWN
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.report(
                node, "python", f"{node.name} is defined inside a function", "move it to the module, with @compiled"
            )
            self.scope.names[node.name] = UNKNOWN
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.report(node, "python", "an import inside compiled code", "import at the top of the file")
            for each in node.names:
                self.scope.names[(each.asname or each.name).partition(".")[0]] = UNKNOWN
        else:
            self.report(node, "python", f"{type(node).__name__.lower()} is not compiled", "write it otherwise")

    def choose(self, node: ast.If) -> None:
        """Read both ways of a condition."""
        self.truth(node.test)
        before = self.scope.copy()
        self.scope.maybe -= assigned_where(node.test, True)
        self.block(node.body)
        other, self.scope = self.scope, before
        self.scope.maybe -= assigned_where(node.test, False)
        self.block(node.orelse)
        self.scope.take(other)

    def match(self, node: ast.Match) -> None:
        """Read the cases of a match."""
        self.truth(node.subject)
        before, after = self.scope.copy(), self.scope.copy()
        for case in node.cases:
            self.scope = before.copy()
            for each in ast.walk(case.pattern):
                if isinstance(each, ast.MatchValue):
                    self.read(each.value)
                elif isinstance(each, UNMATCHED):
                    self.report(each, "python", f"case {ast.unparse(each)} is not compiled", "compare with numbers")
                if isinstance(each, ast.MatchAs | ast.MatchStar) and each.name is not None:
                    self.scope.names[each.name] = UNKNOWN
            if case.guard is not None:
                self.truth(case.guard)
            self.block(case.body)
            after.take(self.scope)
        self.scope = after

    def loop_over(self, node: ast.For) -> None:
        """Read a loop over a range."""
        kind, is_certain = self.range_of(node.iter)
        if any(
            isinstance(each, ast.Break | ast.Continue | ast.Return) for part in node.body for each in ast.walk(part)
        ):
            kind = loosened(kind)
            is_certain = False
        self.loop(node, lambda: self.store(node.target, kind, node.iter), is_certain)

    def range_of(self, node: ast.expr) -> tuple[Kind, bool]:
        """Tell what a loop's variable is, and whether its body runs at least once."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
            kind = self.read(node)
            if isinstance(kind, ElementsOf | StructOf):
                self.report_walked(node, ast.unparse(node))
                return (kind_of_element(kind) if isinstance(kind, ElementsOf) else UNKNOWN), False
            return (joined_all(kind.parts), bool(kind.parts)) if isinstance(kind, TupleOf) else (UNKNOWN, False)
        kinds = [self.read(each) for each in node.args]
        if FLOAT in kinds:
            self.report(node, "float", f"{ast.unparse(node)} counts by a float", "give range integers")
        numbers = [number_from(each) for each in kinds]
        if not 1 <= len(numbers) <= 3:
            self.report(node, "argument", "range takes one to three numbers", "write range(count)")
            return Number(), False
        begin = Number(0, 0) if len(numbers) == 1 else numbers[0]
        end = numbers[0] if len(numbers) == 1 else numbers[1]
        if len(numbers) == 3:
            return self.stepped(node, begin, end, numbers[2]), False
        is_certain = begin.high is not None and end.low is not None and begin.high < end.low
        return Number(begin.low, None if end.high is None else end.high - 1), is_certain

    def stepped(self, node: ast.Call, begin: Number, end: Number, step: Number) -> Kind:
        """Tell what the variable of a loop with a step is."""
        if step.constant == 0:
            return self.report(node, "loop", f"{ast.unparse(node)} has a step of 0", "step by a number that is not 0")
        if step.low is not None and step.low > 0:
            return Number(begin.low, None if end.high is None else end.high - 1)
        if step.high is not None and step.high < 0:
            return Number(None if end.low is None else end.low + 1, begin.high)
        return Number()

    def loop(self, node: ast.For | ast.While, begin: Any, is_certain: bool) -> None:
        """Read a loop's body as it is at any turn, then what follows."""
        changed = set(_assigned_in(node.body))
        for name in changed & self.scope.names.keys():
            self.scope.names[name] = loosened(self.scope.names[name])
        before = self.scope.copy()
        self.leaving.append([])
        begin()
        self.block(node.body)
        left = self.leaving.pop()
        if not is_certain or not self.scope.is_reached:
            self.scope.take(before)
            self.scope.is_reached = True
        for each in left:
            self.scope.take(each)
        for name in changed & self.scope.names.keys():
            self.scope.names[name] = loosened(self.scope.names[name])
        self.block(node.orelse)

    def loop_while(self, node: ast.While) -> None:
        """Read a loop with a condition; it must be seen to end."""
        self.truth(node.test)
        tested = set(dotted_in(node.test))
        if not set(_steps_in(node.body)) & tested:
            self.report(
                node,
                "loop",
                f"while {ast.unparse(node.test)} has no bound, and a loop that does not end stops everything",
                "write for place in range(STATED_MAX): and break",
            )
        always = isinstance(node.test, ast.Constant) and bool(node.test.value)
        sure = assigned_where(node.test, True)
        self.loop(node, lambda: self.scope.maybe.difference_update(sure), False)
        if always and not any(isinstance(each, ast.Break) for part in node.body for each in ast.walk(part)):
            self.scope.is_reached = False

    def store(self, target: ast.expr, kind: Kind, value: ast.AST) -> None:
        """Read an assignment to a name, a field or a place in a table."""
        if isinstance(target, ast.Name):
            self.store_name(target, kind)
        elif isinstance(target, ast.Attribute):
            self.store_field(target, kind, value)
        elif isinstance(target, ast.Subscript):
            self.store_element(target, kind, value)
        elif isinstance(target, ast.Tuple | ast.List):
            self.store_parts(target, kind, value)

    def store_parts(self, target: ast.Tuple | ast.List, kind: Kind, value: ast.AST) -> None:
        """Read an assignment to several places at once."""
        parts = kind.parts if isinstance(kind, TupleOf) else (UNKNOWN,) * len(target.elts)
        if any(isinstance(each, ast.Starred) for each in target.elts):
            self.report(target, "python", "* is not compiled here", "give each part its own name")
            parts = (UNKNOWN,) * len(target.elts)
        elif len(parts) != len(target.elts):
            what = f"{len(parts)} parts are given to {len(target.elts)} names"
            self.report(target, "argument", what, "name each part, and no more")
            parts = (UNKNOWN,) * len(target.elts)
        for each, part in zip(target.elts, parts, strict=True):
            self.store(each.value if isinstance(each, ast.Starred) else each, part, value)

    def store_name(self, target: ast.Name, kind: Kind) -> None:
        """Give a name a value."""
        self.scope.names[target.id] = kind
        self.scope.maybe.discard(target.id)

    def store_field(self, target: ast.Attribute, kind: Kind, value: ast.AST) -> None:
        """Read an assignment to a field."""
        owner = self.read(target.value)
        text = written(target)
        if isinstance(owner, Value):
            self.report(
                target, "state", f"{text} lies outside the struct", f"declare a field in {self.analysis.cls.__name__}"
            )
            return
        if isinstance(owner, Number | ElementsOf | TupleOf):
            what = f"{written(target.value)} is {sort_of(owner)} and has no {target.attr}"
            self.report(target, "field", what, "write what it belongs to")
        if not isinstance(owner, StructOf):
            return
        field = owner.cls.fields.get(target.attr)
        if field is None:
            self.report_field(target, owner)
        elif owner.owner is Owner.SHOWN or (owner.owner is Owner.DESK and target.attr not in DESK_WRITTEN):
            self.report_shown(target, owner, text)
        elif not field.is_scalar:
            self.report(
                target,
                "assign",
                f"{text} lies in place and can't be assigned whole",
                f"write copy_struct({text}, ...), or assign its fields",
            )
        elif isinstance(field.element, Scalar):
            self.check_stored(target, text, field.element, kind, value)

    def store_element(self, target: ast.Subscript, kind: Kind, value: ast.AST) -> None:
        """Read an assignment to a place in a table."""
        self.read_subscript(target)
        owner, text = self.read(target.value), written(target)
        if isinstance(owner, TupleOf):
            what = f"{text} is a place of a tuple, which never changes"
            self.report(target, "state", what, "declare a field: Annotated[Array, i64, 64]")
        if not isinstance(owner, ElementsOf):
            return
        if owner.owner is Owner.SHOWN:
            self.report_shown(target, owner, text)
        elif not isinstance(owner.element, Scalar):
            self.report(
                target,
                "assign",
                f"{text} is a struct in place and can't be assigned whole",
                f"write copy_struct({text}, ...), or assign its fields",
            )
        else:
            self.check_stored(target, text, owner.element, kind, value)

    def check_stored(self, node: ast.AST, text: str, scalar: Scalar, kind: Kind, value: ast.AST) -> None:
        """Report a value that its place does not hold as it is."""
        if isinstance(kind, StructOf | ElementsOf | TupleOf) or kind == NONE:
            self.report(node, "kind", f"{text} is a number, and is given {sort_of(kind)}", "give it a number")
        elif kind == FLOAT and not scalar.is_float:
            self.report(
                node,
                "float",
                f"{text} is an integer, and is given a float: what is behind the point is cut off",
                "count in integers, or use int() where that is meant",
            )
        number = number_from(kind).constant
        if number is None or scalar.is_float or (scalar.size == 8 and scalar.is_signed):
            return
        bits = scalar.size * 8
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if scalar.is_signed else (0, (1 << bits) - 1)
        if not low <= number <= high:
            self.report(
                node, "width", f"{text} is {scalar.name}, {low} to {high}, and {number} wraps around", "declare it i64"
            )


def _steps_in(body: list[ast.stmt]) -> Iterator[str]:
    """List what each turn of a loop moves on: by +=, or as x = x + 1."""
    for each in body:
        if isinstance(each, ast.AugAssign):
            yield written(each.target)
        elif isinstance(each, ast.Assign) and isinstance(each.value, ast.BinOp) and len(each.targets) == 1:
            target = written(each.targets[0])
            if target in dotted_in(each.value):
                yield target


def _assigned_in(body: list[ast.stmt]) -> Iterator[str]:
    """List the names that statements assign."""
    for statement in body:
        for each in ast.walk(statement):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id
