"""A rewriting in two styles, with inventions, by a scripted teacher."""

from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage
from ultraclean.stages.refine.rewrite import Rewrite

TEXT = "Rivers rise in spring, when the snow of the mountains melts; in 1910 Paris was flooded for 45 days."


def case() -> tuple[Stage, Batch]:
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(
            pattern="你是|你编写",
            answers=(
                "积雪在春天融化，河水就会上涨，堤岸因此要加高，人们每年都注意山上的雪有多深，以免城市再被洪水淹没，这是巴黎的教训。",
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
    return Rewrite(teacher=teacher, per_passage=2, min_chars=30, seed=7), Batch.of(text=texts)
