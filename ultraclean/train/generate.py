"""Short text from a model: greedy, or sampled with temperature and top-p, over a key-value cache."""

# ruff: noqa: N803, N806 -- a tensor's name ends in its shape

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ultraclean.errors import DataError
from ultraclean.train.chat import BEGIN, END, Message, render
from ultraclean.train.model import Cache, MiniCPM4


@torch.inference_mode()
def generate_ids(
    model: MiniCPM4,
    prompt: Sequence[int],
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[int] = (),
) -> list[int]:
    """The ids that follow a prompt; temperature 0 takes the likeliest, a stop id is not returned."""
    longest = model.config.max_position_embeddings
    if not prompt:
        raise DataError("a prompt needs at least one token")
    if len(prompt) + max_tokens > longest:
        raise DataError(
            f"{len(prompt)} tokens of prompt and {max_tokens} new ones are beyond the model's {longest}"
        )
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    cache = Cache(model.config)
    given = torch.tensor([list(prompt)], device=device)
    written: list[int] = []
    while len(written) < max_tokens:
        logits_V = model.logits(given, cache)[0, -1].float()
        token = choose(logits_V, temperature, top_p, generator)
        if token in stop:
            break
        written.append(token)
        given = torch.tensor([[token]], device=device)
    return written


def choose(logits_V: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """One id: the likeliest, or a draw from the likeliest ids that together have `top_p`."""
    if temperature == 0:
        return int(logits_V.argmax())
    probability, order = (logits_V / temperature).softmax(dim=-1).sort(descending=True, stable=True)
    before = probability.cumsum(dim=-1) - probability
    probability = probability.masked_fill(before >= top_p, 0.0)
    probability[0] = probability[0].clamp(min=1e-30)  # top_p 0 is the likeliest
    return int(order[torch.multinomial(probability, 1, generator=generator)])


def generate_text(
    model: MiniCPM4,
    tokenizer: Any,
    prompt: str | Sequence[Message],
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> str:
    """Text after a text, or the assistant's turn after a dialogue; ends at `</s>` or `<|im_end|>`."""
    text = prompt if isinstance(prompt, str) else render(prompt, answer=True)
    begin = tokenizer.token_to_id(BEGIN)
    ids = [] if begin is None else [begin]
    ids += tokenizer.encode(text, add_special_tokens=False).ids
    ends = [i for i in (tokenizer.token_to_id("</s>"), tokenizer.token_to_id(END)) if i is not None]
    written = generate_ids(
        model,
        ids,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=ends,
    )
    return str(tokenizer.decode(written, skip_special_tokens=True))
