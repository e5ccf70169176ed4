"""HTML that is escaped by construction: a child that is not `Html` is text."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final

VOID: Final = frozenset({"br", "hr", "meta", "wbr"})
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f]")
_FORBIDDEN: Final = re.compile("[\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """A string that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Anything as text: escaped, control characters shown as their pictures (U+2400 on)."""
    if isinstance(value, Html):
        return value
    shown = str(value).replace("\r\n", "\n")
    shown = _CONTROL.sub(lambda found: chr(0x2400 + ord(found[0])), shown)
    return Html(html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", shown)))


def el(name: str, *children: object, **attributes: object) -> Html:
    """An element. `class_` is `class`, `data_x` is `data-x`; None is left out, True has no value."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{shown}>")
    inside = "".join(text(child) for child in children if child is not None)
    return Html(f"<{name}{shown}>{inside}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other."""
    return Html(text(between).join(text(part) for part in parts if part is not None))


def data_block(name: str, value: Any) -> Html:
    """JSON that scripts and programs can read; `<` is escaped, so no text can end the element."""
    content = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    content = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", content)
    for mark in "<>&\u2028\u2029":
        content = content.replace(mark, f"\\u{ord(mark):04x}")
    return Html(f'<script type="application/json" id="{text(name)}">{content}</script>')


def _finite(value: Any) -> Any:
    """JSON has no word for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- numbers ------------------------------------------------------------------------------------


def count(n: float) -> str:
    """12,345"""
    return f"{n:,.0f}"


def share(part: float, whole: float) -> str:
    """12.3%; what is small is not shown as nothing, nor what is nearly all as all."""
    if not whole:
        return "–"
    ratio = part / whole
    if 0 < ratio < 0.0005:
        return "<0.1%"
    if 0.9995 <= ratio < 1:
        return ">99.9%"
    return f"{ratio:.1%}"


def number(value: float | None, digits: int = 3) -> str:
    """A measured value: whole numbers whole, others with `digits` significant digits."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 1e15:
        shown = f"{value:.3g}"
    elif value == round(value) or abs(value) >= 1000:
        shown = f"{value:,.0f}"
    elif abs(value) >= 1e-4:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        shown = f"{value:.{decimals}f}"
        shown = shown.rstrip("0").rstrip(".")
    else:
        shown = f"{value:.{digits - 1}g}"
    return shown.replace("-", "−")


def apart(value: float, other: float) -> tuple[str, str]:
    """Two values with as many digits as it takes to see that they differ."""
    for digits in range(3, 10):
        shown = number(value, digits), number(other, digits)
        if shown[0] != shown[1] or value == other:
            return shown if digits < 9 else (number(value), number(other))
    return number(value), number(other)


def seconds(value: float) -> str:
    """0.04 s, 12.3 s, 4 min 05 s, 3 h 12 min"""
    if value < 0.1:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)} h {minutes:02d} min"


def size(n_bytes: float) -> str:
    """12.3 MB: powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"
