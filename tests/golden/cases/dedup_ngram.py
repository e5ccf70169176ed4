"""DCLM's old-both with n-grams of three words, in an exact set."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.ngram import Ngram


def case() -> tuple[Stage, Batch]:
    texts = [
        "one two three four five six\nseven eight nine ten",
        "one two three four five six\nsomething else is here to read",
        "One two three four five six",
        "我们今天去北京看长城\r\n天气很好",
        "我们今天去北京看长城\r\n回家以后我们看电视然后睡觉",
        "one two three four five six\nseven eight nine ten!",
        "",
        None,
    ]
    return Ngram(ngram=3, filter="exact", into="gone"), Batch.of(text=texts)
