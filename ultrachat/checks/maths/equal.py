"""Whether two parsed answers are the same."""

from __future__ import annotations

import random
from typing import Any, Final

from ultrachat.checks.maths.extract import final_answer
from ultrachat.checks.maths.parse import parse
from ultrachat.checks.maths.tokens import Unreadable
from ultrachat.checks.verdict import PASS, Verdict

DIGITS: Final = 60
N_POINTS: Final = 6


def check(solution: str, gold: str, *, tolerance: float = 0.0) -> Verdict:
    """Whether the final answer of a solution is the gold answer; reasons no_answer, unreadable, wrong."""
    found = final_answer(solution)
    if found is None:
        return Verdict("no_answer", solution[-80:])
    try:
        same = equal(found, gold, tolerance=tolerance)
    except Unreadable as error:
        return Verdict("unreadable", f"{found[:80]}: {error}")
    return PASS if same else Verdict("wrong", f"{found[:80]} is not {gold}")


def equal(answer: str, gold: str, *, tolerance: float = 0.0) -> bool:
    """Whether two answers are the same; Unreadable if one cannot be read and they differ as text.

    `tolerance` is relative, for numbers only.
    """
    if _plain(answer) == _plain(gold):
        return True
    if gold.strip().upper() in ("A", "B", "C", "D", "E") and len(gold.strip()) == 1:
        return answer.strip(" ().:*").upper() == gold.strip()  # a multiple choice
    try:
        return _same(parse(answer), parse(gold), tolerance)
    except (Unreadable, RecursionError):
        raise
    except Exception as error:  # SymPy raises what it likes on odd expressions
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _plain(text: str) -> str:
    return "".join(text.lower().split()).strip("$`.。")


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, tuple) or isinstance(other, tuple):
        if not (isinstance(one, tuple) and isinstance(other, tuple)):
            return False
        return _same_parts(one, other, tolerance)
    return _same_value(one, other, tolerance)


def _same_parts(one: tuple[str, Any], other: tuple[str, Any], tolerance: float) -> bool:
    (kind, parts), (other_kind, others) = one, other
    flipped = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    if flipped.get(kind) == other_kind:
        kind, parts = other_kind, parts[::-1]
    # "1, 2" without brackets may have been meant as a tuple.
    if kind != other_kind and {kind, other_kind} == {"set", "()"}:
        kind = other_kind = "()"
    if kind != other_kind or len(parts) != len(others):
        return False
    if kind == "=":
        (a, b), (c, d) = parts, others
        return any(_proportional(a - b, c - d, factor) for factor in (1, -1))
    if kind != "set":
        return all(_same(a, b, tolerance) for a, b in zip(parts, others, strict=True))
    left = list(others)
    for part in parts:
        match = next((at for at, b in enumerate(left) if _same(part, b, tolerance)), None)
        if match is None:
            return False
        del left[match]
    return True


def _proportional(one: Any, other: Any, factor: int) -> bool:
    return _same_value(one, factor * other, 0.0)


def _same_value(one: Any, other: Any, tolerance: float) -> bool:
    import sympy  # type: ignore[import-untyped]

    if one == other:
        return True
    if one.is_Rational and other.is_Rational:
        return tolerance > 0 and abs(one - other) <= tolerance * abs(other)
    if (not one.is_finite and one.is_number) or (not other.is_finite and other.is_number):
        return False
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    if not symbols:
        return _close(sympy.N(one - other, DIGITS), sympy.N(other, 15), tolerance)
    if one.free_symbols != other.free_symbols and not (one.free_symbols and other.free_symbols):
        one, other = sympy.simplify(one), sympy.simplify(other)
        if one == other:
            return True
    return _same_at_points(one - other, symbols)


def _close(difference: Any, size: Any, tolerance: float) -> bool:
    if not difference.is_number or difference.is_finite is False:
        return False
    distance = abs(complex(difference))
    return distance <= max(1e-40, tolerance * abs(complex(size)))


def _same_at_points(difference: Any, symbols: list[Any]) -> bool:
    """Whether it vanishes at random points: an expression that does is zero (Schwartz, Zippel).

    The points are the same in every run. Where it has no value, as 1/(x-1) has at 1, another point
    is taken; positive and negative points are needed, because sqrt(x^2) is x for positive ones only.
    """
    rng = random.Random(20250607)
    import sympy

    n_valued = 0
    for number in range(4 * N_POINTS):
        sign = 1 if number % 2 else -1
        point = {s: sympy.Rational(sign * rng.randint(1, 10**6), 10**5 + 7) for s in symbols}
        value = sympy.N(difference.subs(point), DIGITS)
        if not value.is_number or value.is_finite is False or value is sympy.nan:
            continue
        if abs(complex(value)) > 1e-40:
            return False
        n_valued += 1
        if n_valued == N_POINTS:
            return True
    return False
