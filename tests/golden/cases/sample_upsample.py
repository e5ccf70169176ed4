"""Copies by cluster size, of odd sizes and of a part of a copy."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.upsample import Upsample


def case() -> tuple[Stage, Batch]:
    sizes = [1, 2, 3, 5, 8, 100, None, 0]
    stage = Upsample(column="n", steps={2: 1.5, 5: 3, 100: 1.2}, seed=1)
    return stage, Batch.of(n=sizes, text=[f"é{size}" for size in sizes])
