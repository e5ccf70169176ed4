"""Whether a program in another language has the shape that was asked for, and what Python imports.

For Python the syntax tree decides: it parses, defines the functions with their parameters, imports
nothing outside the standard library, asks nobody anything. For other languages, of which no parser
is at hand, only shape is checked: brackets and strings close, the named functions are defined, and
it is not still the old language. A table in the docs says how much that catches.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from typing import Final

from ultrachat.checks.verdict import PASS, Verdict

_DEFINES: Final = {
    "java": r"\b[\w<>\[\], ]+\s+{name}\s*\([^;{{]*\)\s*(?:throws [\w, ]+)?\{{",
    "cpp": r"\b[\w:<>*&, ]+\s+[*&]?{name}\s*\([^;{{]*\)\s*(?:const)?\s*(?:noexcept)?\s*\{{",
    "rust": r"\bfn\s+{name}\s*(?:<[^>]*>)?\s*\(",
    "go": r"\bfunc\s+(?:\([^)]*\)\s*)?{name}\s*(?:\[[^\]]*\])?\(",
    "javascript": r"\bfunction\s*\*?\s*{name}\s*\(|\b{name}\s*[=:]\s*(?:async\s*)?(?:function|\([^)]*\)\s*=>|\w+\s*=>)",
}
_COMMENT_OR_STRING: Final = (
    r"//[^\n]*|/\*.*?\*/|\"\"\".*?\"\"\"|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`"
    r"|'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^'\\\n])'"
)
# Only JavaScript has strings in single quotes; in Rust one quote begins a lifetime.
_LONG_SINGLE: Final = r"|'(?:\\.|[^'\\\n])*'"
_PYTHON_SIGNS: Final = re.compile(
    r"^\s*(?:def \w+\(.*\).*:|elif .*:|from \w+ import|import \w+)\s*$", re.MULTILINE
)
LANGUAGES: Final = ("python", *_DEFINES)


def check_python(
    source: str,
    functions: Mapping[str, int | None] | None = None,
    *,
    only_standard_library: bool = True,
    interactive: bool = False,
) -> Verdict:
    """A Python program: `functions` are names with their number of parameters (None: any).

    Reasons: syntax, lacks_function, parameters, imports, interactive.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Verdict("syntax", str(error))
    defined = {
        node.name: node.args
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name, count in (functions or {}).items():
        if name not in defined:
            return Verdict("lacks_function", name)
        if count is not None and not _takes(defined[name], count):
            return Verdict("parameters", f"{name} cannot be called with {count}")
    foreign = sorted(imported(tree) - sys.stdlib_module_names)
    if only_standard_library and foreign:
        return Verdict("imports", ", ".join(foreign))
    asks = next((node for node in ast.walk(tree) if _asks(node)), None)
    if asks is not None and not interactive:
        return Verdict("interactive", f"line {getattr(asks, 'lineno', 0)}")
    return PASS


def _takes(arguments: ast.arguments, count: int) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    least = positional - len(arguments.defaults)
    unset = sum(default is None for default in arguments.kw_defaults)
    return least <= count and (count <= positional or arguments.vararg is not None) and not unset


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of the modules that a program imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _asks(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return called in ("input", "getpass.getpass", "breakpoint", "raw_input")


def check_translation(source: str, language: str, functions: tuple[str, ...] = ()) -> Verdict:
    """A program in another language; reasons: empty, syntax, lacks_function, wrong_language."""
    if language == "python":
        return check_python(source, dict.fromkeys(functions))
    if language not in _DEFINES:
        raise ValueError(f"no shape of {language!r} is known, only of {', '.join(LANGUAGES)}")
    if not source.strip():
        return Verdict("empty")
    pattern = _COMMENT_OR_STRING + _LONG_SINGLE * (language == "javascript")
    bare = re.sub(pattern, " ", source, flags=re.DOTALL)
    if '"' in bare or "/*" in bare or "`" in bare:
        return Verdict("syntax", "a string or comment that does not end")
    wrong = _unbalanced(bare)
    if wrong:
        return Verdict("syntax", wrong)
    if _PYTHON_SIGNS.search(bare):
        return Verdict("wrong_language", "it is Python")
    for name in functions:
        if not re.search(_DEFINES[language].format(name=re.escape(name)), bare):
            return Verdict("lacks_function", name)
    return PASS


def _unbalanced(source: str) -> str | None:
    pairs = {")": "(", "]": "[", "}": "{"}
    stack: list[tuple[str, int]] = []
    for line, text in enumerate(source.split("\n"), 1):
        for char in text:
            if char in "([{":
                stack.append((char, line))
            elif char in pairs and (not stack or stack.pop()[0] != pairs[char]):
                return f"line {line}: {char!r} closes nothing"
    return f"line {stack[-1][1]}: {stack[-1][0]!r} is not closed" if stack else None
