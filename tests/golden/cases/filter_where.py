"""Numbers, lists, patterns and nulls in one expression."""

from __future__ import annotations

import pyarrow as pa

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.where import Where


def case() -> tuple[Stage, Batch]:
    batch = Batch.of(
        quality=pa.array([0.9, 0.5, 0.2, None, float("nan"), 0.7, 0.8], pa.float64()),
        language=["en", "de", "en", "en", "en", None, "zh"],
        url=[
            "http://a.org",
            "http://spam.org",
            "http://b.org",
            "ftp://c",
            None,
            "http://d",
            "中文",
        ],
    )
    where = 'quality >= 0.5 and (language in ["en", "de"] or matches(url, "^\\\\p{Han}+$")) '
    return Where(where=where + 'and not contains(url, "spam")'), batch
