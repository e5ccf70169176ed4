"""Expressions by recursive descent: sums, products, powers, functions. No evaluation of code."""

from __future__ import annotations

from typing import Any, Final

from ultrachat.checks.maths.tokens import Unreadable

MAX_DEPTH: Final = 40
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


class Expressions:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        import sympy  # type: ignore[import-untyped]

        self.sympy = sympy
        self.tokens = [*tokens, ("end", "")]
        self.at = 0
        self.depth = 0

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
