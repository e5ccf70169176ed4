"""Signatures of each scheme's bytes; here datasketch's default."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.minhash import Minhash


def case() -> tuple[Stage, Batch]:
    texts = ["one two three four five six seven", "第三个文本在这里。", "too short", "", None]
    return Minhash(permutations=8), Batch.of(text=texts)
