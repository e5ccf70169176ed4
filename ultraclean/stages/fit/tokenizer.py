"""Trains a byte-level BPE tokenizer on tables, with a card that says how well it compresses text.

Byte-level BPE as in GPT-2 (Radford et al. 2019; Sennrich et al. 2016, arXiv 1508.07909), by the
`tokenizers` package: every text has an encoding, and decoding gives it back byte for byte. Each
digit is a token of its own by default, as in LLaMA and most models since.

The same tables give the same bytes: which documents are trained on and which are held out are hashes
of their keys, and neither the number of threads nor the order of documents changes what is learned.
Documents are streamed; what grows is the count of distinct words.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.document import KEY, Batch, n_bytes, random64, texts
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows, TableRef

N_BYTES: Final = 256
_HELD_OUT: Final = 0x7E
_TAKE: Final = 0x5A
_TEXTS_AT_ONCE: Final = 256


class Tokenizer(Artifact):
    """Makes a folder with tokenizer.json and card.json; `score.tokens` and `pack.tokens` read it."""

    stage: ClassVar[str] = "fit.tokenizer"
    main: ClassVar[str | None] = "tables"
    paper: ClassVar[str] = "byte-level BPE: GPT-2 (Radford et al. 2019), arXiv 1508.07909"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tables: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="table or tables whose `text` is learned from"
    )
    vocab_size: int = Field(
        default=32_768, gt=N_BYTES, description="tokens in all: 256 bytes, special ones, merges"
    )
    special: tuple[str, ...] = Field(
        default=("<s>", "</s>", "<|im_start|>", "<|im_end|>"),
        min_length=1,
        description="control tokens, which get the lowest ids and never arise from text",
    )
    split_digits: bool = Field(default=True, description="each digit is a token of its own")
    min_count: int = Field(default=2, ge=1, description="least occurrences of a pair to be merged")
    max_token_bytes: int = Field(
        default=48, ge=1, description="longest token; keeps boilerplate from becoming one token"
    )
    max_bytes: int = Field(
        default=4 * 2**30, ge=1, description="learn from about so many bytes of text, at random"
    )
    held_out: int = Field(
        default=1_000, ge=0, description="about so many documents are kept for the card's numbers"
    )
    seed: int = Field(default=17, ge=0, lt=2**31, description="of the sample of documents")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if len(set(self.special)) != len(self.special) or "" in self.special:
            raise ValueError("special: an entry is empty or stands twice")
        if self.vocab_size <= N_BYTES + len(self.special):
            least = N_BYTES + len(self.special) + 1
            raise ValueError(f"vocab_size must be at least {least}: bytes, special tokens, a merge")
        return self

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # the trainer counts with threads of its own
        from ultraclean.train.shards import tokenizer_id

        began = time.monotonic()
        named = (self.tables,) if isinstance(self.tables, str) else self.tables
        tables = [inputs[name] for name in named]
        n_docs, n_text_bytes = _size(tables)
        if n_text_bytes == 0:
            raise DataError(
                f"{self.called}: {', '.join(named)} hold no text ({n_docs} documents), so there is "
                "nothing to learn from; name other tables, or loosen the filters before them"
            )
        sample = _Sample(
            tables,
            self.seed,
            take=min(1.0, self.max_bytes / n_text_bytes),
            held_out=min(0.5, self.held_out / n_docs),
        )
        tokenizer = self._train(sample)
        if tokenizer.get_vocab_size() <= N_BYTES + len(self.special):
            raise DataError(
                f"{self.called}: no two bytes stand beside each other {self.min_count} times in the "
                f"{sample.n_docs} documents of {', '.join(named)}; give more text or lower min_count"
            )
        content = tokenizer.to_str(pretty=True).encode()
        storage.write_bytes(storage.join(folder, "tokenizer.json"), content)
        card = {
            "kind": self.stage,
            "tokenizer": "tokenizer.json",
            "fingerprint": tokenizer_id(tokenizer),
            "vocab_size": tokenizer.get_vocab_size(),
            "special": {token: tokenizer.token_to_id(token) for token in self.special},
            "tables": list(named),
            "counts": {"documents": n_docs, "bytes": n_text_bytes, **sample.counts()},
            "held_out": _measured(tokenizer, sample.held_out_texts()),
            "settings": self.model_dump(mode="json", exclude={"name", "tables"}),
            "versions": {"tokenizers": importlib.metadata.version("tokenizers")},
            "seconds": round(time.monotonic() - began, 3),
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def _train(self, sample: _Sample) -> Any:
        from tokenizers import Tokenizer as Bpe
        from tokenizers import decoders, models, pre_tokenizers, trainers

        tokenizer = Bpe(models.BPE())
        splits: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
        if self.split_digits:
            splits.insert(0, pre_tokenizers.Digits(individual_digits=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_count,
            special_tokens=list(self.special),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            max_token_length=self.max_token_bytes,
            show_progress=False,
        )
        tokenizer.train_from_iterator(sample.training_texts(), trainer)
        return tokenizer


class _Sample:
    """Documents to learn from and documents held out, told apart by hashes of (seed, key)."""

    def __init__(self, tables: Sequence[Rows], seed: int, take: float, held_out: float) -> None:
        self.tables, self.seed = tables, seed
        self.take, self.held_out = (np.uint64(min(x * 2**64, 2**64 - 1)) for x in (take, held_out))
        self.n_docs = self.n_bytes = 0

    def training_texts(self) -> Iterator[list[str]]:
        for batch in self._batches():
            lower = self._random(batch, _TAKE) <= self.take
            yield self._counted(batch.filter(lower & ~self._is_held_out(batch)))

    def held_out_texts(self) -> Iterator[list[str]]:
        for batch in self._batches():
            yield texts(batch.filter(self._is_held_out(batch))["text"])

    def counts(self) -> dict[str, int]:
        return {"trained_documents": self.n_docs, "trained_bytes": self.n_bytes}

    def _batches(self) -> Iterator[Batch]:
        for table in self.tables:
            for batch in table.batches([KEY, "text"]):
                for start in range(0, batch.num_rows, _TEXTS_AT_ONCE):
                    yield batch.slice(start, _TEXTS_AT_ONCE)

    def _counted(self, batch: Batch) -> list[str]:
        self.n_docs += batch.num_rows
        self.n_bytes += int(n_bytes(batch["text"]).sum())
        return texts(batch["text"])

    def _is_held_out(self, batch: Batch) -> Any:
        return self._random(batch, _HELD_OUT) < self.held_out

    def _random(self, batch: Batch, purpose: int) -> Any:
        return random64(batch[KEY], (self.seed << 8) ^ purpose)


def _size(tables: Sequence[Rows]) -> tuple[int, int]:
    """Documents and bytes of text."""
    n_docs = total = 0
    for table in tables:
        for batch in table.batches(["text"]):
            n_docs += batch.num_rows
            total += int(n_bytes(batch["text"]).sum())
    return n_docs, total


def _measured(tokenizer: Any, groups: Iterable[list[str]]) -> dict[str, Any] | None:
    """How long held-out text becomes, and whether it comes back; None if there is none."""
    n_docs = n_text_bytes = n_words = n_tokens = n_changed = 0
    for group in groups:
        for text, found in zip(
            group, tokenizer.encode_batch(group, add_special_tokens=False), strict=True
        ):
            n_docs += 1
            n_text_bytes += len(text.encode())
            n_words += len(text.split())
            n_tokens += len(found.ids)
            n_changed += tokenizer.decode(found.ids, skip_special_tokens=False) != text
    if not n_tokens:
        return None
    return {
        "documents": n_docs,
        "bytes_per_token": n_text_bytes / n_tokens,
        "tokens_per_word": n_tokens / n_words if n_words else None,
        "not_restored": n_changed,
    }
