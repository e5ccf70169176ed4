"""Lines that do not end, short lines, repeated lines, lists; ends of several scripts."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.fineweb import Fineweb


def case() -> tuple[Stage, Batch]:
    long = "It is a line of more than thirty characters"
    texts = [
        f"{long}.\nAnd it has another of them, too!",
        f"{long}\n" * 9 + "b",
        "Short.\nIt is.\nSo.\nYes.",
        f"{long}.\n" * 3,
        "\n".join(f"{long.replace(' ', '')}{number}." for number in range(9)),
        f"{long}.\r\n{long}, and more.\r\n",
        "这一行的文字超过了三十个字符，因为这里有许多许多的汉字在一起。\n另一行也是这样的长，里面有许多许多的汉字在一起，没有什么空格？",
        "هذا سطر أطول من ثلاثين حرفا لأنه سطر طويل؟",
        " \n \u3000\n",
        "",
        None,
    ]
    return Fineweb(), Batch.of(text=texts)
