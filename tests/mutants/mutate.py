"""The mutants of a source file: each is its syntax tree with one node changed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
CALLED = {"min": "max", "max": "min", "abs": "int"}
LEFT_OUT = (ast.AugAssign, ast.Return, ast.Raise, ast.Continue, ast.Break, ast.Delete)
NAMING = ("decorator_list", "annotation", "returns")


@dataclass(frozen=True)
class Mutant:
    """One change: where, what, and how it is made."""

    line: int
    what: str
    is_run_at_import: bool  # outside of functions, or a default
    parent: ast.AST
    field: str
    index: int | None  # in the field, if that is a list
    new: ast.AST

    def apply(self) -> None:
        """Change the tree that the mutant is of."""
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """All mutants of a source file, in the order of its lines."""
    found = []
    for parent, field, index, node, is_run_at_import in _nodes(tree, True):
        for new in _changes(node):
            if isinstance(new, ast.Pass) and _ends_as_without(parent, node):
                continue
            after = "left out" if isinstance(new, ast.Pass) else f"-> {_text(new)}"
            ast.fix_missing_locations(ast.copy_location(new, node))
            text = f"{_text(node)} {after}"
            found.append(Mutant(node.lineno, text, is_run_at_import, parent, field, index, new))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    if isinstance(node, ast.Constant):
        return f"{node.value!r} (column {node.col_offset})" if hasattr(node, "col_offset") else repr(node.value)
    return " ".join(ast.unparse(node).split())


Found = tuple[ast.AST, str, int | None, ast.expr | ast.stmt, bool]


def _nodes(parent: ast.AST, is_run_at_import: bool) -> Iterator[Found]:
    """Every node that may change, and where it is. Left out: what a class declares, annotations, decorators."""
    for field, value in ast.iter_fields(parent):
        if field in NAMING:
            continue
        is_inside = isinstance(parent, ast.FunctionDef) and field == "body"
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            is_declared = isinstance(parent, ast.ClassDef) and not isinstance(child, ast.FunctionDef)
            if isinstance(child, ast.AST) and not is_declared:
                if isinstance(child, ast.expr | ast.stmt):
                    yield parent, field, index, child, is_run_at_import and not is_inside
                yield from _nodes(child, is_run_at_import and not is_inside)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed to."""
    match node:
        case ast.Compare(left, ops, comparators):
            for index, operator in enumerate(ops):
                for other in COMPARED[type(operator)]:
                    yield ast.Compare(left, [*ops[:index], other(), *ops[index + 1 :]], comparators)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.BinOp(left, op, right) if type(op) in COMPUTED:
            yield ast.BinOp(left, COMPUTED[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in COMPUTED:
            yield ast.AugAssign(target, COMPUTED[type(op)](), value)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Call(ast.Name(name), arguments) if name in CALLED:
            yield ast.Call(ast.Name(CALLED[name], ast.Load()), arguments, [])
        case ast.If(ast.Call() | ast.Name() | ast.Attribute() as test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
    if isinstance(node, LEFT_OUT) or _has_effect(node):
        yield ast.Pass()


def _ends_as_without(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a function's last statement returns what is as false as the None that is returned without it."""
    if not isinstance(parent, ast.FunctionDef) or node is not parent.body[-1] or not isinstance(node, ast.Return):
        return False
    return node.value is None or (isinstance(node.value, ast.Constant) and not node.value.value)


def _has_effect(node: ast.AST) -> bool:
    """Whether a statement is a call, or an assignment to more than a name: without that, what follows can't run."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
