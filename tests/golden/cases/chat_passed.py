"""Good rows, and each kind of bad one."""

import pyarrow as pa

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.passed import Passed
from ultraclean.document import Batch
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    said = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "a"}]
    problems = [None, "refused: no", "cut", None, "unheard_of: x", ""]
    messages = pa.array([said, None, said, None, said, said], COLUMNS["messages"])
    return Passed(), Batch.of(problem=problems, messages=messages)
