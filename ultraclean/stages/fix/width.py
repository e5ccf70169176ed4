"""Puts the width of letters and the punctuation of Chinese text in order.

Full-width letters and digits become ASCII (as in Unicode's NFKC, but nothing else of it), half-width
katakana stay as they are. Punctuation is left alone unless asked for: `chinese` makes full-width
marks of ASCII ones that stand between or after Han characters, `ascii` the reverse everywhere.
Ours: data-juicer's chinese_convert and punctuation_normalization change either script or all marks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Map

HAN: Final = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS: Final = {
    code: code - 0xFEE0
    for first, last in ((0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))
    for code in range(first, last + 1)
}
_TO_ASCII: Final = str.maketrans(
    {
        **dict(
            zip("，。！？；：（）％＋－＝＜＞／＆＃＠＊～", ",.!?;:()%+-=<>/&#@*~", strict=True)
        ),
        **{"“": '"', "”": '"', "‘": "'", "’": "'", "、": ",", "…": "...", "【": "[", "】": "]"},
    }
)
_TO_CHINESE: Final = dict(zip(",!?;:.", "，！？；：。", strict=True))
_AFTER_HAN: Final = re.compile(
    # no decimal point, no name of a file, no ellipsis, no smiley
    rf"(?<=[{HAN}”’）》」])(?:[,!?;:](?![\w)(/\\-])|[,!?;:](?=[{HAN}“‘（《「])|\.(?=\s|\Z|[”’）」]))[ \t]?(?=[{HAN}“‘（《「]|)"
)
_BRACKETS: Final = re.compile(
    rf"\((?=[{HAN}])([^()\n]*)\)|(?<=[{HAN}])\(([^()\n]*[{HAN}][^()\n]*)\)"
)


class Width(Map):
    """Letters and digits of one width, and Chinese or ASCII punctuation where it is asked for."""

    stage: ClassVar[str] = "fix.width"

    column: str = Field(default="text", description="column to put in order")
    letters: bool = Field(
        default=True, description="make ASCII of full-width letters and digits: Ａ１ to A1"
    )
    punctuation: Literal["keep", "chinese", "ascii"] = Field(
        default="keep",
        description="chinese: `，。！？；：（）` for ASCII marks beside Han characters; "
        "ascii: the reverse, everywhere",
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        return functools.partial(_in_order, self)


def _in_order(stage: Width, batch: Batch) -> Batch:
    before = batch[stage.column].to_pylist()
    after = [text if text is None or text.isascii() else normalised(stage, text) for text in before]
    if after == before:
        return batch
    return batch.with_columns({stage.column: pa.array(after, batch[stage.column].type)})


def normalised(stage: Width, text: str) -> str:
    if stage.letters:
        text = text.translate(_LETTERS)
    if stage.punctuation == "ascii":
        return text.translate(_TO_ASCII)
    if stage.punctuation == "chinese":
        text = _BRACKETS.sub(lambda m: f"（{m[1] if m[1] is not None else m[2]}）", text)
        return _AFTER_HAN.sub(_chinese_mark, text)
    return text


def _chinese_mark(found: re.Match[str]) -> str:
    """The full-width mark; a blank behind it goes where more of the sentence follows in Chinese."""
    mark, rest = found[0][0], found[0][1:]
    follows = found.string[found.end() : found.end() + 1]
    joined = bool(follows) and re.match(f"[{HAN}“‘（《「]", follows) is not None
    return _TO_CHINESE[mark] + ("" if joined else rest)
