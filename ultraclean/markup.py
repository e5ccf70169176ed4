"""YAML 1.2 with positions: scalars of the core schema, no duplicate keys, a line for every value.

PyYAML reads the syntax; its YAML 1.1 scalars (`no` is false, `1e9` is text) are not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ultraclean.errors import PipelineError, Problem

Path = tuple[str | int, ...]

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")


@dataclass
class Markup:
    """A parsed file: plain values, and the line on which each value (or its key) stands."""

    name: str
    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: Path) -> str:
        """`file:line` of a value, or of the nearest enclosing one that has a line."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"


def parse(text: str, name: str) -> Markup:
    """The values and lines of one YAML document; bad syntax raises PipelineError with file:line."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PipelineError.one(f"{name}:{line}", f"not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise PipelineError.one(f"{name}:1", f"not YAML: {error}") from None
    markup = Markup(name, None)
    if node is not None:
        markup.value = _value(node, (), markup)
    return markup


def parse_scalar(text: str) -> Any:
    """The value of one scalar or flow collection, as on a command line: `30`, `[en, de]`, `text`."""
    return parse(text, "--set").value


def _value(node: yaml.Node, path: Path, markup: Markup) -> Any:
    markup.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return _plain(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), markup) for index, item in enumerate(node.value)]
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = key_node.start_mark.line + 1
        if key in values:
            first = markup.lines[(*path, key)]
            message = f"the key {key!r} stands twice, first on line {first}"
            markup.problems.append(Problem(f"{markup.name}:{line}", message))
            continue
        markup.lines[(*path, key)] = line
        values[key] = _value(value_node, (*path, key), markup)
    return values


def _plain(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(f"{infinite[1]}inf")
    if _NAN.fullmatch(text):
        return float("nan")
    return text


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quotes text that our own reader, or a YAML 1.1 reader, would take for something else."""
    style = None if isinstance(_plain(text), str) else "'"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\ufeff" for c in text):
        style = '"'  # the only style in which such characters are written as escapes
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """Block-style YAML that `parse` reads back to the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
