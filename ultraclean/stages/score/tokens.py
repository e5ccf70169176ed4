"""Counts the tokens of each document, by any tokenizer.json or by white space.

The size of a corpus in the unit of the model that reads it: what `sample.mix` spends, what a report
adds up. No special tokens are added or counted. A text that holds the name of a special token
(`</s>`) is counted as plain text would be by `pack.tokens`, so that the two agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Map, ModelRef, Resources

_TEXTS_AT_ONCE: Final = 64  # bounds the encodings in memory, whatever the size of a batch


class Tokens(Map):
    """Adds one column, the number of tokens (int64)."""

    stage: ClassVar[str] = "score.tokens"
    main: ClassVar[str | None] = "tokenizer"
    paper: ClassVar[str] = "our own"

    tokenizer: Annotated[str | None, ModelRef()] = Field(
        default=None,
        description="a table made by fit.tokenizer, its folder, or the path of a tokenizer.json; "
        "none: words between white space",
    )
    column: str = Field(default="text", min_length=1, description="column that is counted")
    into: str = Field(default="n_tokens", min_length=1, description="column of the count")

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.int64()}

    def distributions(self) -> tuple[str, ...]:
        return () if self.tokenizer is None else ("tokenizers",)

    @property
    def resources(self) -> Resources:
        return Resources(model=self.tokenizer is not None)

    def problems(self) -> list[str]:
        """Only of a file: without `.json` it may be an artifact that is yet to be made."""
        if self.tokenizer is None or not self.tokenizer.endswith(".json"):
            return []
        try:
            path = storage.expand(self.tokenizer)
            if storage.is_local(path):
                _load(path)
        except DataError as error:
            return [str(error)]
        return []

    def open(self) -> Callable[[Batch], Batch]:
        if self.tokenizer is None:
            return self._count_words
        tokenizer = _load(storage.expand(self.tokenizer))

        def count(batch: Batch) -> Batch:
            found = np.empty(batch.num_rows, dtype=np.int64)
            for start in range(0, batch.num_rows, _TEXTS_AT_ONCE):
                group = texts(batch[self.column].slice(start, _TEXTS_AT_ONCE))
                encoded = tokenizer.encode_batch_fast(group, add_special_tokens=False)
                found[start : start + len(group)] = [len(one.ids) for one in encoded]
            return batch.with_columns({self.into: found})

        return count

    def _count_words(self, batch: Batch) -> Batch:
        counts = [len(text.split()) for text in texts(batch[self.column])]
        return batch.with_columns({self.into: pa.array(counts, pa.int64())})


def _load(path: str) -> Any:
    from ultraclean.train.shards import load_tokenizer

    file = path if path.endswith(".json") else storage.join(path, "tokenizer.json")
    if not storage.exists(file):
        raise DataError(f"{file}: there is no such tokenizer")
    tokenizer = load_tokenizer(file)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
