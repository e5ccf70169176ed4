r"""Mathematical notation, LaTeX or plain, to SymPy, by recursive descent and nothing else.

Understood: numbers with thousands separators, fractions, powers, roots, the elementary functions,
pi, e, i, infinity, letters, implicit multiplication, percent, degrees, units and currency (left
out), tuples, sets, intervals, unions, lists, equations `x = ...`, plus-minus, mixed numbers.
Whatever would take long to evaluate is refused, as is all else: `Unreadable`.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_CHARS: Final = 400
MAX_DEPTH: Final = 40


class Unreadable(ValueError):
    """It is no notation that this parser knows."""


_GREEK: Final = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "theta",
    "lambda",
    "mu",
    "phi",
    "omega",
    "epsilon",
    "rho",
    "sigma",
    "tau",
]
_FUNCTIONS: Final = [
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "ln",
    "log",
    "exp",
    "sqrt",
    "abs",
]
_REPLACED: Final = (
    (r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits|,|;|:|!|quad|qquad)(?![A-Za-z])", " "),
    (r"\\[dt]frac", r"\\frac"),
    (r"\\(?:text|mathrm|mbox|textbf|mathbf|operatorname|textit)\s*\{([^{}]*)\}", r" @\1@ "),
    (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°|\\degree", " @degrees@ "),
    (r"\\(?:cdot|times|ast)|[×·∗]|\*\*(?=\s*$)", "*"),
    (r"\*\*", "^"),
    (r"\\div|÷", "/"),
    (r"\\%|％", "%"),
    (r"\\?[$€£¥￥]", " "),
    (r"\\infty|∞", " infinity "),
    (r"\\pi(?![A-Za-z])|π", " pi "),
    (r"\\pm|±", " pm "),
    (r"\\cup|∪", " U "),
    (r"\\(?:le|leq)(?![A-Za-z])|≤", "<="),
    (r"\\(?:ge|geq)(?![A-Za-z])|≥", ">="),
    (r"\\in(?![A-Za-z])|∈", "="),
    (r"√\s*(\d+)", r" sqrt(\1) "),
    (r"√", " sqrt "),
    (r"\\\{", "⟨"),
    (r"\\\}", "⟩"),
    (r"[−–—]", "-"),
    (r"[，]", ","),
    (r"[（]", "("),
    (r"[）]", ")"),
    (r"\\ ", " "),
    (r"~", " "),
)  # fmt: skip
_UNITS: Final = (
    r"@[^@]*@|(?<=\d)\s*(?:dollars?|cents?|euros?|yuan|hours?|minutes?|mins?|seconds?|secs?|days?|weeks?|"
    r"months?|years?|meters?|metres?|miles?|feet|foot|inch(?:es)?|pounds?|lbs?|kilograms?|grams?|"
    r"liters?|litres?|gallons?|people|apples?|degrees?|units?|points?|times|cm|mm|km|kg|mph|ml|"
    r"square|cubic|per|元|个|米|千克|公斤|小时|分钟|秒|天|年|岁|人|厘米|千米|平方米|度|只|本|块)(?![A-Za-z])"
)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d*\.\d+|\d+\.?)|(?P<command>\\[A-Za-z]+)"
    r"|(?P<word>[A-Za-z]+)|(?P<sign><=|>=|[-+*/^_!%(){}\[\],=<>|;⟨⟩]))"
)


def parse(text: str) -> Any:
    """A SymPy expression, or a tuple `(kind, parts)` for sets, tuples, intervals and the like."""
    if len(text) > MAX_CHARS:
        raise Unreadable(f"{len(text)} characters")
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    text = text.strip().strip("`").rstrip(".。").strip()
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    for _ in range(6):  # units may follow each other: dollars per hour
        text, n_found = re.subn(_UNITS, " ", text)
        if not n_found:
            break
    tokens = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise Unreadable(f"{text[at : at + 10]!r}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    if not tokens:
        raise Unreadable("nothing")
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        import sympy  # type: ignore[import-untyped]

        self.sympy = sympy
        self.tokens = [*tokens, ("end", "")]
        self.at = 0
        self.depth = 0

    def whole(self) -> Any:
        value = self.listed()
        if self.kind != "end":
            raise Unreadable(f"then {self.value!r}")
        return value

    # --- tokens ---------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def value(self) -> str:
        return self.tokens[self.at][1]

    def take(self, value: str) -> bool:
        found = self.kind != "end" and self.value == value
        self.at += found
        return found

    def expect(self, value: str) -> None:
        if not self.take(value):
            raise Unreadable(f"{self.value!r} where {value!r} was expected")

    # --- lists, sets, intervals, equations ------------------------------------------------------

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

    # --- expressions ----------------------------------------------------------------------------

    def sum(self) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        sign = -1 if self.take("-") else 1
        self.take("+")
        total = sign * self.product()
        while True:
            if self.take("+"):
                total = total + self.product()
            elif self.take("-"):
                total = total - self.product()
            elif self.take("pm"):
                part = self.product()
                self.depth -= 1
                return ("set", (total + part, total - part))
            else:
                self.depth -= 1
                return total

    def product(self) -> Any:
        total = self.power()
        while True:
            if self.take("*"):
                total = total * self.signed_power()
            elif self.take("/"):
                divisor = self.signed_power()
                if divisor == 0:
                    raise Unreadable("a division by zero")
                total = total / divisor
            elif self.take("%"):
                total = total / 100
            elif self.follows_without_sign():
                total = total * self.power()
            else:
                return total

    def follows_without_sign(self) -> bool:
        if self.kind == "number":
            return self.tokens[self.at - 1][0] != "number"
        if self.kind == "command":
            return True
        return (self.kind == "word" and self.value not in ("U", "pm", "and", "or")) or (
            self.kind == "sign" and self.value == "("
        )

    def signed_power(self) -> Any:
        return -self.power() if self.take("-") else self.power()

    def power(self) -> Any:
        base = self.factorial()
        if not self.take("^"):
            return base
        exponent = self.group() if self.value == "{" else self.signed_power()
        return self.raised(base, exponent)

    def factorial(self) -> Any:
        value = self.atom()
        while self.take("!"):
            if not (value.is_Integer and 0 <= value <= 1000):
                raise Unreadable("a factorial that is too large")
            value = self.sympy.factorial(value)
        return value

    def raised(self, base: Any, exponent: Any) -> Any:
        size = abs(complex(self.sympy.N(exponent, 8))) if exponent.is_number else 0.0
        if size > 1000:
            raise Unreadable("a power that is too large")
        if base.is_number and exponent.is_number:
            digits = float(self.sympy.log(abs(base) + 2).evalf(8)) if base.is_finite else 1.0
            if size * digits > 5000:
                raise Unreadable("a power that is too large")
            if base == 0 and exponent.is_negative:
                raise Unreadable("a division by zero")
        return base**exponent

    def group(self) -> Any:
        """`{...}`, or the one digit or letter of `\\frac12`."""
        if self.take("{"):
            value = self.sum()
            self.expect("}")
            return value
        if self.kind == "number" and len(self.value) > 1:
            digits = self.value
            self.tokens[self.at] = ("number", digits[1:])
            return self.sympy.Integer(int(digits[0]))
        return self.atom()

    def atom(self) -> Any:
        kind, value = self.kind, self.value
        if kind == "number":
            self.at += 1
            return self.number(value)
        if self.take("("):
            inner = self.sum()
            self.expect(")")
            return inner
        if self.take("{"):
            inner = self.sum()
            self.expect("}")
            return inner
        if self.take("["):
            inner = self.sum()
            self.expect("]")
            return inner
        if self.take("|"):
            inner = self.sum()
            self.expect("|")
            return self.sympy.Abs(inner)
        if kind in ("command", "word"):
            self.at += 1
            return self.named(value.lstrip("\\"))
        raise Unreadable(f"{value!r}" if value else "it ends too early")

    def number(self, text: str) -> Any:
        value = self.sympy.Rational(text.replace(",", "").rstrip("."))
        # 3 \frac{1}{2} is three and a half.
        whole = value.is_Integer and self.kind == "command" and self.value == "\\frac"
        if whole and self.tokens[self.at - 2][1] not in ("^", "_", "/"):
            self.at += 1
            return value + self.fraction()
        return value

    def fraction(self) -> Any:
        above = self.group()
        below = self.group()
        if below == 0:
            raise Unreadable("a division by zero")
        return above / below

    def named(self, name: str) -> Any:
        sympy = self.sympy
        if name in ("frac", "cfrac"):
            return self.fraction()
        if name == "sqrt" and self.take("["):
            degree = self.sum()
            self.expect("]")
            return self.raised(self.group(), 1 / degree)
        if name in ("log", "ln") and self.take("_"):
            base = self.group()
            return sympy.log(self.argument()) / sympy.log(base)
        if name in _FUNCTIONS:
            return self.function(name)
        constants = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}
        if name in constants:
            return constants[name]
        if name in _GREEK or len(name) == 1:
            if self.take("_"):
                name += f"_{self.group()}"
            return sympy.Symbol(name)
        if name.isalpha() and len(name) <= 3:  # xy is x times y
            letters = [constants.get(letter, sympy.Symbol(letter)) for letter in name]
            return sympy.Mul(*letters)
        raise Unreadable(name)

    def function(self, name: str) -> Any:
        sympy = self.sympy
        exponent = None
        if self.take("^"):
            exponent = self.group() if self.value == "{" else self.signed_power()
        argument = self.argument()
        inverse = name.startswith("arc")
        known = {"abs": sympy.Abs, "ln": sympy.log, "arcsin": sympy.asin, "arccos": sympy.acos}
        known["arctan"] = sympy.atan
        if exponent == -1 and name in ("sin", "cos", "tan"):
            inverse, exponent = True, None
            known |= {"sin": sympy.asin, "cos": sympy.acos, "tan": sympy.atan}
        if name == "exp":
            return self.raised(sympy.E, argument)
        if name in ("log", "ln", "sqrt") and not inverse and argument == 0 and name != "sqrt":
            raise Unreadable("the logarithm of zero")
        value = (known[name] if name in known else getattr(sympy, name))(argument)
        return value if exponent is None else self.raised(value, exponent)

    def argument(self) -> Any:
        """What a function is applied to: a bracket, a group, or the factors that follow."""
        if self.value in ("(", "{", "["):
            return self.group() if self.value == "{" else self.atom()
        value = self.power()
        while self.kind in ("number", "word") and self.value not in (
            *_FUNCTIONS,
            "U",
            "pm",
            "and",
            "or",
        ):
            value = value * self.power()
        return value


def _is_name(value: Any) -> bool:
    return getattr(value, "is_Symbol", False) or (
        getattr(value, "is_Mul", False) and all(part.is_Symbol for part in value.args)
    )
