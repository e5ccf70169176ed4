"""Adds a MinHash signature that datasketch can read: the bytes of its LeanMinHash.

Bit for bit `MinHash(permutations, seed, scheme=...)` of the document's word n-grams, each its words in
lower case with one space between, encoded as UTF-8 and hashed by SHA-1, as the package does by default. Words are
those of `dedup.minhash`, whose `signatures: COLUMN` takes these, or datasketch's own, in place of a text. It is
for exchange: strings are made of all shingles, and deduplication alone needs no such column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch, texts
from ultraclean.stage import Map


class Minhash(Map):
    """Adds one column, binary; null where a document has fewer words than an n-gram."""

    stage: ClassVar[str] = "score.minhash"
    paper: ClassVar[str] = "Broder 1997; datasketch 2.0, LeanMinHash.serialize(byteorder='<')"

    column: str = Field(default="text", description="the text of which signatures are made")
    ngram: int = Field(default=5, ge=1, description="words in a shingle")
    permutations: int = Field(
        default=128, ge=1, le=4096, description="values of a signature (num_perm)"
    )
    seed: int = Field(default=1, ge=0, lt=2**32, description="draws the permutations")
    scheme: Literal["affine32", "affine64", "legacy"] = Field(
        default="affine32", description="datasketch's; legacy is that of its versions before 2"
    )
    into: str = Field(default="minhash", min_length=1, description="column of the signature")

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.binary()}

    def open(self) -> Callable[[Batch], Batch]:
        from ultrakernels import datasketch

        def sign(text: str) -> bytes | None:
            shingles = {shingle.encode() for shingle in shingles_of(text, self.ngram)}
            if not shingles:
                return None
            made = datasketch.minhash(shingles, self.scheme, self.seed, self.permutations)
            return datasketch.pack(made)

        def score(batch: Batch) -> Batch:
            found = [sign(text) for text in texts(batch[self.column])]
            return batch.with_columns({self.into: pa.array(found, pa.binary())})

        return score


def shingles_of(text: str, ngram: int) -> list[str]:
    """The word n-grams of a text, as strings, in order."""
    from ultrakernels.shingles import reference_words

    words = reference_words(text)
    return [" ".join(words[at : at + ngram]) for at in range(len(words) - ngram + 1)]
