"""What the stages of `pack` share: their fields, and the way from tables to a stream of documents.

Not a stage. A kind of shards says how it writes the stream, in `_write`.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeVar

import numpy as np
from pydantic import Field

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, ModelRef, Rows, TableRef
from ultraclean.stages.pack import encode
from ultraclean.stages.pack.encode import Tally, Tokens

T = TypeVar("T")

FREQUENT: Final = (8_192, 16_384, 32_768, 65_536)


class Shards(Artifact):
    """Tokens of a table as files, `tokenizer.json`, the frequencies of tokens, and a card."""

    main: ClassVar[str | None] = "tokenizer"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tokenizer: Annotated[str, ModelRef()] = Field(
        description="a table made by fit.tokenizer, its folder, or the path of a tokenizer.json"
    )
    tables: Annotated[str | tuple[str, ...] | None, TableRef()] = Field(
        default=None, description="table or tables to pack; none: the rows before this stage"
    )
    column: str = Field(default="text", min_length=1, description="column that is tokenised")
    begin: str | None = Field(
        default="auto",
        description="token before each document; `auto`: <s> or the like where there is one",
    )
    end: str = Field(
        default="auto",
        description="token after each document; `auto`: </s>, <|endoftext|> or the like",
    )
    shuffle: bool = Field(
        default=False, description="documents in the order of a hash of their keys, not of the rows"
    )
    seed: int | None = Field(default=None, description="of the shuffle; none: by the pipeline's")
    shard_tokens: int = Field(
        default=2**28,
        ge=1,
        description="a shard ends with the document that reaches so many tokens",
    )
    frequent: tuple[int, ...] = Field(
        default=FREQUENT,
        description="lists of so many most frequent ids, for draft models with a small vocabulary "
        "(FR-Spec); sizes beyond the vocabulary are left out",
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def problems(self) -> list[str]:
        """Only of a file: without `.json` it may be an artifact that is yet to be made."""
        if not self.tokenizer.endswith(".json"):
            return []
        try:
            path = storage.expand(self.tokenizer)
            if storage.is_local(path) and not storage.exists(path):
                return [f"{path}: there is no such tokenizer"]
            if storage.is_local(path):
                self._control(path)
        except DataError as error:
            return [str(error)]
        return []

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        from ultraclean.train.shards import dtype_of, tokenizer_id

        began = time.monotonic()
        path = encode.file_of(storage.expand(self.tokenizer))
        begin, end = self._control(path)
        tokenizer = encode.load(path)
        n_ids = encode.vocabulary_size(tokenizer)
        encoding = encode.Encoding(path, begin, end, dtype_of(n_ids).str)
        tally = Tally(np.zeros(n_ids, dtype=np.int64))
        tables = self._tables(inputs)
        seed = (self.seed or 0) if self.shuffle else None
        stream = encode.documents(tables, self.column, encoding, run, tally, seed)
        storage.write_bytes(storage.join(folder, "tokenizer.json"), storage.read_bytes(path))
        written = self._write(stream, folder, encoding, tally)
        if not tally.n_tokens:
            raise DataError(
                f"{self.called}: {', '.join(table.name for table in tables)} hold no text "
                f"({tally.n_docs} documents, {tally.n_empty} of them empty): there is nothing to pack"
            )
        lists = _write_frequencies(folder, tally, self.frequent, (*begin, *end))
        card = {
            "kind": self.stage,
            "tokenizer": tokenizer_id(tokenizer),
            "vocab_size": n_ids,
            "begin": begin[0] if begin else None,
            "end": end[0],
            "tables": [table.name for table in tables],
            **tally.card(),
            **written,
            "frequent": lists,
            "settings": self.model_dump(mode="json", exclude={"name", "tables", "tokenizer"}),
            "versions": {"tokenizers": importlib.metadata.version("tokenizers")},
            "seconds": round(time.monotonic() - began, 3),
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def _write(
        self, stream: Iterator[Tokens], folder: str, encoding: encode.Encoding, tally: Tally
    ) -> dict[str, Any]:
        """Writes the documents; returns what the card says of the files."""
        raise NotImplementedError

    def _control(self, path: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that begin and end a document."""
        tokenizer = encode.load(path)
        return (
            encode.control_token(tokenizer, self.begin, encode.BEGINS, path),
            encode.control_token(tokenizer, self.end, encode.ENDS, path),
        )

    def _tables(self, inputs: Mapping[str, Rows]) -> list[Rows]:
        if self.tables is None and not inputs:
            raise DataError(
                f"{self.called} has no rows: put read.table before it, or name a table in `tables`"
            )
        named = (self.tables,) if isinstance(self.tables, str) else self.tables
        return [inputs[name] for name in named or inputs]


def cut(
    stream: Iterator[T],
    most: int,
    size: Callable[[T], int] = len,  # type: ignore[assignment]
) -> Iterator[Iterator[T]]:
    """The stream in parts: each ends with the item at which the sizes reach `most`."""
    for first in stream:

        def one(first: T = first) -> Iterator[T]:
            n = 0
            for item in itertools.chain([first], stream):
                yield item
                n += size(item)
                if n >= most:
                    return

        yield one()


def _write_frequencies(
    folder: str, tally: Tally, sizes: Sequence[int], forced: Sequence[int]
) -> dict[str, float]:
    """How often each id occurs, and lists of the most frequent; the share of tokens that each covers.

    Control tokens that begin and end documents are in every list, since a draft must end. A list is
    in the order of frequency, ties by the lower id: JSON, which `torch.save` turns into the file
    that FR-Spec's tools read.
    """
    counts = tally.frequencies
    with storage.atomic_write(storage.join(folder, "frequencies.npy")) as stream:
        np.save(stream, counts)
    ranked = np.argsort(-counts, kind="stable")
    ranked = np.concatenate([np.array(forced, dtype=np.int64), ranked[~np.isin(ranked, forced)]])
    covered = {}
    for size in sizes:
        if size <= len(counts):
            ids = ranked[:size].tolist()
            storage.write_json(storage.join(folder, f"freq_{size}.json"), ids)
            covered[str(size)] = float(counts[ids].sum() / counts.sum())
    return covered
