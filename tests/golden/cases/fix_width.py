"""Full-width letters, and ASCII punctuation in Chinese, English and numbers."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.width import Width


def case() -> tuple[Stage, Batch]:
    texts = [
        *[
            "Ｐｙｔｈｏｎ３，好",
            "你好,世界!",
            "苹果, 梨; 桃",
            "北京(首都)在北方.",
            "1.5度,明天12:30?",
        ],
        *["English, only (here).", "等等...", "“他说”,走", "😀", "", None],
    ]
    return Width(punctuation="chinese"), Batch.of(text=texts)
