"""Three measures of a model: bits per byte of texts, choices by likelihood, cloze.

Definitions are those of lm-evaluation-harness, so that the two agree on the same items: a
continuation is what the encoding of context and continuation has beyond that of the context;
texts longer than the model sees are scored in windows of new tokens, the last one with full
context; accuracy is the likeliest choice, `accuracy_norm` the likeliest per character.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ultraclean.errors import DataError
from ultraclean.train.chat import BEGIN
from ultraclean.train.inference import Engine, Reading, Scored
from ultraclean.train.loop import autocast
from ultraclean.train.model import MiniCPM4


@dataclass(frozen=True)
class Choice:
    """A question with choices, of which one is right."""

    context: str
    choices: tuple[str, ...]
    answer: int


Request = tuple[Sequence[int], Sequence[int]]
"""Ids of a context, which may not be empty, and of its continuation."""


def score(
    model: MiniCPM4, requests: Sequence[Request], batch_tokens: int = 4096, precision: str = "fp32"
) -> list[Scored]:
    """Scores continuations, about `batch_tokens` at once, those of like length together.

    A context too long for the model loses its beginning.
    """
    longest = model.config.max_position_embeddings
    cut = [_fit(context, continuation, longest) for context, continuation in requests]
    order = sorted(range(len(cut)), key=lambda index: (-cut[index].longest, index))
    results: dict[int, Scored] = {}
    device = next(model.parameters()).device
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    while len(results) < len(order):
        room = max(1, cut[order[len(results)]].longest)
        batch = order[len(results) :][: max(1, batch_tokens // room)]
        engine = Engine(model, places=len(batch), room=room, chunk=batch_tokens, dtype=dtype)
        with autocast(precision, device):
            found = engine.read([cut[index] for index in batch])
        results |= zip(batch, found, strict=True)
    return [results[index] for index in range(len(cut))]


def _fit(context: Sequence[int], continuation: Sequence[int], longest: int) -> Reading:
    if not context:
        raise DataError("a continuation needs at least one token of context")
    if len(continuation) > longest:
        raise DataError(f"a continuation of {len(continuation)} tokens, the model sees {longest}")
    return Reading(context[-(longest + 1 - len(continuation)) :], continuation)


def encode_pair(tokenizer: Any, context: str, continuation: str) -> Request:
    """Ids of a context and of what follows; spaces between them belong to the continuation."""
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    begin = tokenizer.token_to_id(BEGIN)
    first = [] if begin is None else [begin]
    before = tokenizer.encode(bare, add_special_tokens=False).ids
    both = tokenizer.encode(bare + continuation, add_special_tokens=False).ids
    return first + before, both[len(before) :]


def choice_accuracy(
    model: MiniCPM4, tokenizer: Any, items: Sequence[Choice], **how: Any
) -> dict[str, Any]:
    """`accuracy`, `accuracy_norm`, `bits_per_byte` of the right answers, and the nats of each item."""
    requests = [encode_pair(tokenizer, item.context, c) for item in items for c in item.choices]
    nats = iter([scored.nats for scored in score(model, requests, **how)])
    by_item = [[next(nats) for _ in item.choices] for item in items]
    right = [_best(found) == item.answer for found, item in zip(by_item, items, strict=True)]
    per_character = [
        [one / max(len(choice), 1) for one, choice in zip(found, item.choices, strict=True)]
        for found, item in zip(by_item, items, strict=True)
    ]
    right_norm = [_best(one) == item.answer for one, item in zip(per_character, items, strict=True)]
    gold_nats = sum(found[item.answer] for found, item in zip(by_item, items, strict=True))
    gold_bytes = sum(len(item.choices[item.answer].encode()) for item in items)
    return {
        "n_items": len(items),
        "accuracy": sum(right) / max(len(items), 1),
        "accuracy_norm": sum(right_norm) / max(len(items), 1),
        "bits_per_byte": -gold_nats / math.log(2) / max(gold_bytes, 1),
        "nats": by_item,
    }


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index])


def cloze_accuracy(
    model: MiniCPM4, tokenizer: Any, items: Sequence[tuple[str, str]], **how: Any
) -> dict[str, Any]:
    """Items are (text, what follows): `accuracy` is how often greedy decoding writes just that."""
    requests = [encode_pair(tokenizer, context, answer) for context, answer in items]
    found = score(model, requests, **how)
    n_tokens = sum(len(answer) for _, answer in requests)
    nats = sum(one.nats for one in found)
    return {
        "n_items": len(items),
        "accuracy": sum(one.greedy for one in found) / max(len(items), 1),
        "perplexity": math.exp(-nats / max(len(items), 1)),
        "nats_per_token": -nats / max(n_tokens, 1),
        "nats": [one.nats for one in found],
    }


def text_bits_per_byte(
    model: MiniCPM4, tokenizer: Any, texts: Iterable[str], length: int | None = None, **how: Any
) -> dict[str, Any]:
    """Bits per UTF-8 byte over all texts, and per text, for a bootstrap over documents.

    `length` is how many tokens the model sees at once; by default all that it can.
    """
    begin = tokenizer.token_to_id(BEGIN)
    requests: list[Request] = []
    owners: list[int] = []
    sizes: list[int] = []
    seen = min(length or model.config.max_position_embeddings, model.config.max_position_embeddings)
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        sizes.append(len(text.encode()))
        for request in rolling(ids, seen, begin):
            requests.append(request)
            owners.append(number)
    nats = [0.0] * len(sizes)
    for owner, scored in zip(owners, score(model, requests, **how), strict=True):
        nats[owner] += scored.nats
    return {
        "n_texts": len(sizes),
        "n_bytes": sum(sizes),
        "bits_per_byte": -sum(nats) / math.log(2) / max(sum(sizes), 1),
        "nats": nats,
        "bytes": sizes,
    }


def rolling(ids: Sequence[int], length: int, begin: int | None) -> list[Request]:
    """Requests that score each id once; without a `begin` token the first id is context only."""
    prefix = [begin] if begin is not None else list(ids[:1])
    rest = list(ids) if begin is not None else list(ids[1:])
    if not rest:
        return []
    everything = prefix + rest
    requests: list[Request] = [(prefix, rest[:length])]
    done = len(requests[0][1])
    while done < len(rest):
        new = min(length, len(rest) - done)
        stop = done + new + 1  # in `everything`
        requests.append((everything[stop - length - 1 : stop - new], everything[stop - new : stop]))
        done += new
    return requests
