"""A record of each format, one without an answer, one of no format, one that is absent."""

from ultrachat.stages.read import Read
from ultraclean.document import Batch
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    records = [
        '{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "source": "web"}',
        '{"conversations": [{"from": "human", "value": "天气"}, {"from": "function_call", "value": "{\\"name\\": \\"get\\", \\"arguments\\": {}}"}], "tools": "[{\\"name\\": \\"get\\"}]"}',
        '{"instruction": "Add.", "input": "1 2", "output": "3"}',
        '{"data": ["a", "b", "c", "d"]}',
        '{"data": ["a"]}',
        '{"title": "none"}',
        None,
    ]
    return Read(), Batch.of(metadata=records)
