"""Points, questions and answers on documents in two languages, by a scripted teacher."""

from ultrachat.stages.knowledge import Knowledge
from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(pattern='"points"', answers=('{"points": ["Rivers rise in spring, by snow."]}',)),
        Rule(pattern='"questions"', answers=('{"questions": ["Why do rivers rise in spring?"]}',)),
        Rule(
            pattern="Rewrite the|改写问题", answers=("And why is it that rivers rise in spring?",)
        ),
        Rule(pattern="short and direct", answers=("Because of the snow, in spring.",)),
        Rule(pattern=".", answers=("Rivers rise in spring, when the snow of the hills melts.",)),
    )
    teacher = Teacher(engine="scripted", model="scripted", rules=rules)
    texts = ["The river rises in spring.", "春天河水上涨。", None, "", "nothing 😀", "a\r\nb"]
    return Knowledge(teacher=teacher, n_points=2, n_evolved=2, seed=7), Batch.of(text=texts)
