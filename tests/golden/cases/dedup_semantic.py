"""Vectors in three directions; the highest rank of each is kept."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.semantic import Semantic


def case() -> tuple[Stage, Batch]:
    vectors = [
        [1, 0, 0],
        [2, 0, 0],
        [1, 0.1, 0],
        [0, 1, 0],
        [0, 1, 0.2],
        [0, 0, 3],
        None,
        [0, 0, 0],
    ]
    rank = [1, 2, 3, 1, 2, 1, 9, 9]
    return Semantic(priority=("rank",)), Batch.of(embedding=vectors, rank=rank)
