"""Some languages, and texts that have none."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.language import Language


def case() -> tuple[Stage, Batch]:
    texts = [
        "This is a sentence in English,\nwith the usual small words.",
        "Dies ist ein Satz auf Deutsch mit den üblichen kleinen Wörtern.",
        "这是一个中文句子，没有空格。",
        "これは日本語の文です。",
        "Это предложение на русском языке.",
        "هذه جملة باللغة العربية.",
        "😀 👍",
        "1234 5678",
        "cut here </s> aber das zählt nicht",
        "",
        None,
    ]
    return Language(), Batch.of(text=texts)
