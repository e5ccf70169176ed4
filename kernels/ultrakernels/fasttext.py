"""Scores documents with fastText classifiers: the same probabilities, without fastText's matrix.

A classifier's score is softmax(W * mean of rows of E), and a mean is linear, so E and W can be folded
into E * W once, when the model is read: one number per row for two labels, a short vector for more.
A worker then holds 8 MB instead of 2 GB, and a feature costs one number instead of 256. Where
folding does not pay (hierarchical softmax, or more labels than dimensions) the rows stay as they are
and are added in fastText's order and precision.

The probabilities of softmax and of one-vs-all are the true ones: fastText returns them plus 1e-5,
which it adds before its logarithm. Those of hierarchical softmax are products of such sums and are
given as fastText gives them, up to 1. A document without any feature (fastText returns no label) is
NaN. One-vs-all reads a table of 512 sigmoids, so a last bit can move its result by a table's step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.fasttext_file import (
    LABEL_PREFIX,
    Dense,
    ModelFile,
    Quantised,
    pieces_of,
    read,
    whole,
)
from ultrakernels.fasttext_kernel import BLOCK, FEWEST, sum_numbers, word_records, word_table
from ultrakernels.fasttext_rows import sum_rows, vocabulary_rows
from ultrakernels.fasttext_words import Memory, memory, sum_words

CLIP: Final = 1e-5
PROBABILITIES_AT_ONCE: Final = 1 << 19
"""What `best` holds of its matrix: 4,000 documents by 2,000 languages would be 64 MB and slower."""
_NEAR: Final = 1e-3
"""Probabilities nearer than this are worked out again in fastText's own order of additions."""


@dataclass(frozen=True)
class Classifier:
    """A model ready to score; shared by threads, never changed."""

    labels: tuple[str, ...]
    """Without `__label__`."""
    loss: str
    word_ngrams: int
    min_chars: int
    max_chars: int
    n_words: int
    n_buckets: int
    pool: NDArray[np.uint8]
    starts: NDArray[np.int64]
    slots: NDArray[np.uint64]
    records: NDArray[np.uint64]
    """For the plain loop, see `word_records`; else empty."""
    bits: NDArray[np.uint64]
    bucket_rows: NDArray[np.int32]
    word_bounds: NDArray[np.int64]
    word_rows: NDArray[np.int32]
    folded: bool
    single: bool
    """Two labels, one number per row: the plain loop serves."""
    rows: NDArray[np.float32]
    """float32[n_rows, width]: folded scores, or the input matrix."""
    output: NDArray[np.float32]
    """float32[n_labels, dim]"""
    tree: NDArray[np.int32]
    """int32[n_labels - 1, 2]: children of the inner nodes of hierarchical softmax."""

    @property
    def n_bytes(self) -> int:
        return sum(x.nbytes for x in vars(self).values() if isinstance(x, np.ndarray))


def load(stream: IO[bytes], name: str) -> Classifier:
    """The classifier in a seekable stream; ValueError if it is not one. Reads it in pieces."""
    file = read(stream, name)
    if file.word_ngrams > BLOCK:
        raise ValueError(f"{name}: n-grams of {file.word_ngrams} words are longer than {BLOCK}")
    entries = file.words + file.labels
    lengths = np.fromiter((len(entry) for entry in entries), dtype=np.int64, count=len(entries))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pool = np.frombuffer(b"".join(entries), dtype=np.uint8)
    bits, bucket_rows = _kept_buckets(file)
    end = file.words.index(b"</s>") if b"</s>" in file.words else -1
    word_bounds, word_rows = vocabulary_rows(
        pool, starts, file.n_words, end, file.min_chars, file.max_chars,
        max(file.bucket, 1), bits, bucket_rows,
    )  # fmt: skip

    output = whole(stream, file.output)
    n_labels = len(file.labels)
    folded = file.loss != "hs" and n_labels <= file.dim
    usual = all(label.startswith(LABEL_PREFIX) for label in file.labels) and not any(
        word.startswith(LABEL_PREFIX) for word in file.words
    )
    two = folded and file.loss == "softmax" and n_labels == 2
    if folded:
        heads = (output[1:2].astype(np.float64) - output[0:1]) if two else output.astype(np.float64)
        rows = _fold(stream, file.input, heads)
    else:
        rows = whole(stream, file.input)
    single = (
        two
        and usual
        and file.max_chars == 0
        and file.prune_size < 0
        and (file.word_ngrams < 2 or file.bucket >= FEWEST)
    )
    return Classifier(
        labels=tuple(_plain(label) for label in file.labels),
        loss=file.loss,
        word_ngrams=file.word_ngrams,
        min_chars=file.min_chars,
        max_chars=file.max_chars,
        n_words=file.n_words,
        n_buckets=file.bucket,
        pool=pool,
        starts=starts,
        slots=word_table(pool, starts),
        records=word_records(pool, starts) if single else np.empty((0, 2), np.uint64),
        bits=bits,
        bucket_rows=bucket_rows,
        word_bounds=word_bounds,
        word_rows=word_rows,
        folded=folded,
        single=single,
        rows=rows,
        output=output,
        tree=huffman(file.label_counts) if file.loss == "hs" else np.empty((0, 2), np.int32),
    )


