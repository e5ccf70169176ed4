"""Prose, repeated lines, a list, and texts without words, by limits made for this test."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.fineweb2 import Fineweb2

LIMITS = """
dup_line_frac: 0.25
dup_n_grams: [[5, 0.14], [6, 0.13], [7, 0.12], [8, 0.11], [9, 0.1], [10, 0.09]]
language_score: 0.7
line_punct_thr: 0.1
max_avg_word_length: 13
max_non_alpha_words_ratio: 0.75
min_avg_word_length: 2
new_line_ratio: 0.2
stopwords: [und, die]
top_n_grams: [[2, 0.15], [3, 0.14], [4, 0.13]]
"""


def case() -> tuple[Stage, Batch]:
    file = Path(tempfile.mkdtemp()) / "deu_Latn.yml"
    file.write_text(LIMITS)
    words = [f"Wort{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(120)]
    prose = " ".join(words) + " und die Leute."
    texts = [prose, "Die Zeile.\n" * 6, "\n".join(words), " ".join(words), " \n ", "", None]
    return Fineweb2(configs=str(file), language="deu_Latn"), Batch.of(text=texts)
