"""Boolean expressions over columns: parsed by Python, allowed by a list, computed by Arrow.

`parse` raises ValueError with the column of the text where something is wrong. What it returns
maps a record batch to a boolean array (or scalar) with null for unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

Value = Any
"""An Arrow array or scalar."""
Evaluate = Callable[[pa.RecordBatch], Value]

MAX_CHARS: Final = 10_000
MAX_DEPTH: Final = 50

COMPARE: Final = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
ARITHMETIC: Final = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
WITH_PATTERN: Final = {
    "contains": pc.match_substring,
    "starts_with": pc.starts_with,
    "ends_with": pc.ends_with,
    "matches": pc.match_substring_regex,
}
OF_ONE: Final = {"lower": pc.utf8_lower, "length": pc.utf8_length, "is_null": pc.is_null}
WORDS: Final = {"true": True, "false": False, "null": None}


def parse(text: str) -> Evaluate:
    """The expression as a function; ValueError says what is wrong and in which column."""
    return _Parser(text).truth(_tree(text), 1)


def columns_of(text: str) -> tuple[str, ...]:
    """Names of the columns that the expression reads, in the order of their first use."""
    parser = _Parser(text)
    parser.truth(_tree(text), 1)
    return tuple(parser.columns)


def _tree(text: str) -> ast.expr:
    if len(text) > MAX_CHARS:
        raise ValueError(f"the expression has {len(text)} characters; {MAX_CHARS} are allowed")
    # A long expression may be written over several lines; columns count through.
    flat = "".join(" " if char.isspace() else char for char in text)
    if not flat.strip():
        raise ValueError("the expression is empty")
    if "\0" in flat:
        raise ValueError(f"column {flat.index(chr(0)) + 1}: a NUL character")
    indent = len(flat) - len(flat.lstrip())
    try:
        tree = ast.parse(flat.lstrip(), mode="eval").body
    except SyntaxError as error:
        if not error.offset:
            raise ValueError(
                f"column {len(flat.rstrip()) + 1}: the expression ends early"
            ) from None
        raise ValueError(f"column {error.offset + indent}: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise ValueError("the expression is nested too deeply") from None
    return tree


class _Parser:
    """Walks a tree once; collects the columns it meets."""

    def __init__(self, text: str) -> None:
        self.flat = text.lstrip()
        self.indent = len(text) - len(self.flat)
        self.columns: dict[str, None] = {}

    def error(self, node: ast.AST, message: str) -> ValueError:
        # Python's offsets are bytes.
        before = self.flat.encode()[: getattr(node, "col_offset", 0)].decode(errors="ignore")
        return ValueError(f"column {len(before) + self.indent + 1}: {message}")

    def truth(self, node: ast.expr, depth: int) -> Evaluate:
        """An expression that must be true or false."""
        self.check_depth(node, depth)
        if isinstance(node, ast.BoolOp):
            combine = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            return _fold(combine, [self.truth(value, depth + 1) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand, depth + 1)
            return lambda batch: pc.invert(inner(batch))
        if isinstance(node, ast.Compare):
            return self.comparison(node, depth)
        value = self.value(node, depth)
        if self.is_literal(node) and not isinstance(self.literal(node), bool):
            raise self.error(node, "this is not true or false; compare it with something")
        if isinstance(node, ast.BinOp):
            raise self.error(node, "a number is not true or false; compare it with something")
        return self.checked(node, lambda batch: _boolean(value(batch)))

    def comparison(self, node: ast.Compare, depth: int) -> Evaluate:
        operands = [node.left, *node.comparators]
        pairs = zip(operands[:-1], node.ops, operands[1:], strict=True)
        return _fold(pc.and_kleene, [self.compare(node, *pair, depth) for pair in pairs])

    def compare(
        self, node: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int
    ) -> Evaluate:
        first = self.value(left, depth + 1)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple):
                hint = 'needs a list, as in `x in ["a", "b"]`; for text use contains(x, "a")'
                raise self.error(right, f"`in` {hint}")
            members = self.members(right)
            is_in = self.checked(node, lambda batch: _is_in(first(batch), members))
            if isinstance(op, ast.In):
                return is_in
            return lambda batch: pc.invert(is_in(batch))
        if type(op) not in COMPARE:
            raise self.error(left, "`is` is not known: use == or is_null(x)")
        for side in (left, right):
            if self.is_literal(side) and self.literal(side) is None:
                raise self.error(side, "nothing equals null: use is_null(x)")
        compute, second = COMPARE[type(op)], self.value(right, depth + 1)
        return self.checked(node, lambda batch: compute(first(batch), second(batch)))

    def value(self, node: ast.expr, depth: int) -> Evaluate:
        """A column, a literal, a call or arithmetic."""
        self.check_depth(node, depth)
        if self.is_literal(node):
            scalar = pa.scalar(self.literal(node))
            return lambda batch: scalar
        if isinstance(node, ast.Name):
            return self.column(node.id)
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            compute = ARITHMETIC[type(node.op)]
            left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
            return self.checked(
                node, lambda batch: compute(_number(left(batch)), _number(right(batch)))
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.value(node.operand, depth + 1)
            return self.checked(node, lambda batch: pc.negate(_number(inner(batch))))
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.BoolOp | ast.Compare | ast.UnaryOp):
            return self.truth(node, depth + 1)
        raise self.error(node, "this is not allowed in an expression")

    def call(self, node: ast.Call, depth: int) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        known = ("col", *OF_ONE, *WITH_PATTERN)
        if name not in known:
            raise self.error(node, f"unknown function {name!r}; there are {', '.join(known)}")
        if node.keywords or len(node.args) != (2 if name in WITH_PATTERN else 1):
            given = "two arguments" if name in WITH_PATTERN else "one argument"
            raise self.error(node, f"{name} takes {given}")
        if name == "col":
            return self.column(self.string(node.args[0], "col takes the name of a column"))
        inner = self.value(node.args[0], depth + 1)
        if name in OF_ONE:
            compute = OF_ONE[name]
            read = inner if name == "is_null" else lambda batch: _text(inner(batch))
            return self.checked(node, lambda batch: compute(read(batch)))
        pattern = self.string(node.args[1], f"the second argument of {name} is a string")
        search = WITH_PATTERN[name]
        try:
            search(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise self.error(node.args[1], f"not an RE2 pattern: {error}") from None
        return self.checked(node, lambda batch: search(_text(inner(batch)), pattern))

    def column(self, name: str) -> Evaluate:
        self.columns[name] = None

        def read(batch: pa.RecordBatch) -> Value:
            values = batch.column(name)
            is_coded = pa.types.is_dictionary(values.type)
            return values.dictionary_decode() if is_coded else values

        return read

    def members(self, node: ast.List | ast.Tuple) -> pa.Array:
        for element in node.elts:
            if not self.is_literal(element) or self.literal(element) is None:
                raise self.error(element, "a list holds numbers or strings")
        try:
            return pa.array([self.literal(element) for element in node.elts])
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise self.error(node, "a list holds numbers or strings, not both") from None

    def string(self, node: ast.expr, message: str) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        raise self.error(node, message)

    def is_literal(self, node: ast.expr) -> bool:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = node.operand
            return isinstance(inner, ast.Constant) and type(inner.value) in (int, float)
        if isinstance(node, ast.Name):
            return node.id in WORDS
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, str | int | float | None):
                raise self.error(node, "this is not allowed in an expression")
            if isinstance(node.value, int) and not -(2**63) <= node.value < 2**63:
                raise self.error(node, "a number of more than 64 bits")
            return True
        return False

    def literal(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return WORDS[node.id]
        if isinstance(node, ast.UnaryOp):
            return -self.literal(node.operand)
        assert isinstance(node, ast.Constant)
        return node.value

    def check_depth(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.error(node, f"nested more than {MAX_DEPTH} deep")

    def checked(self, node: ast.expr, evaluate: Evaluate) -> Evaluate:
        """Types are known when rows come; an error then says where in the expression it is."""

        def run(batch: pa.RecordBatch) -> Value:
            try:
                return evaluate(batch)
            except pa.ArrowException as error:
                raise self.error(node, f"the types do not fit: {error}") from None

        return run


def _fold(combine: Callable[[Value, Value], Value], parts: list[Evaluate]) -> Evaluate:
    def run(batch: pa.RecordBatch) -> Value:
        result = parts[0](batch)
        for part in parts[1:]:
            result = combine(result, part(batch))
        return result

    return parts[0] if len(parts) == 1 else run


def _boolean(value: Value) -> Value:
    if not pa.types.is_boolean(value.type):
        raise pa.ArrowTypeError(f"{value.type} is not true or false")
    return value


def _text(value: Value) -> Value:
    """A column without one value has no type of its own in some files; it is text without values."""
    return value.cast(pa.string()) if pa.types.is_null(value.type) else value


def _number(value: Value) -> Value:
    """As float64: sums cannot overflow, and a division by 0 is infinite instead of an error."""
    if pa.types.is_boolean(value.type) or not (
        pa.types.is_integer(value.type)
        or pa.types.is_floating(value.type)
        or pa.types.is_null(value.type)
    ):
        raise pa.ArrowTypeError(f"{value.type} is not a number")
    return pc.cast(value, pa.float64(), safe=False)


def _is_in(value: Value, members: pa.Array) -> Value:
    """Membership, and null for null."""
    if pa.types.is_null(value.type):
        return value.cast(pa.bool_())
    if value.type != members.type:
        if pa.types.is_integer(value.type) and pa.types.is_floating(members.type):
            value = pc.cast(value, pa.float64(), safe=False)
        else:
            members = members.cast(value.type)
    return pc.if_else(pc.is_valid(value), pc.is_in(value, value_set=members), pa.scalar(None))
