"""A document and its pairs by a scripted teacher."""

from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage
from ultraclean.stages.refine.qa import Qa

TEXT = "Rivers rise in spring, when the snow of the mountains melts; in 1910 Paris was flooded for 45 days."


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(
            pattern="Rivers rise",
            answers=(
                '{"pairs": [{"question": "Why do rivers rise?", "answer": "The snow melts."}, {"question": "What is in the text?", "answer": "Snow."}]}',
            ),
        ),
        Rule(pattern=".", answers=('{"pairs": []}',)),
    )
    teacher = Teacher(engine="scripted", model="scripted", rules=rules)
    texts = [
        TEXT,
        "春天河水上涨，山上的雪融化。" * 8,
        None,
        "",
        f"nothing 😀 {TEXT}",
        f"{TEXT}\r\n{TEXT}",
    ]
    return Qa(teacher=teacher, seed=7), Batch.of(text=texts)
