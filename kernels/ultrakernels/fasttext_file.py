"""Reads the binary files of fastText (`.bin`, and `.ftz` with product quantisation), in one pass of seeks.

The format is that of fastText 0.9 (Bojanowski et al. 2016, Joulin et al. 2016; file version 12, and
11, whose supervised models have no character n-grams). Matrices stay in the file and are read in
pieces, because the input matrix of a usual classifier is 2 GB and nobody needs all of it at once.
A file that is not what it should be is a ValueError that says what is wrong and at which byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = 793712314
LABEL_PREFIX: Final = b"__label__"
LOSSES: Final = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_SUPERVISED: Final = 3
_MAX_DIM: Final = 1 << 16
_PIECE_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class Dense:
    """float32[rows, dim] that lies in the file at `position`."""

    rows: int
    dim: int
    position: int

    def pieces(self, stream: IO[bytes], n_rows: int) -> Iterator[NDArray[np.float32]]:
        stream.seek(self.position)
        for start in range(0, self.rows, n_rows):
            count = min(n_rows, self.rows - start)
            raw = stream.read(count * self.dim * 4)
            if len(raw) < count * self.dim * 4:
                raise ValueError(f"the matrix at byte {self.position} ends early")
            yield np.frombuffer(raw, dtype="<f4").reshape(count, self.dim)


@dataclass(frozen=True)
class Quantised:
    """A product-quantised matrix: `codes` name centroids of pieces of a row, scaled by a norm."""

    rows: int
    dim: int
    codes: NDArray[np.uint8]
    """uint8[rows, n_pieces]"""
    centroids: tuple[NDArray[np.float32], ...]
    """One float32[256, width of the piece] for each piece."""
    norms: NDArray[np.float32]
    """float32[rows]"""

    def pieces(self, stream: IO[bytes], n_rows: int) -> Iterator[NDArray[np.float32]]:
        del stream  # small enough to be in memory
        for start in range(0, self.rows, n_rows):
            codes = self.codes[start : start + n_rows]
            parts = [table[codes[:, i]] for i, table in enumerate(self.centroids)]
            yield np.concatenate(parts, axis=1) * self.norms[start : start + n_rows, None]


Matrix = Dense | Quantised


def pieces_of(stream: IO[bytes], matrix: Matrix) -> Iterator[NDArray[np.float32]]:
    """The rows of a matrix, some megabytes at a time."""
    return matrix.pieces(stream, max(1, _PIECE_BYTES // (4 * matrix.dim)))


def whole(stream: IO[bytes], matrix: Matrix) -> NDArray[np.float32]:
    """float32[rows, dim]"""
    out = np.empty((matrix.rows, matrix.dim), dtype=np.float32)
    start = 0
    for piece in pieces_of(stream, matrix):
        out[start : start + len(piece)] = piece
        start += len(piece)
    return out


@dataclass(frozen=True)
class ModelFile:
    """What a supervised model file holds; both matrices are read on demand."""

    dim: int
    word_ngrams: int
    loss: str
    bucket: int
    min_chars: int
    max_chars: int
    words: list[bytes]
    labels: list[bytes]
    """With their prefix `__label__`."""
    label_counts: NDArray[np.int64]
    prune_size: int
    """-1: not pruned; 0: no n-gram is left; else the number of buckets that are."""
    pruned: NDArray[np.int32]
    """int32[prune_size, 2]: bucket, and its row after the words."""
    input: Matrix
    output: Matrix

    @property
    def n_words(self) -> int:
        return len(self.words)


def read(stream: IO[bytes], name: str) -> ModelFile:
    """The model in a seekable stream; `name` is what an error calls it."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    try:
        return _read(_Reader(stream, size))
    except ValueError as error:
        raise ValueError(f"{name}: not a usable fastText model: {error}") from None


