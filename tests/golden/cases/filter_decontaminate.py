"""Items found whole, in part, in capitals, in Chinese; a short one; nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.decontaminate import Decontaminate

QUESTION = (
    "A farmer has seventeen sheep and all but nine run away. How many sheep does he have left?"
)
CHINESE = "小明有十二个苹果，他把其中的三分之一给了妹妹，又买了五个，现在一共有多少个？"
SHORT = "Which of these eight words is longest?"


def case() -> tuple[Stage, Batch]:
    path = Path(tempfile.mkdtemp()) / "items.jsonl"
    items = [
        {"question": QUESTION, "answer": "9"},
        {"question": CHINESE},
        {"question": SHORT + " Say"},
    ]
    path.write_text("\n".join(map(json.dumps, items)))
    stage = Decontaminate(benchmarks=str(path), max_item_fraction=0.75, into="found")
    texts = [
        *[QUESTION, f"Riddle: {QUESTION.upper()}  9", QUESTION[:60], QUESTION[:74], CHINESE[:20]],
        *[f"题：{CHINESE}", SHORT, f"{SHORT} Say", "😀 nothing of it", "", None],
    ]
    return stage, Batch.of(text=texts)
