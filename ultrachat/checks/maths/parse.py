r"""Mathematical notation, LaTeX or plain, to SymPy, by recursive descent and nothing else.

Understood: numbers with thousands separators, fractions, powers, roots, the elementary functions,
pi, e, i, infinity, letters, implicit multiplication, percent, degrees, units and currency (left
out), tuples, sets, intervals, unions, lists, equations `x = ...`, plus-minus, mixed numbers.
Whatever would take long to evaluate is refused, as is all else: `Unreadable`.
"""

from __future__ import annotations

from typing import Any, Final

from ultrachat.checks.maths.expressions import Expressions
from ultrachat.checks.maths.tokens import Unreadable, tokens

MAX_CHARS: Final = 400


def parse(text: str) -> Any:
    """A SymPy expression, or a tuple `(kind, parts)` for sets, tuples, intervals and the like."""
    if len(text) > MAX_CHARS:
        raise Unreadable(f"{len(text)} characters")
    return _Parser(tokens(text)).whole()


class _Parser(Expressions):
    """Adds to expressions: lists, sets, intervals, equations."""

    def whole(self) -> Any:
        value = self.listed()
        if self.kind != "end":
            raise Unreadable(f"then {self.value!r}")
        return value

    def listed(self) -> Any:
        """Parts with commas (an unordered list), or one; unions of intervals."""
        parts = [self.related()]
        while self.take(",") or self.take(";") or self.take("and") or self.take("or"):
            parts.append(self.related())
        if len(parts) > 1:
            return ("set", tuple(parts))
        return parts[0]

    def related(self) -> Any:
        left = self.united()
        if self.take("="):
            right = self.united()
            # `x = 3` is 3; another equation is a statement about its two sides.
            return right if _is_name(left) else ("=", (left, right))
        for sign in ("<=", ">=", "<", ">"):
            if self.take(sign):
                return (sign, (left, self.united()))
        return left

    def united(self) -> Any:
        parts = [self.bracketed()]
        while self.take("U"):
            parts.append(self.bracketed())
        return parts[0] if len(parts) == 1 else ("set", tuple(parts))

    def bracketed(self) -> Any:
        """A set, a tuple or an interval; what merely begins with a bracket is an expression."""
        start = self.at
        for left in ("(", "[", "⟨"):
            if not self.take(left):
                continue
            try:
                found = self.collection(left)
            except Unreadable:
                found = None
            if found is not None and self.value in ("", ",", "U", "=", ";"):
                return found
            self.at = start
            break
        return self.sum()

    def collection(self, left: str) -> Any:
        if left == "⟨" and self.take("⟩"):
            return ("set", ())
        parts = [self.united()]
        while self.take(","):
            parts.append(self.united())
        for right in (")", "]", "⟩"):
            if self.take(right):
                break
        else:
            return None
        if left == "⟨" and right == "⟩":
            return ("set", tuple(parts))
        if len(parts) < 2 or "⟨" in (left, right):
            return None
        return (left + right, tuple(parts))


def _is_name(value: Any) -> bool:
    return getattr(value, "is_Symbol", False) or (
        getattr(value, "is_Mul", False) and all(part.is_Symbol for part in value.args)
    )
