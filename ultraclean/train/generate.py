"""Short text from a model: greedy, or sampled with temperature and top-p."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ultraclean.errors import DataError
from ultraclean.train.chat import BEGIN, END, Message, render
from ultraclean.train.inference import Engine, Writing
from ultraclean.train.model import MiniCPM4

AT_ONCE = 32
"""Texts that are written together."""


def generate_text(
    model: MiniCPM4, tokenizer: Any, prompt: str | Sequence[Message], **how: Any
) -> str:
    """Text after a text, or the assistant's turn after a dialogue; ends at `</s>` or `<|im_end|>`.

    `how` are fields of `ultraclean.train.inference.Writing`: max_tokens, temperature, top_p, seed.
    """
    return generate_texts(model, tokenizer, [prompt], **how)[0]


def generate_texts(
    model: MiniCPM4, tokenizer: Any, prompts: Sequence[str | Sequence[Message]], **how: Any
) -> list[str]:
    """`generate_text` of many prompts, written together."""
    if not prompts:
        return []
    ends = end_ids(tokenizer)
    requests = [Writing(prompt_ids(tokenizer, prompt), stop=ends, **how) for prompt in prompts]
    room = max(request.longest for request in requests)
    if room > (longest := model.config.max_position_embeddings):
        new = requests[0].max_tokens
        raise DataError(
            f"{room - new} tokens of prompt and {new} new ones are beyond the model's {longest}"
        )
    engine = Engine(model, places=min(AT_ONCE, len(requests)), room=room)
    return [tokenizer.decode(ids, skip_special_tokens=True) for ids in engine.write(requests)]


def end_ids(tokenizer: Any) -> list[int]:
    """The ids that end an answer."""
    return [i for i in map(tokenizer.token_to_id, ("</s>", END)) if i is not None]


def prompt_ids(tokenizer: Any, prompt: str | Sequence[Message]) -> list[int]:
    """The ids of a text, or of a dialogue that is open for the assistant's turn."""
    text = prompt if isinstance(prompt, str) else render(prompt, answer=True)
    begin = tokenizer.token_to_id(BEGIN)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids if begin is None else [begin, *ids]
