"""Forty documents of which a quarter is wanted."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.random import Random


def case() -> tuple[Stage, Batch]:
    return Random(share=0.25, seed=1), Batch.of(text=[f"文档 {number}" for number in range(40)])
