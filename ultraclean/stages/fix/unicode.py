"""Repairs mojibake, HTML entities, control characters and terminal escapes.

ftfy (Speer 2019, zenodo 2591652) in the configuration of datatrove's FTFYFormatter: what is broken
is repaired, and nothing is normalised (quotes stay curled, ligatures and full-width punctuation
stay as they are). Deliberately different: the same output in a fraction of the time, since lines
that ftfy provably leaves alone are not given to it.

The proof, from ftfy's source: a segment (a line, or a million characters of one) changes only if an
entity, a control character, a C1 character, a terminal escape or a match of BADNESS_RE is in it. No
match of BADNESS_RE is longer than `width` characters, which is asked of the expression when the
stage opens, and none is of ASCII alone; so a search around the characters that are not ASCII finds
all of them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from re import _parser  # type: ignore[attr-defined]
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Map

SEGMENT_CHARS: Final = 1_000_000
"""ftfy's `max_decode_length`."""
UNKNOWN_WIDTH: Final = 64
"""An expression whose matches may be longer than this is searched for in the whole text."""


class Unicode(Map):
    """Text as it was meant. Rows that need no repair keep the views of their text."""

    stage: ClassVar[str] = "fix.unicode"
    paper: ClassVar[str] = "ftfy, Speer 2019; the configuration of datatrove's FTFYFormatter"
    packages: ClassVar[tuple[str, ...]] = ("ftfy",)

    column: str = Field(default="text", description="column to repair")

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        return functools.partial(_fixed, self.column, fixer())


def _fixed(column: str, fix: Callable[[str], str], batch: Batch) -> Batch:
    texts = batch[column].to_pylist()
    fixed = [text and fix(text) for text in texts]
    if fixed == texts:
        return batch
    return batch.with_columns({column: pa.array(fixed, batch[column].type)})


def configuration() -> Any:
    """datatrove's, which says why: unknown formats are the model's to learn, broken text is not."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html="auto",
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        normalization=None,
    )


def fixer() -> Callable[[str], str]:
    """A function that gives what `ftfy.fix_text(text, configuration())` does."""
    import ftfy
    from ftfy.chardata import CONTROL_CHARS, HTML_ENTITY_RE

    config = configuration()
    controls = "".join(re.escape(chr(code)) for code in CONTROL_CHARS)
    control = re.compile(f"[{controls}\x1b\x80-\x9f\ud800-\udfff]")
    is_bad = _badness()

    def is_suspect(text: str) -> bool:
        return bool(
            ("&" in text and HTML_ENTITY_RE.search(text))
            or control.search(text)
            or (not text.isascii() and is_bad(text))
        )

    def fix(text: str) -> str:
        if not is_suspect(text):
            return text
        out = []
        # as ftfy.fix_text does it: segments, and no entities from the first "<" on
        segment_config = config
        for segment in _segments(text):
            if segment_config.unescape_html and "<" in segment:
                segment_config = segment_config._replace(unescape_html=False)
            if is_suspect(segment):
                out.append(ftfy.fix_and_explain(segment, segment_config).text)
            else:
                out.append(segment)
        return "".join(out)

    return fix


def _segments(text: str) -> list[str]:
    segments, start = [], 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        end = min(end, start + SEGMENT_CHARS)
        segments.append(text[start:end])
        start = end
    return segments


def _badness() -> Callable[[str], bool]:
    """Whether one of the segments of a text has a match of BADNESS_RE (or seems to)."""
    from ftfy.badness import BADNESS_RE

    # `^` is the beginning of a segment, and so of any line
    bad = re.compile(BADNESS_RE.pattern, BADNESS_RE.flags | re.MULTILINE)
    _, width = _parser.parse(bad.pattern, bad.flags).getwidth()
    if width > UNKNOWN_WIDTH:
        return lambda text: bool(bad.search(text))
    # characters that are not ASCII, and what lies between them where it is short
    island = re.compile(f"[^\x00-\x7f]+(?:[\x00-\x7f]{{1,{2 * width}}}[^\x00-\x7f]+)*")

    def is_bad(text: str) -> bool:
        if len(text) > SEGMENT_CHARS:
            return True  # a segment may begin within a line, where `^` would not be seen
        return any(
            bad.search(text, max(0, found.start() - width), found.end() + width)
            for found in island.finditer(text)
        )

    return is_bad
