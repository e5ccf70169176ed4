"""A section of a textbook by a scripted teacher."""

from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage
from ultraclean.stages.refine.textbook import Textbook

TEXT = "Rivers rise in spring, when the snow of the mountains melts; in 1910 Paris was flooded for 45 days."


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(pattern='"points"', answers=('{"points": ["Snow melts in spring."]}',)),
        Rule(
            pattern='"exercises"',
            answers=('{"exercises": [{"exercise": "1 + 1 = ?", "solution": "2"}]}',),
        ),
        Rule(
            pattern="Sum up",
            answers=(
                "What melts above is what rises below, each year when warm weather comes back.",
            ),
        ),
        Rule(
            pattern=".",
            answers=(
                "When it gets warm the snow of the mountains melts, and the rivers rise; in 1911 Paris and Rome saw it for 45 days.",
            ),
        ),
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
    return Textbook(teacher=teacher, seed=7), Batch.of(text=texts)
