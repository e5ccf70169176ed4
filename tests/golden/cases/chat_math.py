"""Problems on the grid, with solutions that agree or do not, by a scripted teacher."""

from ultrachat.stages.math import Math
from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    problem = '{"problems": [{"problem": "What is a half and a half of it?", "answer": "3/4"}]}'
    rules = (
        Rule(pattern="university", answers=('{"problems": []}',)),
        Rule(pattern='"problems"', answers=(problem,)),
        Rule(pattern="work backwards", answers=(r"It is \boxed{0.5}", "no idea")),
        Rule(pattern="set up equations|most direct", answers=(r"So it is \boxed{\frac{3}{4}}",)),
        Rule(pattern=".", answers=(r"It stands, it is \boxed{0.75}",)),
    )
    teacher = Teacher(engine="scripted", model="scripted", rules=rules)
    texts = ["The river rises in spring.", "春天河水上涨。", None, "", "nothing 😀", *"abcdefgh"]
    return Math(teacher=teacher, language="en", seed=7), Batch.of(text=texts)
