"""Makes training shards: a table as tokens, in the format that the trainer maps into memory.

Without `length` documents follow one another, each after `begin` and before `end`, and a sample of
the trainer is any run of tokens. With `length` they are packed, longest first into the fullest
sample that has room (best fit; Ding et al. 2024, arXiv 2404.10830): a document is cut only where it
is longer than a sample, and what stays free, commonly far below a percent, is padded and masked.

Packing sees a window of the stream at a time, so memory is bounded and the result depends on
nothing but the documents and their order. Workers tokenise, and the driver writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from ultraclean.stages.pack import encode
from ultraclean.stages.pack.encode import Tally
from ultraclean.stages.pack.shards import Shards, cut

if TYPE_CHECKING:
    from ultraclean.train.shards import Document

WINDOW_TOKENS: Final = 2**23
_SAMPLES_PER_WINDOW: Final = 64


class Tokens(Shards):
    """Makes a folder that `ultraclean train` reads (`ultraclean.train.shards`), and a card."""

    stage: ClassVar[str] = "pack.tokens"
    paper: ClassVar[str] = "best-fit packing: Ding et al. 2024 (arXiv 2404.10830)"

    length: int | None = Field(
        default=None,
        ge=2,
        description="pack documents into samples of so many tokens; none: do not",
    )
    too_long: Literal["split", "truncate", "drop"] = Field(
        default="split", description="what becomes of documents longer than `length`"
    )

    def _write(
        self,
        stream: Iterator[encode.Tokens],
        folder: str,
        encoding: encode.Encoding,
        tally: Tally,
    ) -> dict[str, Any]:
        from ultraclean.train import shards

        if self.length is None:
            parts = cut(stream, self.shard_tokens)
            documents: Iterator[Iterator[shards.Document]] = (
                ((tokens, None) for tokens in part) for part in parts
            )
        else:
            tally.counts |= {"truncated": 0, "split": 0, "dropped": 0, "samples": 0, "padding": 0}
            pieces = fitting(stream, self.length, self.too_long, tally)
            # A shard is whole samples, so that the samples of the trainer are those packed here.
            length, end = self.length, encoding.end[0]
            groups = cut(packed(pieces, length), self.shard_tokens, lambda _: length)
            documents = (_padded(group, length, end, tally) for group in groups)
        masked = self.length is not None
        n_ids = len(tally.frequencies)
        entries = [
            shards.write_shard(folder, f"{number:05d}", part, n_ids, masked)
            for number, part in enumerate(documents)
        ]
        tokenizer = encode.load(encoding.tokenizer)
        manifest = shards.write_manifest(folder, entries, n_ids, tokenizer, masked)
        return {"shards": len(entries), "written_tokens": manifest["n_tokens"]}


def fitting(
    stream: Iterator[encode.Tokens], length: int, too_long: str, tally: Tally
) -> Iterator[encode.Tokens]:
    """Documents of at most `length` tokens; those that are longer are split, truncated or dropped."""
    for tokens in stream:
        if len(tokens) <= length:
            yield tokens
        elif too_long == "split":
            tally.counts["split"] += 1
            for start in range(0, len(tokens), length):
                yield tokens[start : start + length]
        elif too_long == "truncate":
            tally.counts["truncated"] += 1
            yield tokens[:length]
        else:
            tally.counts["dropped"] += 1


def packed(pieces: Iterator[encode.Tokens], length: int) -> Iterator[list[encode.Tokens]]:
    """Samples: documents that together have at most `length` tokens, packed window by window."""
    from ultraclean.train.chat import pack

    most = max(WINDOW_TOKENS, _SAMPLES_PER_WINDOW * length)
    for part in cut(pieces, most):
        window = list(part)
        bins = pack([len(tokens) for tokens in window], length)
        # In the order of the documents again: best fit begins with the longest.
        for members in sorted(sorted(one) for one in bins):
            yield [window[index] for index in members]


def _padded(
    samples: Iterator[list[encode.Tokens]], length: int, end: int, tally: Tally
) -> Iterator[Document]:
    """The documents of the samples, each sample filled up with `end` tokens that do not count."""
    for members in samples:
        for tokens in members:
            yield tokens, None
        gap = length - sum(map(len, members))
        tally.counts["samples"] += 1
        tally.counts["padding"] += gap
        if gap:
            yield np.full(gap, end), np.zeros(gap, dtype=np.uint8)
