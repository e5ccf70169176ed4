"""datatrove's symbol-line remover and its reasons are its own; this is how a formatter comes out."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.datatrove import Datatrove


def case() -> tuple[Stage, Batch]:
    texts = ["write to me@me.com or you@you.org", "from 8.8.8.8", "中文 😀", "", None]
    return Datatrove(block="formatters.PIIFormatter"), Batch.of(text=texts)
