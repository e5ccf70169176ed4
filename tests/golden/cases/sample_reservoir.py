"""Five of thirty documents by weight, with weights that are no weights."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.sample.reservoir import Reservoir


def case() -> tuple[Stage, Batch]:
    weights = [1.0, 10.0, None, 0.0, -1.0, 2.5] * 5
    return Reservoir(count=5, weight="w", seed=1), Batch.of(w=weights)
