"""A program with one fault: a comparison, operator, constant or return changed in its syntax tree."""

from __future__ import annotations

import ast
import copy
import random
from typing import Final

_COMPARE: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATE: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


def mutants(source: str, rng: random.Random, at_most: int = 4) -> list[str]:
    """Up to so many programs that each differ from `source` in one place; none if it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    nodes = list(ast.walk(tree))
    places = [at for at, node in enumerate(nodes) if _mutable(node)]
    rng.shuffle(places)
    made = []
    for place in places[:at_most]:
        other = copy.deepcopy(tree)
        _mutate(list(ast.walk(other))[place])
        made.append(ast.unparse(ast.fix_missing_locations(other)))
    return made


def _mutable(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _COMPARE
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return type(node.op) in _OPERATE
    return isinstance(node, ast.Constant) and type(node.value) in (int, bool)


def _mutate(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = _COMPARE[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        node.op = _OPERATE[type(node.op)]()
    elif isinstance(node, ast.Constant):
        node.value = (not node.value) if isinstance(node.value, bool) else int(node.value) + 1  # type: ignore[arg-type]
