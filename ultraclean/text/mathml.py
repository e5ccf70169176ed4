"""MathML to LaTeX: the elements of presentation markup that pages use.

`annotation` of LaTeX and `alttext` are better where a page has them; see `formulas`. Elements that
say nothing (`mstyle`, `mpadded`, unknown ones) give what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

DEEPEST: Final = 100
"""Elements nested deeper are taken as if they were siblings."""

_COMMANDS: Final = [
    "α",
    "alpha",
    "β",
    "beta",
    "γ",
    "gamma",
    "δ",
    "delta",
    "ε",
    "varepsilon",
    "ϵ",
    "epsilon",
    "ζ",
    "zeta",
    "η",
    "eta",
    "θ",
    "theta",
    "ϑ",
    "vartheta",
    "ι",
    "iota",
    "κ",
    "kappa",
    "λ",
    "lambda",
    "μ",
    "mu",
    "µ",
    "mu",
    "ν",
    "nu",
    "ξ",
    "xi",
    "π",
    "pi",
    "ϖ",
    "varpi",
    "ρ",
    "rho",
    "ϱ",
    "varrho",
    "σ",
    "sigma",
    "ς",
    "varsigma",
    "τ",
    "tau",
    "υ",
    "upsilon",
    "φ",
    "varphi",
    "ϕ",
    "phi",
    "χ",
    "chi",
    "ψ",
    "psi",
    "ω",
    "omega",
    "Γ",
    "Gamma",
    "Δ",
    "Delta",
    "∆",
    "Delta",
    "Θ",
    "Theta",
    "Λ",
    "Lambda",
    "Ξ",
    "Xi",
    "Π",
    "Pi",
    "Σ",
    "Sigma",
    "Υ",
    "Upsilon",
    "Φ",
    "Phi",
    "Ψ",
    "Psi",
    "Ω",
    "Omega",
    "±",
    "pm",
    "∓",
    "mp",
    "×",
    "times",
    "÷",
    "div",
    "⋅",
    "cdot",
    "·",
    "cdot",
    "∗",
    "ast",
    "∘",
    "circ",
    "•",
    "bullet",
    "⊕",
    "oplus",
    "⊗",
    "otimes",
    "⊖",
    "ominus",
    "⊙",
    "odot",
    "†",
    "dagger",
    "≤",
    "leq",
    "≥",
    "geq",
    "≠",
    "neq",
    "≈",
    "approx",
    "≡",
    "equiv",
    "∼",
    "sim",
    "≃",
    "simeq",
    "≅",
    "cong",
    "∝",
    "propto",
    "≪",
    "ll",
    "≫",
    "gg",
    "≺",
    "prec",
    "≻",
    "succ",
    "⩽",
    "leqslant",
    "⩾",
    "geqslant",
    "∈",
    "in",
    "∉",
    "notin",
    "∋",
    "ni",
    "⊂",
    "subset",
    "⊆",
    "subseteq",
    "⊃",
    "supset",
    "⊇",
    "supseteq",
    "∪",
    "cup",
    "∩",
    "cap",
    "∖",
    "setminus",
    "∅",
    "emptyset",
    "∀",
    "forall",
    "∃",
    "exists",
    "∄",
    "nexists",
    "¬",
    "neg",
    "∧",
    "wedge",
    "∨",
    "vee",
    "⊢",
    "vdash",
    "⊨",
    "models",
    "⊤",
    "top",
    "⊥",
    "perp",
    "∥",
    "parallel",
    "∠",
    "angle",
    "→",
    "to",
    "←",
    "leftarrow",
    "↔",
    "leftrightarrow",
    "⇒",
    "Rightarrow",
    "⇐",
    "Leftarrow",
    "⇔",
    "Leftrightarrow",
    "↦",
    "mapsto",
    "⟶",
    "longrightarrow",
    "⟹",
    "implies",
    "⟺",
    "iff",
    "↑",
    "uparrow",
    "↓",
    "downarrow",
    "↪",
    "hookrightarrow",
    "⇀",
    "rightharpoonup",
    "∞",
    "infty",
    "∂",
    "partial",
    "∇",
    "nabla",
    "∫",
    "int",
    "∬",
    "iint",
    "∭",
    "iiint",
    "∮",
    "oint",
    "∑",
    "sum",
    "∏",
    "prod",
    "∐",
    "coprod",
    "⋃",
    "bigcup",
    "⋂",
    "bigcap",
    "⋁",
    "bigvee",
    "⋀",
    "bigwedge",
    "⨁",
    "bigoplus",
    "⨂",
    "bigotimes",
    "√",
    "surd",
    "ℝ",
    "mathbb{R}",
    "ℕ",
    "mathbb{N}",
    "ℤ",
    "mathbb{Z}",
    "ℚ",
    "mathbb{Q}",
    "ℂ",
    "mathbb{C}",
    "ℙ",
    "mathbb{P}",
    "ℏ",
    "hbar",
    "ℓ",
    "ell",
    "ℜ",
    "Re",
    "ℑ",
    "Im",
    "ℵ",
    "aleph",
    "⟨",
    "langle",
    "⟩",
    "rangle",
    "⌊",
    "lfloor",
    "⌋",
    "rfloor",
    "⌈",
    "lceil",
    "⌉",
    "rceil",
    "‖",
    "Vert",
    "∣",
    "mid",
    "…",
    "ldots",
    "⋯",
    "cdots",
    "⋮",
    "vdots",
    "⋱",
    "ddots",
    "′",
    "prime",
    "″",
    "prime\\prime",
    "□",
    "square",
    "∎",
    "blacksquare",
    "△",
    "triangle",
    "⋆",
    "star",
    "°",
    "circ",
    "∶",
    "colon",
    "≔",
    "coloneqq",
    "≜",
    "triangleq",
    "∔",
    "dotplus",
]
SYMBOLS: Final = {
    **{symbol: "\\" + name for symbol, name in zip(_COMMANDS[::2], _COMMANDS[1::2], strict=True)},
    **{"−": "-", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u00a0": " "},
    **{"{": r"\{", "}": r"\}", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$", "_": r"\_"},
}
FUNCTIONS: Final = frozenset(
    [
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
        "log",
        "ln",
        "lg",
        "exp",
        "lim",
        "limsup",
        "liminf",
        "max",
        "min",
        "sup",
        "inf",
        "det",
        "dim",
        "ker",
        "gcd",
        "deg",
        "arg",
        "hom",
        "Pr",
    ]
)
ACCENTS: Final = {
    **{"¯": "bar", "‾": "overline", "_": "underline", "^": "hat", "ˆ": "hat", "~": "tilde"},
    **{"˜": "tilde", "→": "vec", "⃗": "vec", "˙": "dot", "¨": "ddot", "ˇ": "check", "˘": "breve"},
    **{"⏞": "overbrace", "⏟": "underbrace", "̂": "hat", "̃": "tilde", "̄": "bar", "∼": "tilde"},
}
_VARIANTS: Final = {
    **{"bold": "mathbf", "double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak"},
    **{
        "normal": "mathrm",
        "sans-serif": "mathsf",
        "monospace": "mathtt",
        "bold-italic": "boldsymbol",
    },
}


@dataclass
class Element:
    """An element of the markup; `text` is what stands directly in it."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""


