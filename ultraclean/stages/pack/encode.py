"""Documents of tables as tokens: a stream in the order of the rows, encoded by the workers.

Not a stage: what all stages of `pack` share. Text goes out in rounds of chunks and comes back as
tokens, so what is held at once is a round, whatever the size of a table.
"""

from __future__ import annotations

import functools
import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import KEY, n_bytes, random64, texts
from ultraclean.errors import DataError
from ultraclean.stage import Rows

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
Tokens = NDArray[Any]

CHUNK_BYTES: Final = 4 * 2**20
CHUNKS_AT_ONCE: Final = 32
_TEXTS_AT_ONCE: Final = 64  # bounds the encodings that a worker holds
_N_PIECES: Final = 256
_HEAD: Final = struct.Struct("<Q16sQ")

BEGINS: Final = ("<s>", "<|begin_of_text|>", "<bos>")
ENDS: Final = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>")


@dataclass(frozen=True)
class Encoding:
    """How a worker makes tokens of text; small and picklable."""

    tokenizer: str
    begin: tuple[int, ...]
    end: tuple[int, ...]
    dtype: str


@dataclass
class Tally:
    """What went by: for the card."""

    frequencies: NDArray[np.int64]
    n_docs: int = 0
    n_empty: int = 0
    n_bytes: int = 0
    n_tokens: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """What became of documents on the way: truncated, split, dropped."""

    def card(self) -> dict[str, Any]:
        per_token = self.n_bytes / self.n_tokens if self.n_tokens else None
        return {
            "documents": self.n_docs,
            "empty": self.n_empty,
            "tokens": self.n_tokens,
            "bytes": self.n_bytes,
            "bytes_per_token": per_token,
            **self.counts,
        }


# --- the tokenizer --------------------------------------------------------------------------------


def file_of(reference: str) -> str:
    """The tokenizer.json of a folder that `fit.tokenizer` made, or the file itself."""
    return reference if reference.endswith(".json") else storage.join(reference, "tokenizer.json")


def load(path: str) -> Any:
    """A tokenizer that takes names of control tokens in a text for text, and cuts nothing."""
    if not storage.exists(path):
        raise DataError(f"{path}: there is no such tokenizer")
    return _loaded(path, storage.stamp(path))


@functools.lru_cache(maxsize=2)
def _loaded(path: str, stamp: str) -> Any:
    """Once per worker and content: `stamp` changes when the file does."""
    from ultraclean.train.shards import load_tokenizer

    tokenizer = load_tokenizer(path)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id, which exceeds the number of tokens where ids have gaps."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def control_token(
    tokenizer: Any, named: str | None, usual: Sequence[str], path: str
) -> tuple[int, ...]:
    """The id of a named token, or with `auto` of the first usual one that is there; () for none."""
    if named is None:
        return ()
    wanted = usual if named == "auto" else (named,)
    found = [index for name in wanted if (index := tokenizer.token_to_id(name)) is not None]
    if found:
        return (found[0],)
    if named == "auto" and usual is BEGINS:
        return ()
    there = [one.content for one in tokenizer.get_added_tokens_decoder().values() if one.special]
    shown = ", ".join(there[:20]) or "none"
    raise DataError(
        f"{path} has no token {' or '.join(wanted)}; its control tokens are: {shown}. Name one that "
        "separates documents in `end`"
    )


# --- workers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoded:
    """Documents of a chunk one after the other; `ends` int64[n_docs], an empty one has no tokens."""

    tokens: Tokens
    ends: NDArray[np.int64]


def encode(encoding: Encoding, column: pa.Array) -> Encoded:
    """A chunk of texts as tokens, each text between the begin and the end token."""
    tokenizer = load(encoding.tokenizer)
    parts, lengths = [], []
    for start in range(0, len(column), _TEXTS_AT_ONCE):
        group = texts(column.slice(start, _TEXTS_AT_ONCE))
        for text, found in zip(
            group, tokenizer.encode_batch_fast(group, add_special_tokens=False), strict=True
        ):
            ids = (*encoding.begin, *found.ids, *encoding.end) if text else ()
            parts.append(np.array(ids, dtype=encoding.dtype))
            lengths.append(len(ids))
    tokens = np.concatenate(parts) if parts else np.zeros(0, dtype=encoding.dtype)
    return Encoded(tokens, np.cumsum(lengths, dtype=np.int64))