def probabilities(
    model: Classifier, offsets: NDArray[np.int64], data: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """float32[n_docs, n_labels] for the texts data[offsets[i]:offsets[i + 1]]."""
    return of_sums(model, *_sums(model, offsets, data))


def of_sums(
    model: Classifier, total: NDArray[Any], count: NDArray[np.int64]
) -> NDArray[np.float32]:
    """float32[n_docs, n_labels] from the sums of rows `total`[n_docs, width] and their number."""
    empty = count == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total * (1.0 / count).astype(total.dtype)[:, None]
    mean[empty] = 0
    if model.loss == "hs":
        found = np.empty((len(count), len(model.labels)), dtype=np.float32)
        _leaves(mean, model.output, model.tree, found)
    else:
        logits = mean if model.folded else mean.astype(np.float64) @ model.output.T
        if model.loss == "softmax":
            if logits.shape[1] < len(model.labels):
                logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
            found = softmax(logits).astype(np.float32)
        else:
            found = table_sigmoid(logits.astype(np.float32))
    found[empty] = np.nan
    return found


def remembers(model: Classifier) -> Memory | None:
    """What `best` may keep of words from call to call, one thread at a time; None if it would not."""
    if model.folded or model.word_ngrams > 1 or model.max_chars == 0:
        return None
    return memory(model.word_bounds, model.word_rows, model.rows)


def best(
    model: Classifier,
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    words: Memory | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The most probable label of each text, int64[n_docs], and its probability, float32[n_docs].

    Of equally probable labels the last one, as in fastText; label 0 and NaN where there is none.
    With a memory of words probabilities are within 1e-4 of fastText's (its own rounding), and a text
    whose two best labels are as near as that is scored again without, so that labels stay the same.
    """
    n_docs, n_labels = len(offsets) - 1, len(model.labels)
    labels = np.zeros(n_docs, dtype=np.int64)
    highest = np.empty(n_docs, dtype=np.float32)
    at_once = max(64, PROBABILITIES_AT_ONCE // n_labels)
    for start in range(0, n_docs, at_once):
        some = offsets[start : start + at_once + 1]
        if words is None:
            found = probabilities(model, some, data)
        else:
            found = of_sums(model, *_remembered_sums(model, some, data, words))
            for row in np.flatnonzero(_near(found)):
                found[row] = probabilities(model, some[row : row + 2], data)
        label = n_labels - 1 - np.argmax(found[:, ::-1], axis=1)
        label[np.isnan(found[:, 0])] = 0
        labels[start : start + len(found)] = label
        highest[start : start + len(found)] = found[np.arange(len(found)), label]
    return labels, highest


def _near(found: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the two highest probabilities differ by less than rounding may change."""
    if found.shape[1] < 2:
        return np.zeros(len(found), dtype=np.bool_)
    two = np.partition(found, -2, axis=1)[:, -2:]
    near: NDArray[np.bool_] = two[:, 1] - two[:, 0] < _NEAR
    return near


def _remembered_sums(
    model: Classifier, offsets: NDArray[np.int64], data: NDArray[np.uint8], words: Memory
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    count = np.zeros(len(offsets) - 1, dtype=np.int64)
    total = np.zeros((len(count), model.rows.shape[1]))
    sum_words(
        offsets, data, model.slots, model.pool, model.starts, model.n_words, model.n_buckets,
        model.min_chars, model.max_chars, model.bits, model.bucket_rows, model.word_bounds,
        model.rows, words.known, words.places, words.words, words.sums, words.counts,
        words.n_words, total, count,
    )  # fmt: skip
    return total.astype(np.float32), count


def _sums(
    model: Classifier, offsets: NDArray[np.int64], data: NDArray[np.uint8]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    n_docs = len(offsets) - 1
    count = np.zeros(n_docs, dtype=np.int64)
    # folded numbers have no counterpart in fastText, so they are added as exactly as is cheap
    total = np.zeros((n_docs, model.rows.shape[1]), np.float64 if model.folded else np.float32)
    if model.single:
        sum_numbers(
            offsets, data, model.slots, model.records, model.pool, model.starts, model.n_words,
            model.n_buckets, model.word_ngrams, model.rows.reshape(-1), total.reshape(-1), count,
        )  # fmt: skip
    else:
        sum_rows(
            offsets, data, model.slots, model.pool, model.starts, model.n_words, model.n_buckets,
            model.word_ngrams, model.min_chars, model.max_chars, model.bits, model.bucket_rows,
            model.word_bounds, model.word_rows, model.rows, total, count,
        )  # fmt: skip
    return total, count


def _plain(label: bytes) -> str:
    return label.removeprefix(LABEL_PREFIX).decode("utf-8", "replace")


def _kept_buckets(file: ModelFile) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Of a pruned model: one bit per bucket, small enough for a cache, and the rows of those kept."""
    if file.prune_size < 0:
        return np.empty(0, np.uint64), np.empty(0, np.int32)
    rows = np.zeros(max(file.bucket, 1), dtype=np.int32)
    bits = np.zeros(len(rows) // 64 + 1, dtype=np.uint64)
    buckets = file.pruned[:, 0].astype(np.int64)
    inside = (buckets >= 0) & (buckets < len(rows))
    buckets = buckets[inside]
    rows[buckets] = file.pruned[inside, 1]
    np.bitwise_or.at(bits, buckets >> 6, np.uint64(1) << (buckets & 63).astype(np.uint64))
    return bits, rows


def _fold(
    stream: IO[bytes], matrix: Dense | Quantised, heads: NDArray[np.float64]
) -> NDArray[np.float32]:
    """matrix @ heads.T, float32[n_rows, n_heads], summed in float64 in one order on any machine."""
    out = np.empty((matrix.rows, len(heads)), dtype=np.float32)
    start = 0
    for piece in pieces_of(stream, matrix):
        _fold_piece(piece, heads, out[start : start + len(piece)])
        start += len(piece)
    return out


@numba.njit(cache=True, nogil=True)
def _fold_piece(piece: Any, heads: Any, out: Any) -> None:
    lanes = np.zeros(8)
    dim = piece.shape[1]
    for row in range(piece.shape[0]):
        for head in range(heads.shape[0]):
            lanes[:] = 0.0
            whole = dim - dim % 8
            for start in range(0, whole, 8):
                for lane in range(8):
                    lanes[lane] += np.float64(piece[row, start + lane]) * heads[head, start + lane]
            sum_ = 0.0
            for lane in range(8):
                sum_ += lanes[lane]
            for i in range(whole, dim):
                sum_ += np.float64(piece[row, i]) * heads[head, i]
            out[row, head] = sum_


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of exp(logits) over their sum."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return out


def table_sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """fastText's sigmoid: a table of 512 steps between -8 and 8, read without interpolation."""
    steps = np.arange(513, dtype=np.float32) * np.float32(16) / np.float32(512) - np.float32(8)
    table = (1.0 / (1.0 + np.exp(-steps.astype(np.float64)))).astype(np.float32)
    clipped = np.clip(x, np.float32(-8), np.float32(8))
    at = ((clipped + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2)).astype(int)
    out = np.where(x < -8, np.float32(0), np.where(x > 8, np.float32(1), table[at]))
    return out.astype(np.float32)


def huffman(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """fastText's tree over labels sorted by falling count: int32[n - 1, 2] of children.

    Numbers below n are leaves, n + i is inner node i; the last one is the root.
    """
    n = len(counts)
    weight = [int(count) for count in counts] + [10**15] * (n - 1)
    children = np.empty((n - 1, 2), dtype=np.int32)
    leaf, node = n - 1, n
    for inner in range(n, 2 * n - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        weight[inner] = weight[pair[0]] + weight[pair[1]]
        children[inner - n] = pair
    return children


@numba.njit(cache=True, nogil=True)
def _leaves(mean: Any, output: Any, tree: Any, found: Any) -> None:
    """Probabilities of all leaves, with the roundings and the 1e-5 of fastText; at most 1."""
    n = found.shape[1]
    score = np.empty(2 * n - 1, dtype=np.float32)
    for doc in range(mean.shape[0]):
        score[2 * n - 2] = 0.0
        for inner in range(n - 2, -1, -1):
            dot = np.float32(0.0)
            for k in range(mean.shape[1]):
                dot += output[inner, k] * mean[doc, k]
            right = np.float32(1.0 / (1.0 + np.float64(np.exp(-dot))))
            left = np.float32(1.0 - np.float64(right))
            here = score[n + inner]
            score[tree[inner, 0]] = here + np.float32(np.log(np.float64(left) + CLIP))
            score[tree[inner, 1]] = here + np.float32(np.log(np.float64(right) + CLIP))
        for leaf in range(n):
            found[doc, leaf] = min(np.float32(np.exp(score[leaf])), np.float32(1.0))
