"""One row per outcome: kept, at the threshold, unsure, another language, no language."""

from __future__ import annotations

import pyarrow as pa

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.language import Language


def case() -> tuple[Stage, Batch]:
    batch = Batch.of(
        text=["kept", "at", "unsure", "deutsch", "中文", "", None],
        language=["en", "en", "en", "de", "zh", None, None],
        language_score=pa.array([0.9, 0.65, 0.2, 0.99, 0.5, None, 0.8], pa.float64()),
    )
    return Language(languages=["en", "zh"]), batch
