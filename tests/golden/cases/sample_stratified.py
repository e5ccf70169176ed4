"""A third of each stratum, null and one of a single document among them."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.stratified import Stratified


def case() -> tuple[Stage, Batch]:
    groups = ["en"] * 12 + ["中文"] * 5 + [None] * 4 + ["😀"]
    return Stratified(by="g", share=0.33, seed=1), Batch.of(g=groups)
