"""Each call, a loop, a program that leaves nothing, and text that is none."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.refine.program import Program

TEXT = "导航 | Home\nThe cat sat on teh mat. 😀\n\nShare"
PROGRAMS = [
    "keep_all()",
    "remove_all()",
    "remove_lines(1, 1)\nremove_lines(4, 4)",
    "replace_str(2, 'teh', 'the')\nreplace_str(2, 'at', 'x')\nreplace_str(2, 'cat', 'dog')",
    "add_line(0, 1, '标题')\nremove_lines(1, 1)",
    "remove_lines(1, 1)\n" * 4,
    "remove_lines(1, 4)",
    "no program",
    None,
]


def case() -> tuple[Stage, Batch]:
    texts = [TEXT] * len(PROGRAMS) + [None, ""]
    return Program(), Batch.of(text=texts, program=[*PROGRAMS, "remove_all()", "remove_all()"])
