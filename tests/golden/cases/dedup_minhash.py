"""Edited copies, Chinese ones, short texts; the longest is kept."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.minhash import Minhash


def case() -> tuple[Stage, Batch]:
    story = " ".join(
        f"sentence {i} of the story, which has {i * i} words in it." for i in range(40)
    )
    chinese = "".join(f"第{i}天我们去北京看长城，天气很好。" for i in range(30))
    texts = [
        story,
        story.upper(),
        story.replace("sentence 7 of", "line 7 of"),
        story + " And one sentence more at its end.",
        " ".join(f"something else {i * 7919} entirely {i}" for i in range(60)),
        chinese,
        chinese.replace("看长城", "看故宫", 1),
        "too short a text",
        "too short a text",
        "",
        None,
        "exactly five words are here",
        "Exactly five words are here!",
    ]
    length = [0 if text is None else len(text) for text in texts]
    return Minhash(priority=("length",)), Batch.of(text=texts, length=length)
