"""Writes a part of a table as shards of the trainer, on a worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ultraclean import storage
from ultraclean.stage import Rows
from ultraclean.stages.verify import texts


@dataclass(frozen=True)
class Part:
    """The documents of a table between two places; picklable, as a table is a list of paths."""

    rows: Rows
    name: str
    folder: str
    tokenizer: str
    low: float
    high: float
    without: frozenset[float]
    is_shuffled: bool = False

    def shuffled(self) -> Part:
        """The placebo: the words of each document in another order."""
        return dataclasses.replace(self, name=f"{self.name}.placebo", is_shuffled=True)

    def holds(self, where: float) -> bool:
        return self.low <= where < self.high and where not in self.without


def pack(part: Part) -> tuple[int, int]:
    """Tokens written, and tokens if exact copies are counted once."""
    from ultraclean.stages.verify.trial import load_tokenizer
    from ultraclean.train import shards

    tokenizer = load_tokenizer(part.tokenizer)
    begin, end = (tokenizer.token_to_id(mark) for mark in ("<s>", "</s>"))
    before, after = ([one] if one is not None else [] for one in (begin, end))
    seen: set[float] = set()
    n_unique = 0

    def found() -> Iterator[shards.Document]:
        nonlocal n_unique
        for text in texts.documents(part.rows):
            where = texts.place(text)
            if not part.holds(where):
                continue
            written = texts.shuffled(text) if part.is_shuffled else text
            ids: list[Any] = tokenizer.encode(written, add_special_tokens=False).ids
            ids = [*before, *ids, *after]
            if where not in seen:
                n_unique += len(ids)
                seen.add(where)
            yield ids, None

    target = storage.join(part.folder, part.name)
    size = tokenizer.get_vocab_size()
    shard = shards.write_shard(target, "00000", found(), size)
    shards.write_manifest(target, [shard], size, tokenizer)
    return int(shard["n_tokens"]), n_unique
