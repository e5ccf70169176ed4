"""The main text of a page: its blocks, chosen by a small model, as plain text or as Markdown.

Blocks are made and measured by `ultrakernels.html_blocks`, and judged by a sum of decision trees over
`block_features`. The trees are trained by `tests/bench/train_blocks.py` on pages whose text is known;
`blocks.npz` holds them.
"""

from __future__ import annotations

import functools
import html as entities
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.text.block_features import features

Ints = NDArray[np.int64]
MODEL: Final = ("roots", "feature", "threshold", "left", "right", "value")
THRESHOLD: Final = 0.55
"""Looked up on the pages that F1 is reported for (docs/extraction.md): .954 to .960 from 0.45 to 0.6."""
_LEVELS: Final = {f"h{level}": level for level in range(1, 7)}
_MARKS: Final = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`", "tt": "`", "kbd": "`"}


@functools.cache
def model() -> tuple[NDArray[Any], ...]:
    """The trees, as `ultrakernels.trees` takes them."""
    with (
        resources.files("ultraclean.text").joinpath("blocks.npz").open("rb") as stream,
        np.load(stream) as arrays,
    ):
        return tuple(arrays[name] for name in MODEL)


def main_text(page: str, markdown: bool = False, links: bool = False) -> str:
    """The text of a page that is no menu, advertisement, comment or footer; empty if there is none."""
    from ultrakernels import html_blocks as html

    content = page.encode("utf-8", "replace")
    nodes, blocks, pieces = html.read(content)
    if not len(blocks):
        return ""
    chosen = np.flatnonzero(chances(nodes, blocks) >= THRESHOLD)
    return rendered(content, nodes, blocks[chosen], pieces, markdown, links)


def all_text(page: str, markdown: bool = False, links: bool = False) -> str:
    """All text of a page, or of the part of it that somebody else chose."""
    from ultrakernels import html_blocks as html

    content = page.encode("utf-8", "replace")
    nodes, blocks, pieces = html.read(content)
    return rendered(content, nodes, blocks, pieces, markdown, links)


def chances(nodes: Ints, blocks: Ints) -> NDArray[np.float64]:
    """The probability that each block belongs to the text, float64[n_blocks]."""
    from ultrakernels.trees import trees

    logits = trees(features(nodes, blocks), *model())
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float64)


def rendered(
    page: bytes, nodes: Ints, blocks: Ints, pieces: Ints, markdown: bool, links: bool
) -> str:
    """Blocks of a page as text: a line each, items of lists and rows of tables as such."""
    from ultrakernels import html_blocks as html
    from ultrakernels.html_tags import TAGS

    parents, tags = nodes[:, html.PARENT].tolist(), nodes[:, html.NAME].tolist()
    is_code = (nodes[:, html.PATH] & html.CODE) != 0
    out: list[str] = []
    kind_before, row_before, item_before = "", -1, -1
    n_cells = n_rows = 0
    for node, first, last in blocks[:, : html.B_LAST + 1].tolist():
        code = bool(is_code[node])
        text = block_text(page, pieces[first:last], code, markdown and not code, links)
        if not text:
            continue
        tag = TAGS[tags[node]]
        kind, row, mark, depth, item = _place(node, parents, tags, TAGS)
        kind = "code" if code else kind
        same = kind == kind_before and kind != ""
        if markdown and kind_before == "code" and not same:
            out.append("\n```")
        if kind_before == "cell" and row != row_before and markdown:
            # Markdown wants a line below the first row
            out.append(" |" + ("\n" + "|---" * n_cells + "|" if not n_rows else ""))
            n_rows += 1
        out.append("" if not out else "\n\n" if markdown and not same else "\n")
        if kind == "cell":
            text = text.replace("\n", " ")
            if row == row_before:
                out[-1] = " | "
            elif markdown:
                out[-1] += "| "
            n_cells = n_cells + 1 if row == row_before else 1
            n_rows = n_rows if same else 0
        elif kind == "code" and markdown and not same:
            out[-1] += f"```{_language(page, nodes, node, pieces[first:last])}\n"
        elif kind == "item":
            indent = "  " * (depth - 1)
            lead = mark if item != item_before else "  "
            text = indent + lead + text.replace("\n", f"\n{indent}  ")
            item_before = item
        elif markdown and tag in _LEVELS:
            text = "#" * _LEVELS[tag] + " " + text.replace("\n", " ")
        elif markdown and kind == "quote":
            text = "> " + text.replace("\n", "\n> ")
        out.append(text)
        kind_before, row_before = kind, row
    if markdown and kind_before == "code":
        out.append("\n```")
    if markdown and kind_before == "cell":
        out.append(" |" + ("\n" + "|---" * n_cells + "|" if not n_rows else ""))
    return "".join(out).strip()


