"""Dialogues to tokens: MiniCPM4's chat template, with the loss on the assistant's turns.

The template of the released tokenizers is ChatML: `<|im_start|>role\\ncontent<|im_end|>\\n` for each
message, after `<s>`. What the model must learn to write is the content of each assistant turn and
the `<|im_end|>` that ends it; the rest is given. Dialogues are packed whole into samples, longest
first into the fullest sample that has room, and the document mask keeps them apart.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ultraclean.errors import DataError
from ultraclean.train.shards import Document, write_manifest, write_shard

BEGIN, START, END = "<s>", "<|im_start|>", "<|im_end|>"

Message = Mapping[str, str]
"""`role` (system, user, assistant, tool) and `content`."""


def render(messages: Iterable[Message], answer: bool = False) -> str:
    """The dialogue as text; with `answer`, open for the assistant's turn."""
    turns = "".join(f"{START}{one['role']}\n{one['content']}{END}\n" for one in messages)
    return turns + (f"{START}assistant\n" if answer else "")


def encode_dialogue(messages: Sequence[Message], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids of a dialogue, and 1 for each that the model is to predict."""
    start, end = (tokenizer.token_to_id(mark) for mark in (START, END))
    if start is None or end is None:
        raise DataError(f"the tokenizer lacks the chat tokens {START} and {END}: add them to it")
    begin = tokenizer.token_to_id(BEGIN)
    ids = [begin] if begin is not None else []
    counts = [0] * len(ids)

    def add(piece: str, learnt: bool) -> None:
        # Pieces are encoded one by one, so that content cannot merge with the template around it.
        found = tokenizer.encode(piece, add_special_tokens=False).ids
        ids.extend(found)
        counts.extend([int(learnt)] * len(found))

    for message in messages:
        learnt = message["role"] == "assistant"
        ids.append(start)
        counts.append(0)
        add(f"{message['role']}\n", False)
        add(message["content"], learnt)
        ids.append(end)
        counts.append(int(learnt))
        add("\n", False)
    return ids, counts


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best fit, decreasing: bins of indices whose lengths sum to at most `capacity`.

    Lengths beyond the capacity are left out. Ties go to the lower index, so the order is fixed.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (room left, bin), sorted
    for index in order:
        if lengths[index] > capacity:
            continue
        place = bisect.bisect_left(room, (lengths[index], -1))
        if place < len(room):
            left, chosen = room.pop(place)
        else:
            left, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(index)
        bisect.insort(room, (left - lengths[index], chosen))
    return bins


def write_dialogues(
    folder: str, dialogues: Iterable[Sequence[Message]], tokenizer: Any, length: int
) -> dict[str, Any]:
    """Masked shards for samples of `length` tokens; the card says how many dialogues were too long."""
    encoded = [encode_dialogue(messages, tokenizer) for messages in dialogues]
    bins = pack([len(ids) for ids, _ in encoded], length)
    padding = tokenizer.token_to_id(END)

    def documents() -> Iterable[Document]:
        for members in bins:
            used = 0
            for index in members:
                yield encoded[index]
                used += len(encoded[index][0])
            if used < length:
                gap = length - used
                yield [padding] * gap, np.zeros(gap, np.uint8)

    size = tokenizer.get_vocab_size()
    shard = write_shard(folder, "00000", documents(), size, masked=True)
    manifest = write_manifest(folder, [shard], size, tokenizer, masked=True, length=length)
    n_packed = sum(map(len, bins))
    return {**manifest, "n_dialogues": n_packed, "n_too_long": len(encoded) - n_packed}
