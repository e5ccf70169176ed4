"""A refusal in the first answer, in the second, in the user's mouth, in Chinese, none, and no dialogue."""

import pyarrow as pa

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.refusal import Refusal
from ultraclean.document import Batch
from ultraclean.stage import Stage

NO = "I'm sorry, but I can't assist with that."


def case() -> tuple[Stage, Batch]:
    said = [
        ["Why?", NO],
        ["Why?", "Because.", "And?", NO],
        [NO, "That is a pity."],
        ["为什么？", "很抱歉，我无法帮助您。"],
        ["Why?", "Because. I'm sorry to say so."],
        None,
    ]
    turns = [
        texts
        and [
            {"role": ("user", "assistant")[at % 2], "content": text}
            for at, text in enumerate(texts)
        ]
        for texts in said
    ]
    return Refusal(), Batch.of(messages=pa.array(turns, COLUMNS["messages"]))
