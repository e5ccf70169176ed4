"""Requests on documents in two languages, answered by a scripted teacher."""

from ultrachat.stages.instruction import Instruction
from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(
            pattern="must meet|以下全部要求",
            answers=("a plain text", "1. 一\n2. 二", "<<title>> *x*"),
        ),
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(pattern=".", answers=("Write a letter.",)),
    )
    teacher = Teacher(engine="scripted", model="scripted", rules=rules)
    texts = ["The river rises in spring.", "春天河水上涨。", None, "", "nothing 😀", "a\r\nb"]
    stage = Instruction(teacher=teacher, n_requests=3, n_samples=3, max_constraints=2, seed=7)
    return stage, Batch.of(text=texts)
