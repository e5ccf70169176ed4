"""The better half of each site, with ties, nulls and NaN."""

import math

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.quantile import Quantile


def case() -> tuple[Stage, Batch]:
    rows = [
        (0.9, "a.org"),
        (0.1, "a.org"),
        (0.5, "a.org"),
        (0.5, "a.org"),
        (0.5, "a.org"),
        (None, "b.org"),
        (math.nan, "b.org"),
        (-math.inf, "b.org"),
        (0.3, None),
        (0.2, None),
        (0.2, "例.org"),
        (-0.0, ""),
        (0.0, ""),
    ]
    quality, site = zip(*rows, strict=True)
    return Quantile(column="quality", share=0.5, per="site"), Batch.of(quality=quality, site=site)