class _Tree(HTMLParser):
    """Builds elements, and knows no wrong markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("math", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag.rpartition(":")[2], {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if len(self.open) < DEEPEST:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag.rpartition(":")[2], {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)

    def handle_endtag(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        for level in range(len(self.open) - 1, 0, -1):
            if self.open[level].name == name:
                del self.open[level:]
                return

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def parse(markup: str) -> Element:
    """The tree of a fragment, under an element of its own."""
    tree = _Tree()
    tree.feed(markup)
    tree.close()
    return tree.root


def find(element: Element, name: str) -> Element | None:
    """The first element of that name, in the order of the page."""
    if element.name == name:
        return element
    return next((hit for child in element.children if (hit := find(child, name))), None)


def latex(element: Element) -> str:
    """The LaTeX of an element and all that is in it."""
    make = _ELEMENTS.get(element.name, _row)
    return make(element)


def _row(element: Element) -> str:
    return _joined([latex(child) for child in element.children])


def _joined(parts: list[str]) -> str:
    """A space where a command's name would run into a letter."""
    out = ""
    for part in parts:
        name = out[out.rfind("\\") + 1 :]
        runs_on = "\\" in out and name.isalpha() and name.isascii()
        out += " " + part if part and part[0].isalpha() and runs_on else part
    return out


def _symbols(text: str) -> str:
    return _joined([SYMBOLS.get(letter, letter) for letter in " ".join(text.split())])


def _identifier(element: Element) -> str:
    text = " ".join(element.text.split())
    if text in FUNCTIONS:
        return "\\" + text
    shown = _symbols(text)
    variant = _VARIANTS.get(element.attributes.get("mathvariant", ""))
    if variant and (variant != "mathrm" or len(text) > 1):
        return f"\\{variant}{{{shown}}}"
    return f"\\mathrm{{{shown}}}" if len(text) > 1 and text.isalpha() and text.isascii() else shown


def _operator(element: Element) -> str:
    text = " ".join(element.text.split())
    if text in FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isalpha():
        return f"\\operatorname{{{text}}}"
    return _symbols(text)


def _text(element: Element) -> str:
    text = " ".join(element.text.replace("\u00a0", " ").split(" "))
    inner = "".join(latex(child) for child in element.children)
    return (f"\\text{{{text}}}" if text.strip() else " " if text else "") + inner


def _arguments(element: Element, n: int) -> list[str]:
    found = [latex(child) for child in element.children[:n]]
    return found + [""] * (n - len(found))


