"""Joins the lines into which PDF, OCR and hard-wrapped text breaks its paragraphs.

As MinerU does it when it makes Markdown of a page (Wang et al. 2024, arXiv 2409.18839), but from the text
alone, where MinerU has the boxes of the lines: words that a hyphen divides become one, Chinese and
Japanese lines join without a space, others with one. Paragraphs are kept: an empty line, a list item, a
heading, a table row, indentation and code end one, and so does a line that is shorter than its
neighbours although the next word would have fitted. Text that is not broken into lines of about one
width stays as it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Map

# scripts without spaces between words, and the marks that belong to them
_WIDE: Final = "\u3001-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
_IS_WIDE: Final = re.compile(f"[{_WIDE}]")
_BEGINS: Final = re.compile(
    # lists, headings, quotations, tables, rules, indentation
    r"[-*+•◦▪·–—●○■□►✓]\s|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s|[（(]?[一二三四五六七八九十百]{1,3}[、）)．.]"
    r"|第[一二三四五六七八九十百\d]{1,4}[章节条]|#{1,6}\s|[>|]|[-=_*~]{3,}\s*$|\s{2,}|\t|\u3000"
)
_ENDS: Final = re.compile(r"[.!?:;…。！？：；][\"'”’»)\]）』」】]*$")
_HYPHEN: Final = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad]$")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
_FIRST: Final = re.compile(rf"[{_WIDE}]|\S+")


class Joinlines(Map):
    """Text with its paragraphs on one line each, where they were broken into several."""

    stage: ClassVar[str] = "fix.joinlines"
    paper: ClassVar[str] = "MinerU (arXiv 2409.18839), paragraphs of its Markdown"

    column: str = Field(default="text", description="column to put in order")
    min_width: int = Field(
        default=40,
        ge=1,
        description="paragraphs whose longest line is narrower (a Chinese character counts 2) are "
        "verse, addresses or menus, and stay",
    )
    max_width: int = Field(
        default=200, ge=1, description="paragraphs with a wider line are not broken, and stay"
    )
    hyphens: bool = Field(
        default=True,
        description="make one word of two parts with a hyphen; one that the text has elsewhere "
        "with its hyphen keeps it",
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        return functools.partial(_joined, self)


def _joined(stage: Joinlines, batch: Batch) -> Batch:
    before = batch[stage.column].to_pylist()
    after = [joined(text, stage) if text and "\n" in text.strip() else text for text in before]
    if after == before:
        return batch
    return batch.with_columns({stage.column: pa.array(after, batch[stage.column].type)})


def joined(text: str, stage: Joinlines) -> str:
    """The text with its broken paragraphs joined."""
    lines = text.replace("\r\n", "\n").split("\n")
    out: list[str] = []
    for block, is_text in _blocks(lines):
        out += _paragraphs(block, stage, text) if is_text else block
    after = "\n".join(out)
    return text if len(out) == len(lines) else after


def _blocks(lines: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Runs of lines without an empty one between, and whether they are text; all lines, in order."""
    block: list[str] = []
    in_code = False
    for line in lines:
        fence = _FENCE.match(line) is not None
        if fence or in_code or not line.strip():
            if block:
                yield block, True
                block = []
            yield [line], False
            in_code ^= fence
        else:
            block.append(line)
    if block:
        yield block, True


def _paragraphs(block: list[str], stage: Joinlines, text: str) -> list[str]:
    widths = [_width(line) for line in block]
    widest = max(widths)
    if len(block) < 2 or not stage.min_width <= widest <= stage.max_width:
        return block
    # lines that are sentences each are no broken paragraph, though of one width by chance
    n_open = sum(_ENDS.search(line.rstrip()) is None for line in block[:-1])
    if 2 * n_open < len(block) - 1:
        return block
    out = [block[0]]
    for before, line, width in zip(block, block[1:], widths, strict=False):
        if _goes_on(before, line, width, widest):
            out[-1] = _together(out[-1].rstrip(), line.strip(), stage, text)
        else:
            out.append(line)
    return out


def _goes_on(before: str, line: str, width: int, widest: int) -> bool:
    """Whether `line` goes on with the paragraph of the line before it."""
    if _BEGINS.match(line) or before.lstrip().startswith(("#", "|")):
        return False
    first = _FIRST.match(line.lstrip())
    assert first is not None  # no line of a block is empty
    # the next word would not have fitted; lines of a printed page differ a little in width
    full = width + 1 + _width(first[0]) > 0.85 * widest
    if full or _ENDS.search(before.rstrip()):
        return full
    return _HYPHEN.search(before.rstrip()) is not None or line.lstrip()[0].islower()


def _together(before: str, line: str, stage: Joinlines, text: str) -> str:
    hyphen = _HYPHEN.search(before)
    if hyphen and line[0].islower():
        if hyphen[0] == "\u00ad":
            return before[:-1] + line
        if stage.hyphens:
            first, second = re.findall(r"\w+", before)[-1], re.findall(r"\w+", line)[0]
            compound = re.compile(
                rf"\b{re.escape(first)}[-\u2010]{re.escape(second)}\b", re.IGNORECASE
            )
            return (before if compound.search(text) else before[:-1]) + line
        return before + line
    if hyphen and hyphen[0] != "\u00ad":
        return before + line  # Jean-\nPaul
    if _IS_WIDE.match(before[-1]) or _IS_WIDE.match(line[0]):
        return before + line
    return f"{before} {line}"


def _width(line: str) -> int:
    return len(line.rstrip()) + len(_IS_WIDE.findall(line))
