"""Puts the formulas of a page into its text, as LaTeX between dollar signs, before it is extracted.

Extractors drop or garble rendered formulas. Here MathML (its LaTeX annotation, its `alttext`, or a
conversion), KaTeX, MathJax 2 and 3 and pictures of formulas (Wikipedia, WordPress, Sphinx) become `$...$`,
or `$$...$$` where they stand on a line of their own. Formulas that are written out in the page
(`\\(...\\)`, `$...$`) stay as they are. As in UltraData-Math's L0, without its use of XSLT.
"""

from __future__ import annotations

import html
import re
from typing import Final
from urllib.parse import unquote_plus

from ultraclean.text import mathml

MARKERS: Final = (
    "<math",
    "<mml:math",
    "math/tex",
    "katex",
    "MathJax",
    "mjx-",
    "latex",
    "mwe-math",
    'class="tex"',
    'class="math',
)
_START: Final = re.compile(
    r"<(?:(?P<math>(?:mml:)?math)\b[^<>]*>"
    r"|(?P<container>mjx-container)\b[^<>]*>"
    r"|(?P<span>span|div|nobr)\b[^<>]*\bclass=[\"']?(?:[^\"'<>]*\s)?(?:katex(?:-display)?|mwe-math-element"
    r"|MathJax(?:_Preview|_Display|_CHTML|_SVG(?:_Display)?|CHTML_Display)?|mjx-chtml|MJXp-math)[\"'\s>][^<>]*>"
    r"|(?P<script>script)\b[^<>]*\btype=[\"']?math/(?:tex|latex|mml)[^<>]*>"
    r"|(?P<image>img)\b[^<>]*(?:class=[\"'][^\"'<>]*(?:latex|\btex\b|mwe-math|\bmath)|latex(?:\.php|\.codecogs|render))"
    r"[^<>]*>)",
    re.IGNORECASE,
)
_ANNOTATION: Final = re.compile(
    r"<annotation\b[^>]*encoding=[\"']?(?:application/x-tex|TeX|LaTeX|application/x-latex)\b[^>]*>(.*?)</annotation",
    re.IGNORECASE | re.DOTALL,
)
_MATH: Final = re.compile(r"<((?:mml:)?math)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_ALT: Final = re.compile(r"\b(?:alttext|alt)=(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_DATA: Final = re.compile(r"\bdata-mathml=(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_DISPLAY: Final = re.compile(
    r"display=[\"']?(?:block|true)|mode=display|katex-display|_Display|displaymath|fallback-image-display",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(r"<div\b[^<>]*class=\"math[^<>]*>\s*(?:<p>)?\s*$", re.IGNORECASE)
"""Behind this, a picture of a formula is on a line of its own (Sphinx)."""
_QUERY: Final = re.compile(
    r"\bsrc=[\"']?[^\"'\s>]*?(?:\?|latex=|tex=)(?:latex=|tex=)?([^\"'\s>&]+)"
)
_STYLE: Final = re.compile(r"^\{?\\(displaystyle|textstyle|scriptstyle)\b\s*")
LARGEST: Final = 200_000
"""Characters that a formula's markup may have."""


def with_formulas(page: str) -> str:
    """The page with its formulas as text; the page itself where it has none."""
    if not any(marker in page for marker in MARKERS):
        return page
    out, at = [], 0
    has_scripts = "math/tex" in page
    unended: set[str] = set()
    for found in _START.finditer(page):
        if found.start() < at:
            continue
        name = str(found.group(found.lastgroup or 0)).lower()
        stop = found.end() if name == "img" else _end(page, found.end(), name, unended)
        if stop is None:
            continue
        whole = page[found.start() : stop]
        formula = _formula(
            found, whole, page[max(0, found.start() - 200) : found.start()], has_scripts
        )
        if formula is None:
            continue
        out += [page[at : found.start()], formula]
        at = stop
    return "".join([*out, page[at:]])


def _end(page: str, at: int, name: str, unended: set[str]) -> int | None:
    """Behind the end tag of an element whose start tag ends at `at`."""
    if name in unended:
        return None
    depth = 1
    for tag in re.compile(rf"<(/?){name}\b[^>]*>", re.IGNORECASE).finditer(
        page, at, min(len(page), at + LARGEST)
    ):
        if not tag[0].endswith("/>"):
            depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    unended.add(name)
    return None


def _formula(found: re.Match[str], whole: str, before: str, has_scripts: bool) -> str | None:
    """What stands for an element in the text; None leaves it as it is."""
    kind = found.lastgroup
    start = found[0]
    latex: str | None
    if kind == "script":
        body = whole[len(start) : whole.rfind("</")]
        latex = body if "mml" not in start.lower() else _of_math(body)
        latex = re.sub(r"^\s*%?\s*<!\[CDATA\[|%?\s*\]\]>\s*$", "", latex)
    elif kind == "image":
        latex = _of_image(whole)
        if latex is None:
            return None
    else:
        data = _first(_DATA.search(whole))
        if kind == "span" and "mathjax" in start.lower() and has_scripts:
            return ""  # the script beside it has the source
        latex = _of_math(whole) or (_of_math(html.unescape(data)) if data else "")
        if not latex and "mwe-math" in start:
            latex = _first(_ALT.search(whole)) or ""
        if not latex and kind != "math":
            return "" if "_Preview" in start else None
    latex = _clean(latex)
    if not latex:
        return ""
    shown = html.escape(latex, quote=False)
    alone = _DISPLAY.search(whole) or (kind == "image" and _ALONE.search(before))
    return f" $${shown}$$ " if alone else f"${shown}$"


def _first(found: re.Match[str] | None) -> str | None:
    return next((group for group in found.groups() if group), None) if found else None


def _of_math(markup: str) -> str:
    """LaTeX of markup that holds MathML: annotation, `alttext`, or a conversion."""
    annotation = _ANNOTATION.search(markup)
    if annotation:
        return html.unescape(annotation[1])
    math = _MATH.search(markup)
    if math is None:
        return ""
    alt = _ALT.search(math[0], 0, math[0].find(">"))
    if alt and (text := _first(alt)):
        return html.unescape(text)
    return mathml.latex(mathml.parse(math[0]))


def _of_image(tag: str) -> str | None:
    alt = html.unescape(_first(_ALT.search(tag)) or "").strip()
    if alt and alt.lower() not in {"latex", "formula", "equation", "math", "tex"}:
        return alt
    query = _QUERY.search(tag)
    return unquote_plus(html.unescape(query[1])) if query else None


def _clean(latex: str) -> str:
    """On one line, without the wrappers and delimiters that pages put around it."""
    latex = " ".join(html.unescape(latex).split())
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$")):
        if latex.startswith(opening) and latex.endswith(closing) and len(latex) > 2 * len(opening):
            latex = latex[len(opening) : -len(closing)].strip()
    style = _STYLE.match(latex)
    if style and (not latex.startswith("{") or latex.endswith("}")):
        latex = latex[style.end() : -1 if latex.startswith("{") else None].strip()
    return latex
