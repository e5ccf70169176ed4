"""Points of knowledge by a scripted teacher."""

from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage
from ultraclean.stages.refine.knowledge import Knowledge

TEXT = "Rivers rise in spring, when the snow of the mountains melts; in 1910 Paris was flooded for 45 days."


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(
            pattern="Rivers rise",
            answers=(
                '{"points": ["Snow melts in spring.", "Snow melts in spring.", "Rivers rise."]}',
            ),
        ),
        Rule(pattern=".", answers=('{"points": []}',)),
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
    return Knowledge(teacher=teacher, seed=7), Batch.of(text=texts)
