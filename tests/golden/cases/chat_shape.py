"""Short, long, several turns, calls and thoughts, Chinese, and no dialogue."""

import pyarrow as pa

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.shape import Shape
from ultraclean.document import Batch
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    def turn(role: str, content: str | None, **more: object) -> dict[str, object]:
        return {"role": role, "content": content, **more}

    call = {"id": "0", "name": "add", "arguments": '{"a": 1}'}
    said = [
        [turn("user", "Hi."), turn("assistant", "Hello.")],
        [turn("user", "Hi."), turn("assistant", "a" * 300)],
        [turn("user", "Hi."), turn("assistant", "b" * 255)] * 3,
        [
            turn("user", "Add."),
            turn("assistant", None, reasoning="Think.", tool_calls=[call]),
            turn("tool", "1" * 999),
            turn("assistant", "One."),
        ],
        [turn("user", "你好"), turn("assistant", "你好😀")],
        None,
    ]
    return Shape(), Batch.of(
        messages=pa.array(said, COLUMNS["messages"]),
        track=["knowledge", "math", "tools", "tools", None, "survey"],
        language=["en", "en", "en", "en", "zh", ""],
    )