# --- the stream -----------------------------------------------------------------------------------

Ordered = tuple[int, bytes, Tokens]
"""A random number, a key, and the tokens of a document."""


def documents(
    tables: Sequence[Rows],
    column: str,
    encoding: Encoding,
    run: Run,
    tally: Tally,
    seed: int | None = None,
) -> Iterator[Tokens]:
    """The tokens of each document that is not empty: in the order of the rows, or by seed shuffled."""
    found = _in_order(tables, column, encoding, run, tally, seed)
    if seed is not None:
        found = _shuffled(found, encoding.dtype)
    for _, _, tokens in found:
        yield tokens


def _in_order(
    tables: Sequence[Rows],
    column: str,
    encoding: Encoding,
    run: Run,
    tally: Tally,
    seed: int | None,
) -> Iterator[Ordered]:
    for chunks in _rounds(tables, column):
        encoded = run(functools.partial(encode, encoding), [text for _, text in chunks])
        for (keys, text), found in zip(chunks, encoded, strict=True):
            n_docs = len(text)
            order = [0] * n_docs if seed is None else random64(keys, seed).tolist()
            names = [b""] * n_docs if seed is None else keys.to_pylist()
            starts = [0, *found.ends[:-1].tolist()]
            tally.n_docs += n_docs
            tally.n_bytes += int(n_bytes(text).sum())
            tally.n_tokens += len(found.tokens)
            tally.frequencies += np.bincount(found.tokens, minlength=len(tally.frequencies))
            for row, (start, stop) in enumerate(zip(starts, found.ends.tolist(), strict=True)):
                if start == stop:
                    tally.n_empty += 1
                    continue
                yield order[row], names[row], found.tokens[start:stop]


def _rounds(tables: Sequence[Rows], column: str) -> Iterator[list[tuple[pa.Array, pa.Array]]]:
    """Some chunks of (keys, texts) at a time, each of about CHUNK_BYTES and of whole documents."""
    chunks: list[tuple[pa.Array, pa.Array]] = []
    for table in tables:
        for batch in table.batches([KEY, column]):
            if column not in batch:
                raise DataError(f"the table {table.name} has no column {column!r}")
            bounds = np.cumsum(n_bytes(batch[column])) // CHUNK_BYTES
            cuts = [0, *(np.flatnonzero(np.diff(bounds)) + 1).tolist(), batch.num_rows]
            for start, stop in itertools.pairwise(cuts):
                # A slice is sent with all that it is a slice of; a copy is not.
                text = pa.concat_arrays([batch[column][start:stop]])
                chunks.append((batch[KEY][start:stop], text))
                if len(chunks) == CHUNKS_AT_ONCE:
                    yield chunks
                    chunks = []
    if chunks:
        yield chunks


def _shuffled(found: Iterator[Ordered], dtype: str) -> Iterator[Ordered]:
    """By the random number, ties by the key: the same order however the documents came.

    They lie in temporary files by the first bits of the number, and one file is sorted at a time.
    """
    with tempfile.TemporaryDirectory(prefix="ultraclean-pack-") as folder:
        places = [Path(folder) / f"{number:03}" for number in range(_N_PIECES)]
        with ExitStack() as stack:
            streams = [stack.enter_context(open(place, "wb")) for place in places]
            for order, key, tokens in found:
                content = tokens.tobytes()
                stream = streams[order >> 56]
                stream.write(_HEAD.pack(order, key, len(content)) + content)
        for place in places:
            content = place.read_bytes()
            place.unlink()
            for order, key, start, stop in sorted(_records(content)):
                yield order, key, np.frombuffer(content[start:stop], dtype=dtype)


def _records(content: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    at = 0
    while at < len(content):
        order, key, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        yield order, key, at, at + size
        at += size
