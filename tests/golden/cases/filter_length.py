"""Both limits of characters, words and bytes."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.length import Length


def case() -> tuple[Stage, Batch]:
    stage = Length(min_chars=2, max_chars=40, min_words=2, max_words=10, min_bytes=4, max_bytes=60)
    texts = [
        *["a b c", "a", "a b" * 20, "word", "a " * 15, "a b", "中文 " * 12, "中文 文字"],
        *["e\u0301 e\u0301", "😀 😀", "", None],
    ]
    return stage, Batch.of(text=texts)