def _fraction(element: Element) -> str:
    over, under = _arguments(element, 2)
    command = "binom" if element.attributes.get("linethickness") in {"0", "0px"} else "frac"
    return f"\\{command}{{{over}}}{{{under}}}"


def _root(element: Element) -> str:
    base, degree = _arguments(element, 2)
    return f"\\sqrt[{degree}]{{{base}}}"


def _base(text: str) -> str:
    """Braces where a script would otherwise belong to the last letter alone."""
    one = len(text) <= 1 or (text[0] == "\\" and text[1:].isalpha())
    return text if one or (text.startswith("\\math") and text.endswith("}")) else f"{{{text}}}"


def _script(marks: str) -> Callable[[Element], str]:
    def make(element: Element) -> str:
        base, *scripts = _arguments(element, 1 + len(marks))
        primes = {"\\prime": "'", "\\prime\\prime": "''"}
        if marks == "^" and scripts[0] in primes:
            return base + primes[scripts[0]]
        found = zip(marks, scripts, strict=True)
        return _base(base) + "".join(f"{mark}{{{script}}}" for mark, script in found if script)

    return make


def _over(element: Element) -> str:
    base, mark = _arguments(element, 2)
    if len(element.children) > 1:
        accent = ACCENTS.get(element.children[1].text.strip())
        if accent:
            wide = {"hat": "widehat", "tilde": "widetilde", "bar": "overline"}
            name = wide.get(accent, accent) if len(element.children[0].children) > 1 else accent
            return f"\\{name}{{{base}}}"
    return f"{base}^{{{mark}}}" if _is_big(base) else f"\\overset{{{mark}}}{{{base}}}"


def _under(element: Element) -> str:
    base, mark = _arguments(element, 2)
    if len(element.children) > 1 and ACCENTS.get(element.children[1].text.strip()) in {
        "underbrace",
        "underline",
    }:
        return f"\\{ACCENTS[element.children[1].text.strip()]}{{{base}}}"
    return f"{base}_{{{mark}}}" if _is_big(base) else f"\\underset{{{mark}}}{{{base}}}"


def _under_over(element: Element) -> str:
    base, low, high = _arguments(element, 3)
    return f"{base if _is_big(base) else _base(base)}_{{{low}}}^{{{high}}}"


def _is_big(base: str) -> bool:
    names = "sum prod coprod int iint iiint oint bigcup bigcap bigvee bigwedge bigoplus bigotimes"
    return base.strip().lstrip("\\") in {*names.split(), *FUNCTIONS}


def _scripts_around(element: Element) -> str:
    before: list[str] = []
    after: list[str] = []
    seen = False
    rest = element.children[1:]
    for child in rest:
        if child.name == "mprescripts":
            seen = True
        else:
            (before if seen else after).append("" if child.name == "none" else latex(child))

    def marks(values: list[str]) -> str:
        return "".join(
            f"{'_^'[place % 2]}{{{value}}}" for place, value in enumerate(values) if value
        )

    base = latex(element.children[0]) if element.children else ""
    return ("{}" + marks(before) if before else "") + _base(base) + marks(after)


def _fenced(element: Element) -> str:
    opening = _symbols(element.attributes.get("open", "(")) or "."
    closing = _symbols(element.attributes.get("close", ")")) or "."
    marks = element.attributes.get("separators", ",").split() or [""]
    out = ""
    for place, child in enumerate(element.children):
        out += (marks[min(place - 1, len(marks) - 1)] if place else "") + latex(child)
    return f"\\left{opening}{out}\\right{closing}"


def _table(element: Element) -> str:
    rows = [row for row in element.children if row.name in {"mtr", "mlabeledtr"}]
    lines = [
        " & ".join(latex(cell) for cell in row.children[row.name == "mlabeledtr" :]) for row in rows
    ]
    return "\\begin{matrix}" + r" \\ ".join(lines) + "\\end{matrix}"


def _semantics(element: Element) -> str:
    return latex(element.children[0]) if element.children else ""


_ELEMENTS: Final[dict[str, Callable[[Element], str]]] = {
    "mi": _identifier,
    "mn": lambda element: _symbols(element.text),
    "mo": _operator,
    "mtext": _text,
    "ms": _text,
    "mspace": lambda element: " ",
    "mphantom": lambda element: "",
    "annotation": lambda element: "",
    "annotation-xml": lambda element: "",
    "mfrac": _fraction,
    "msqrt": lambda element: f"\\sqrt{{{_row(element)}}}",
    "mroot": _root,
    "msub": _script("_"),
    "msup": _script("^"),
    "msubsup": _script("_^"),
    "mover": _over,
    "munder": _under,
    "munderover": _under_over,
    "mmultiscripts": _scripts_around,
    "mfenced": _fenced,
    "mtable": _table,
    "semantics": _semantics,
}
