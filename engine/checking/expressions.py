"""Reads a function's expressions: what each is, and what compiled code can't take or takes otherwise than Python."""

import ast
from abc import ABC, abstractmethod
from dataclasses import replace

from crosswire.engine.checking.kinds import (
    BOOL,
    FLOAT,
    MIXED,
    NONE,
    TEXT,
    UNKNOWN,
    ElementsOf,
    Kind,
    Number,
    Owner,
    StructOf,
    TupleOf,
    Value,
    constant,
    joined,
    kind_of_element,
    kind_of_field,
    sort_of,
)
from crosswire.engine.checking.reader import I64_MAX, I64_MIN, Reader, nearest, number_from, written

CONTAINER_NODES = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
PYTHON_NODES = (ast.Lambda, ast.Yield, ast.YieldFrom, ast.Await)


class Expressions(Reader, ABC):
    """Reads expressions."""

    def read(self, node: ast.expr) -> Kind:
        """Tell what an expression is, and report what is wrong inside."""
        match node:
            case ast.Constant():
                return self.read_constant(node)
            case ast.Name():
                return self.read_name(node)
            case ast.Attribute():
                return self.read_attribute(node)
            case ast.Subscript():
                return self.read_subscript(node)
            case ast.Call():
                return self.read_call(node)
            case ast.BinOp():
                return self.operate(node, node.op, self.read(node.left), self.read(node.right), node.left, node.right)
            case ast.UnaryOp():
                return self.read_unary(node)
            case ast.BoolOp():
                return self.read_bool(node)
            case ast.Compare():
                return self.read_compare(node)
            case ast.IfExp():
                self.truth(node.test)
                maybe = set(self.scope.maybe)
                self.scope.maybe = maybe - assigned_where(node.test, True)
                first = self.read(node.body)
                self.scope.maybe = maybe - assigned_where(node.test, False)
                second = self.read(node.orelse)
                self.scope.maybe = maybe
                return self.one_of_two(node, first, second)
            case ast.Tuple():
                return TupleOf(tuple(self.read(each) for each in node.elts))
            case ast.NamedExpr():
                self.scope.names[node.target.id] = kind = self.read(node.value)
                self.scope.maybe.discard(node.target.id)
                return kind
        return self.refuse(node)

    def one_of_two(self, node: ast.IfExp, first: Kind, second: Kind) -> Kind:
        """Tell what a value is that a condition chooses."""
        kind = joined(first, second)
        if kind != MIXED:
            return kind
        what = f"{ast.unparse(node)} is {sort_of(first)} on one way and {sort_of(second)} on the other"
        return self.report(node, "kind", what, "choose between two of one sort")

    def refuse(self, node: ast.expr) -> Kind:
        """Report an expression that is not compiled."""
        if isinstance(node, CONTAINER_NODES):
            name = type(node).__name__.removesuffix("Comp").replace("GeneratorExp", "generator").lower()
            return self.report(
                node,
                "container",
                f"a {name} is a Python object",
                "declare a field, Annotated[Array, i64, 64], and a count beside it",
            )
        if isinstance(node, ast.JoinedStr):
            return self.report_text(node)
        if isinstance(node, PYTHON_NODES):
            name = type(node).__name__.lower()
            return self.report(node, "python", f"{name} is not compiled", "write a plain function with @compiled")
        return UNKNOWN

    def report_text(self, node: ast.AST) -> Kind:
        """Report a string."""
        return self.report(
            node,
            "text",
            "compiled code has no strings",
            "use a number or a member of an IntEnum, as OrderState.LIVE",
        )

    def read_constant(self, node: ast.Constant) -> Kind:
        """Read a literal."""
        value = node.value
        if isinstance(value, str | bytes):
            return self.report_text(node)
        if isinstance(value, complex) or value is Ellipsis:
            return self.report(node, "python", f"{ast.unparse(node)} is not compiled", "write a number")
        return self.kind_of_value(node, "a literal", value)

    def read_attribute(self, node: ast.Attribute) -> Kind:
        """Read a field, or a name of a module."""
        owner = self.read(node.value)
        if isinstance(owner, Value):
            return self.read_attribute_of_value(node, owner.value)
        if isinstance(owner, StructOf):
            field = owner.cls.fields.get(node.attr)
            if field is None:
                return self.report_field(node, owner)
            kind = kind_of_field(field, owner)
            if isinstance(kind, Number) and kind.zero and written(node) in self.tested:
                return Number()
            return kind
        if isinstance(owner, ElementsOf) or (isinstance(owner, Number) and node.attr != "value"):
            what = f"{ast.unparse(node.value)} is {sort_of(owner)} and has no {node.attr}"
            instead = "index it first" if isinstance(owner, ElementsOf) else "write what it belongs to"
            return self.report(node, "field", what, instead)
        return UNKNOWN

    def report_field(self, node: ast.Attribute, owner: StructOf) -> Kind:
        """Report an attribute that the class does not declare as a field."""
        name, cls = node.attr, owner.cls
        if callable(getattr(cls, name, None)):
            return self.report(
                node,
                "field",
                f"{name} is a method of {cls.__name__}, and compiled code has only its fields",
                "write a function of the module with @compiled",
            )
        if hasattr(cls, name):
            return self.report(
                node,
                "state",
                f"{cls.__name__}.{name} is shared by the class, and compiled code has only fields",
                f"declare {name}: i64, or make it a constant of the module",
            )
        is_own = cls.__module__ == self.analysis.cls.__module__
        instead = (
            f"declare {name}: i64 in {cls.__name__}, or write its right name" if is_own else "write a field's name"
        )
        return self.report(node, "field", f"{cls.__name__} has no field {name}{nearest(name, cls.fields)}", instead)

    def read_subscript(self, node: ast.Subscript) -> Kind:
        """Read an element of a table."""
        owner = self.read(node.value)
        if isinstance(node.slice, ast.Slice):
            return self.report(node, "container", "a slice is a Python object", "write a loop over the places")
        index = self.read(node.slice)
        if isinstance(owner, ElementsOf):
            self.check_index(node, owner, index)
            return kind_of_element(owner)
        if isinstance(owner, TupleOf):
            place = number_from(index).constant
            if place is None:
                return joined_all(owner.parts)
            if -len(owner.parts) <= place < len(owner.parts):
                return owner.parts[place]
            return self.report(
                node, "index", f"index {place} of a tuple of {len(owner.parts)}", "use a place that it has"
            )
        if isinstance(owner, StructOf | Number):
            return self.report(
                node, "kind", f"{ast.unparse(node.value)} is {sort_of(owner)}, not a table", "read its field"
            )
        return UNKNOWN

    def check_index(self, node: ast.Subscript, table: ElementsOf, index: Kind) -> None:
        """Report an index that is no integer, or can't lie in the table."""
        text, at = ast.unparse(node.value), ast.unparse(node.slice)
        if index == FLOAT:
            self.report(node, "float", f"{text}[{at}] is indexed by a float", "index by an integer, as a // b")
            return
        if index == BOOL:
            self.report(node, "index", f"{text}[{at}] is indexed by a bool", f"index by a number, as int({at})")
            return
        if isinstance(index, StructOf):
            self.report(node, "kind", f"{text}[{at}] is indexed by {sort_of(index)}", "index by a number")
            return
        number = number_from(index)
        if number.low is not None and number.low < 0:
            what = f"{text}[{at}] may lie before the table: {at} is from {number.low}"
            if number.constant is not None:
                what = f"{text}[{at}] lies before the table: compiled code counts no places from the end"
            self.report(node, "index", what, f"use 0 to {'the count' if table.count is None else table.count - 1}")
        elif table.count is not None and number.high is not None and number.high >= table.count:
            what = f"{text} has {table.count} places, and {at} goes up to {number.high}"
            if number.constant is not None:
                what = f"{text} has {table.count} places, and {at} is beyond them"
            test = f"if {at} < {table.count}: first" if number.constant is None else f"use 0 to {table.count - 1}"
            widen = f"give the table {number.high + 1} places, or " if table.owner is Owner.OWN else ""
            self.report(node, "index", what, f"{widen}{_verb(test)}")

    def read_unary(self, node: ast.UnaryOp) -> Kind:
        """Read a sign, a complement or a negation."""
        if isinstance(node.op, ast.Not):
            self.truth(node.operand)
            return BOOL
        inner = node.operand
        if isinstance(node.op, ast.USub) and isinstance(inner, ast.Constant) and inner.value == -I64_MIN:
            return constant(I64_MIN)
        if isinstance(node.op, ast.USub) and isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.FloorDiv):
            # -(-a // b): the way to round up.
            numerator = inner.left.operand if isinstance(inner.left, ast.UnaryOp) else inner.left
            kind = self.operate(inner, inner.op, self.read(numerator), self.read(inner.right), numerator, inner.right)
            return Number() if isinstance(kind, Number) else kind
        kind = self.read(inner)
        number = number_from(kind).constant
        if number is not None and isinstance(node.op, ast.USub):
            return constant(-number)
        return Number() if isinstance(kind, Number) or kind == BOOL else kind

    def read_bool(self, node: ast.BoolOp) -> Kind:
        """Read `and` and `or`, of conditions or of values."""
        kinds = [self.truth(node.values[0])]
        sure = set(self.scope.names)
        kinds += [self.truth(each) for each in node.values[1:]]
        self.scope.maybe |= self.scope.names.keys() - sure  # what the first decides, the others are not read for
        return joined_all(tuple(kinds))

    def truth(self, node: ast.expr) -> Kind:
        """Read an expression that is taken for true or false; what it mentions is guarded from there on."""
        kind = self.read(node)
        if isinstance(kind, StructOf | ElementsOf):
            self.report(
                node,
                "compare",
                f"{ast.unparse(node)} is {sort_of(kind)}, which is neither true nor false",
                "test a field of it, as book.valid != 0",
            )
        self.test(node)
        return kind

    def read_compare(self, node: ast.Compare) -> Kind:
        """Read a comparison; what it mentions is guarded from there on."""
        operands = [node.left, *node.comparators]
        kinds = [self.read(each) for each in operands]
        for place, operator in enumerate(node.ops):
            first, second = kinds[place], kinds[place + 1]
            structs = [each for each in (first, second) if isinstance(each, StructOf | ElementsOf)]
            if NONE in (first, second) and structs:
                self.report(node, "compare", "a struct is never None in compiled code", "test a field of it")
            elif NONE in (first, second) and any(isinstance(each, Number) or each == BOOL for each in (first, second)):
                self.report(node, "compare", "a number is never None in compiled code", "compare it with a number")
            elif isinstance(operator, ast.In | ast.NotIn) and isinstance(second, ElementsOf):
                self.report_walked(node, ast.unparse(operands[place + 1]))
            elif structs and not isinstance(operator, ast.In | ast.NotIn):
                self.report(
                    node, "compare", f"{sort_of(structs[0])} can't be compared", "compare fields, or address_of both"
                )
            elif _mixes(first, second, operands[place], operands[place + 1]):
                self.report_mixed(node)
        self.test(node)
        return BOOL

    def report_walked(self, node: ast.AST, text: str) -> Kind:
        """Report a table that is gone through otherwise than by its places."""
        return self.report(
            node,
            "container",
            f"{text} can't be walked through as a Python list",
            f"write for place in range(...): and {text}[place]",
        )

    def report_mixed(self, node: ast.AST) -> Kind:
        """Report integers and floats in one expression."""
        return self.report(
            node,
            "float",
            f"{ast.unparse(node)} makes a float of integers: above 2**53 and between ticks it is not exact",
            "count in integers, as price_ticks * 1_001 // 1_000",
        )

    def operate(
        self, node: ast.AST, operator: ast.operator, left: Kind, right: Kind, left_node: ast.expr, right_node: ast.expr
    ) -> Kind:
        """Tell what an operation gives."""
        for kind, each in ((left, left_node), (right, right_node)):
            if isinstance(kind, StructOf | ElementsOf):
                return self.report(
                    node, "kind", f"{ast.unparse(each)} is {sort_of(kind)}, not a number", "read a field of it"
                )
            if kind == TEXT:
                return self.report_text(each)
            if kind == NONE:
                return self.report(node, "kind", f"{ast.unparse(each)} is None, not a number", "use a number")
        if isinstance(left, TupleOf) or isinstance(right, TupleOf):
            what = f"{ast.unparse(node)} is computed of a tuple"
            return self.report(node, "kind", what, "compute with its parts, one by one")
        if _mixes(left, right, left_node, right_node):
            return self.report_mixed(node)
        if FLOAT in (left, right):
            return FLOAT
        if not all(isinstance(each, Number) or each == BOOL for each in (left, right)):
            return UNKNOWN
        if isinstance(operator, ast.Div):
            return self.report(
                node,
                "float",
                f"{ast.unparse(node)} gives a float",
                f"write {ast.unparse(ast.BinOp(left_node, ast.FloorDiv(), right_node))}: whole units, rounded down",
            )
        if isinstance(operator, ast.FloorDiv | ast.Mod):
            return self.divide(node, operator, number_from(left), number_from(right), left_node, right_node)
        if isinstance(operator, ast.MatMult):
            return self.report(node, "python", "@ is not compiled", "write a loop over the places")
        if wrong := _out_of_word(operator, number_from(right), ast.unparse(right_node)):
            return self.report(node, "width", *wrong)
        return self.compute(node, operator, number_from(left), number_from(right))

    def divide(
        self,
        node: ast.AST,
        operator: ast.operator,
        left: Number,
        right: Number,
        left_node: ast.expr,
        right_node: ast.expr,
    ) -> Kind:
        """Tell what a division of integers gives; report a sign or a zero that surprises."""
        divisor = ast.unparse(right_node)
        if right.constant == 0 or right.zero:
            what = "divides by 0" if right.constant == 0 else f"divides by {divisor}, which is 0 on an empty side"
            self.report(node, "division", f"{what}: that ends the run", f"test if {divisor} != 0: first")
        elif isinstance(left_node, ast.UnaryOp) and isinstance(left_node.op, ast.USub) and left.constant is None:
            inside = ast.unparse(ast.BinOp(left_node.operand, operator, right_node))
            upwards = ast.unparse(ast.BinOp(left_node, ast.FloorDiv(), right_node))
            what = f"{ast.unparse(node)} rounds towards minus infinity: -1 // 2 is -1, and -1 % 2 is 1"
            self.report(node, "division", what, f"write -({inside}), or -({upwards}) to round up")
        divided_by = right.constant
        if divided_by is None or divided_by <= 0:
            return Number()
        if isinstance(operator, ast.Mod):
            return Number(0, divided_by - 1)
        low = None if left.low is None else left.low // divided_by
        return Number(low, None if left.high is None else left.high // divided_by)

    def compute(self, node: ast.AST, operator: ast.operator, left: Number, right: Number) -> Kind:
        """Tell what other operations on integers give, with the range where both have one."""
        zero = left.zero and right.zero if isinstance(operator, ast.Add) else False
        if isinstance(operator, ast.Mult):
            zero = left.zero or right.zero
        if isinstance(operator, ast.BitAnd) and right.constant is not None and right.constant >= 0:
            return Number(0, None)  # a mask also takes packed numbers apart: how far these go, it does not say
        bounds = [_applied(operator, a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
        known = [each for each in bounds if each is not None]
        if len(known) < len(bounds):
            return Number(zero=zero)
        low, high = min(known), max(known)
        if low == high and not I64_MIN <= low <= I64_MAX:
            return self.report(
                node,
                "width",
                f"{ast.unparse(node)} is {low}, which has more than 64 bits and wraps around",
                "use smaller units, or multiply_e9",
            )
        return replace(Number(low, high), zero=zero)

    @abstractmethod
    def read_call(self, node: ast.Call) -> Kind:
        """Tell what a call returns."""


def assigned_where(test: ast.expr, outcome: bool) -> set[str]:
    """List the names that := has given a value wherever a condition is true, or false."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return assigned_where(test.operand, not outcome)
    if isinstance(test, ast.BoolOp):
        # An `and` that is true has read all its parts, as an `or` that is false; any other only its first for sure.
        has_read_all = isinstance(test.op, ast.And) == outcome
        read = [assigned_where(each, outcome) for each in (test.values if has_read_all else [])]
        return set().union(*read)
    inside = list(ast.walk(test))
    if any(isinstance(each, ast.BoolOp | ast.IfExp) for each in inside):
        return set()
    return {each.target.id for each in inside if isinstance(each, ast.NamedExpr)}


def _out_of_word(operator: ast.operator, right: Number, text: str) -> tuple[str, str] | None:
    """Say why a shift or a power is none that compiled code works out as Python does; None: nothing is known of it."""
    if isinstance(operator, ast.LShift | ast.RShift):
        if right.high is not None and right.high < 0:
            return f"shifts by {text}, which is below 0", "shift the other way"
        if right.low is not None and right.low >= 64:
            return f"shifts by {text}, and a number has 64 bits", "shift by 0 to 63"
    if isinstance(operator, ast.Pow) and right.high is not None and right.high < 0:
        return f"** {text} gives a float", "divide by a power above 0, by //"
    return None


SHIFT_MAX = 256  # bits: a power or a shift beyond is not worked out


def _applied(operator: ast.operator, a: int | None, b: int | None) -> int | None:
    """Work out an operation on two known numbers; None where one is not known."""
    if a is None or b is None:
        return None
    match operator:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.LShift() if 0 <= b <= SHIFT_MAX:
            return a << b
        case ast.RShift() if 0 <= b <= SHIFT_MAX:
            return a >> b
        case ast.Pow() if 0 <= b <= SHIFT_MAX:
            return int(a**b)
    return None


def _mixes(left: Kind, right: Kind, left_node: ast.expr, right_node: ast.expr) -> bool:
    """Tell whether a float meets an integer that is no literal, or a literal float an integer."""
    if FLOAT not in (left, right) or left == right:
        return False
    other, node = (right, right_node) if left == FLOAT else (left, left_node)
    is_literal = isinstance(node, ast.Constant) or number_from(other).constant is not None
    return (isinstance(other, Number) or other == BOOL) and not is_literal


def _verb(text: str) -> str:
    return text if text.startswith("use") else f"test {text}"


def joined_all(kinds: tuple[Kind, ...]) -> Kind:
    """Join several kinds."""
    result = kinds[0] if kinds else UNKNOWN
    for each in kinds[1:]:
        result = joined(result, each)
    return result