class _Reader:
    """A stream that knows how long it is, so that a short read can say where and what."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.size = stream, size

    @property
    def at(self) -> int:
        return self.stream.tell()

    def take(self, n_bytes: int, what: str) -> bytes:
        self._need(n_bytes, what)
        return self.stream.read(n_bytes)

    def skip(self, n_bytes: int, what: str) -> None:
        self._need(n_bytes, what)
        self.stream.seek(n_bytes, io.SEEK_CUR)

    def _need(self, n_bytes: int, what: str) -> None:
        if n_bytes < 0 or self.at + n_bytes > self.size:
            raise ValueError(
                f"{what} at byte {self.at} needs {n_bytes} bytes, but the file ends at {self.size} "
                "(truncated, or damaged before this place)"
            )

    def ints(self, count: int, what: str) -> list[int]:
        return [int(x) for x in np.frombuffer(self.take(4 * count, what), dtype="<i4")]

    def long(self, what: str) -> int:
        return int(np.frombuffer(self.take(8, what), dtype="<i8")[0])

    def flag(self, what: str) -> bool:
        at = self.at
        byte = self.take(1, what)[0]
        if byte > 1:
            raise ValueError(f"{what} at byte {at} is {byte}, not 0 or 1")
        return bool(byte)

    def floats(self, count: int, what: str) -> NDArray[np.float32]:
        return np.frombuffer(self.take(4 * count, what), dtype="<f4")


def _read(reader: _Reader) -> ModelFile:
    magic, version = reader.ints(2, "the header")
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic:#x} instead of {MAGIC:#x}, so it is another kind")
    if version not in (11, 12):
        raise ValueError(f"its file version is {version}; 11 and 12 are known")
    settings = reader.ints(12, "the settings")
    dim, word_ngrams, loss, kind, bucket, min_chars, max_chars = (
        settings[i] for i in (0, 5, 6, 7, 8, 9, 10)
    )
    reader.take(8, "the settings")
    if kind != _SUPERVISED:
        kinds = {1: "cbow", 2: "skipgram"}
        raise ValueError(f"it holds word vectors ({kinds.get(kind, kind)}), not a classifier")
    if loss not in LOSSES or not 0 < dim <= _MAX_DIM or bucket < 0:
        raise ValueError(f"impossible settings: dim {dim}, loss {loss}, bucket {bucket}")
    if version == 11:
        max_chars = 0
    if bucket == 0 and (word_ngrams > 1 or max_chars > 0):
        raise ValueError("it uses n-grams but has no buckets for them")
    words, labels, label_counts, prune_size, pruned = _dictionary(reader)

    quantised = reader.flag("the quantisation mark of the input matrix")
    first = _matrix(reader, quantised, "the input matrix")
    if prune_size >= 0 and not quantised:
        raise ValueError("its n-grams are pruned but its matrix is not quantised (fastText #332)")
    output_quantised = reader.flag("the quantisation mark of the output matrix") and quantised
    second = _matrix(reader, output_quantised, "the output matrix")
    if reader.at != reader.size:
        raise ValueError(f"it goes on for {reader.size - reader.at} bytes after its end")

    rows = len(words) + (bucket if prune_size < 0 else prune_size)
    if (first.dim, second.dim) != (dim, dim):
        raise ValueError(f"matrices of width {first.dim} and {second.dim} for dim {dim}")
    if first.rows != rows or second.rows != len(labels):
        raise ValueError(
            f"matrices of {first.rows} and {second.rows} rows "
            f"for {rows} words and n-grams and {len(labels)} labels"
        )
    if prune_size > 0 and not (pruned[:, 1].min() >= 0 and pruned[:, 1].max() < prune_size):
        raise ValueError("its index of pruned n-grams points outside the matrix")
    return ModelFile(
        dim=dim,
        word_ngrams=word_ngrams,
        loss=LOSSES[loss],
        bucket=bucket,
        min_chars=min_chars,
        max_chars=max(max_chars, 0),
        words=words,
        labels=labels,
        label_counts=label_counts,
        prune_size=prune_size,
        pruned=pruned,
        input=first,
        output=second,
    )


def _dictionary(
    reader: _Reader,
) -> tuple[list[bytes], list[bytes], NDArray[np.int64], int, NDArray[np.int32]]:
    start = reader.at
    size, n_words, n_labels = reader.ints(3, "the sizes of the vocabulary")
    reader.long("the number of tokens")
    prune_size = reader.long("the number of kept n-grams")
    if n_labels < 1 or n_words < 0 or size != n_words + n_labels or prune_size < -1:
        raise ValueError(
            f"impossible vocabulary at byte {start}: {size} entries, "
            f"{n_words} words, {n_labels} labels, {prune_size} kept n-grams"
        )
    if size * 10 > reader.size:
        raise ValueError(f"{size} vocabulary entries cannot lie in {reader.size} bytes")

    # An entry is a word, a zero, its count (8 bytes) and its kind (1 byte).
    base = reader.at
    raw = b""
    entries: list[bytes] = []
    counts: list[int] = []
    at = 0
    while len(entries) < size:
        end = raw.find(b"\0", at)
        if end < 0 or end + 10 > len(raw):
            more = reader.stream.read(1 << 22)
            if not more:
                raise ValueError(
                    f"the vocabulary ends at byte {base + len(raw)} "
                    f"after {len(entries)} of {size} entries"
                )
            raw = raw[at:] + more
            base += at
            at = 0
            continue
        if (raw[end + 9] == 1) != (len(entries) >= n_words):
            raise ValueError(f"words and labels are out of order at byte {base + at}")
        entries.append(raw[at:end])
        if len(entries) > n_words:
            counts.append(int.from_bytes(raw[end + 1 : end + 9], "little", signed=True))
        at = end + 10
    reader.stream.seek(base + at)

    kept = max(prune_size, 0)
    pairs = np.frombuffer(reader.take(8 * kept, "the kept n-grams"), dtype="<i4")
    label_counts = np.array(counts, dtype=np.int64)
    return entries[:n_words], entries[n_words:], label_counts, prune_size, pairs.reshape(kept, 2)


def _matrix(reader: _Reader, quantised: bool, what: str) -> Matrix:
    scaled = quantised and reader.flag(f"the norm mark of {what}")
    rows, dim = reader.long(what), reader.long(what)
    if rows < 0 or not 0 < dim <= _MAX_DIM:
        raise ValueError(f"{what} before byte {reader.at} claims {rows} rows of {dim}")
    if not quantised:
        found = Dense(rows, dim, reader.at)
        reader.skip(rows * dim * 4, what)
        return found
    n_codes = reader.ints(1, what)[0]
    if rows == 0 or n_codes % rows:
        raise ValueError(f"{what} before byte {reader.at} has {n_codes} codes for {rows} rows")
    codes = np.frombuffer(reader.take(n_codes, what), dtype=np.uint8).reshape(rows, -1)
    centroids = _centroids(reader, what)
    if len(centroids) != codes.shape[1] or sum(table.shape[1] for table in centroids) != dim:
        raise ValueError(f"{what}: its codes and its centroids before byte {reader.at} disagree")
    norms = np.ones(rows, dtype=np.float32)
    if scaled:
        norm_codes = np.frombuffer(reader.take(rows, what), dtype=np.uint8)
        norms = _centroids(reader, what)[0][norm_codes, 0]
    return Quantised(rows, dim, codes, centroids, norms)


def _centroids(reader: _Reader, what: str) -> tuple[NDArray[np.float32], ...]:
    dim, n_pieces, width, last = reader.ints(4, f"the quantiser of {what}")
    if n_pieces < 1 or width < 1 or (n_pieces - 1) * width + last != dim or last < 1:
        raise ValueError(f"impossible quantiser of {what} before byte {reader.at}")
    flat = reader.floats(dim * 256, f"the centroids of {what}")
    widths = [width] * (n_pieces - 1) + [last]
    starts = np.arange(n_pieces) * width * 256
    return tuple(
        flat[start : start + 256 * wide].reshape(256, wide)
        for start, wide in zip(starts, widths, strict=True)
    )
