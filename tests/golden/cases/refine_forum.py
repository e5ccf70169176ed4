"""A thread by a scripted teacher."""

from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage
from ultraclean.stages.refine.forum import Forum

TEXT = "Rivers rise in spring, when the snow of the mountains melts; in 1910 Paris was flooded for 45 days."


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(
            pattern="Rivers rise",
            answers=(
                '{"title": "Rivers", "posts": [{"role": "Asker", "text": "Why do rivers rise in spring?"}, {"role": "Expert", "text": "The snow melts."}]}',
            ),
        ),
        Rule(pattern=".", answers=('{"title": "',)),
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
    return Forum(teacher=teacher, min_posts=2, per_passage=None, min_chars=20, seed=7), Batch.of(
        text=texts
    )
