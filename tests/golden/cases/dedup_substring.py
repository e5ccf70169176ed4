"""Passages of eight words that two documents share, in two scripts."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.substring import Substring


def case() -> tuple[Stage, Batch]:
    shared = "it was the best of times, it was the worst of times"
    texts = [
        f"He began: {shared}. Then he wept.",
        f"{shared}\r\nsaid the book",
        "我们今天去北京看长城，天气很好。",
        "他们说我们今天去北京看长城，然后回家。",
        shared,
        "nothing in common",
        "",
        None,
    ]
    return Substring(length=8, keep="first", into="gone"), Batch.of(text=texts)
