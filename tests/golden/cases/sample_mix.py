"""Two sources by size, one of them short, and a third that has no weight."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.mix import Mix


def case() -> tuple[Stage, Batch]:
    sources = ["web"] * 20 + ["书"] * 6 + ["other", None]
    sizes = [number % 7 for number in range(len(sources))]
    stage = Mix(weights={"web": 2, "书": 1}, size="n_tokens", total=40, seed=1)
    return stage, Batch.of(_source=sources, n_tokens=sizes)