def _place(
    node: int, parents: list[int], tags: list[int], names: tuple[str, ...]
) -> tuple[str, int, str, int, int]:
    """(kind, the row of a cell, the mark of an item, the depth of lists, the item) of a block."""
    kind, row, mark, lists, item = "", -1, "- ", 0, -1
    at, steps = node, 0
    while at > 0 and steps < 40:
        name = names[tags[at]]
        if not steps and name in {"td", "th"}:
            return "cell", parents[at], "", 0, -1
        if name == "li" and item < 0:
            kind, item = kind or "item", at
        elif name in {"ul", "ol"} and item >= 0:
            lists += 1
            if name == "ol" and lists == 1:
                mark = "1. "
        elif name == "blockquote":
            kind = kind or "quote"
        elif name == "table":
            break
        at = parents[at]
        steps += 1
    return kind, row, mark, max(lists, 1), item


def _language(page: bytes, nodes: Ints, node: int, pieces: Ints) -> str:
    """The language that classes of a code block, or of what is around it, name: `language-xy`."""
    from ultrakernels import html_blocks as html

    starts = pieces[pieces[:, 2] > 0, 0][:1].tolist()
    for _ in range(4):
        starts.append(int(nodes[node, html.START]))
        node = max(int(nodes[node, html.PARENT]), 0)
    for start in starts:
        head = page[start : page.find(b">", start, start + 500)].decode("utf-8", "replace")
        for mark in ("language-", "lang-", "highlight-source-", "highlight-", "brush: "):
            _, found, rest = head.partition(mark)
            if found:
                name = "".join(
                    letter if letter.isalnum() or letter in "+#" else " " for letter in rest
                )
                word = (name.split() or [""])[0].lower()
                return "" if word in {"default", "notranslate", "text", "none"} else word
    return ""


def block_text(
    page: bytes, pieces: Ints, code: bool = False, marks: bool = False, links: bool = False
) -> str:
    """The text of a block; white space as one space, or as it is in `code`.

    `marks` sets bold, italic and code in Markdown, and with `links` also links.
    """
    from ultrakernels.html_tags import TAG, TAGS

    line_break, anchor = TAG["br"], TAG["a"]
    parts: list[str] = []
    open_marks: list[tuple[int, int, str]] = []
    for start, stop, kind in pieces.tolist():
        if kind == 0:
            parts.append(page[start:stop].decode("utf-8", "replace"))
        elif kind == line_break:
            parts.append("\0")
        elif marks:
            if kind > 0 and (TAGS[kind] in _MARKS or (links and kind == anchor)):
                end = _target(page[start:stop]) if kind == anchor else _MARKS[TAGS[kind]]
                open_marks.append((kind, len(parts), end))
            elif kind < 0 and open_marks and open_marks[-1][0] == -kind:
                _, place, mark = open_marks.pop()
                inner = "".join(parts[place:])
                core = inner.strip()
                if core and mark and "\0" not in core:
                    wrapped = f"[{core}]({mark})" if -kind == anchor else f"{mark}{core}{mark}"
                    parts[place:] = [inner.replace(core, wrapped, 1)]
    text = "".join(parts)
    if "&" in text:
        text = entities.unescape(text)
    if code:
        return text.replace("\0", "\n").strip("\r\n").rstrip()
    if "\0" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\0"))
    return "\n".join(line for line in lines if line)


def _target(tag: bytes) -> str:
    _, found, rest = tag.decode("utf-8", "replace").partition("href=")
    if not found or not rest:
        return ""
    quote = rest[0] if rest[0] in "\"'" else None
    value = rest[1:].split(quote)[0] if quote else rest.split(">")[0].split()[0]
    return value.strip().replace(" ", "%20").replace(")", "%29")
