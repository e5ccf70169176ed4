"""What `fasttext.probabilities` gives, one word at a time in plain Python, nothing folded.

The yardstick of the fast version: fastText's own steps, as one would write them down from the paper
(Bojanowski et al. 2016, Joulin et al. 2016) and its dictionary.
"""

from __future__ import annotations

from typing import IO

import numpy as np
from numpy.typing import NDArray

from ultrakernels.fasttext import CLIP, huffman, softmax, table_sigmoid
from ultrakernels.fasttext_file import LABEL_PREFIX, ModelFile, whole


def reference(
    file: ModelFile, stream: IO[bytes], offsets: NDArray[np.int64], data: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """float64[n_docs, n_labels] for the texts data[offsets[i]:offsets[i + 1]]."""
    matrix = whole(stream, file.input).astype(np.float64)
    output = whole(stream, file.output).astype(np.float64)
    raw = data.tobytes()
    found = np.full((len(offsets) - 1, len(file.labels)), np.nan)
    for doc in range(len(offsets) - 1):
        rows = reference_rows(file, raw[offsets[doc] : offsets[doc + 1]])
        if rows:
            found[doc] = _reference_head(file, output, matrix[rows].mean(axis=0))
    return found


def reference_rows(file: ModelFile, text: bytes) -> list[int]:
    """The rows of the input matrix that a document averages, in fastText's order."""
    entries = {entry: i for i, entry in enumerate(file.words + file.labels)}
    kept = {int(bucket): int(row) for bucket, row in file.pruned}
    rows: list[int] = []
    hashes: list[int] = []

    def push(bucket: int) -> None:
        if file.prune_size < 0:
            rows.append(file.n_words + bucket)
        elif bucket in kept:
            rows.append(file.n_words + kept[bucket])

    for token in [*text.translate(bytes.maketrans(b"\n\r\t\v\f\0", b" " * 6)).split(b" "), b"</s>"]:
        entry = entries.get(token, -1)
        is_label = entry >= file.n_words or (entry < 0 and token.startswith(LABEL_PREFIX))
        if token == b"" or is_label:
            continue
        if entry >= 0:
            rows.append(entry)
        if token != b"</s>":
            for ngram in _reference_chars(token.join([b"<", b">"]), file.min_chars, file.max_chars):
                push(_fnv(ngram) % file.bucket)
        hashes.append(_fnv(token))
        if token == b"</s>":
            break
    for i in range(len(hashes)):
        h = _signed_32(hashes[i])
        for j in range(i + 1, min(i + file.word_ngrams, len(hashes))):
            h = (h * 116049371 + _signed_32(hashes[j])) % 2**64
            push(h % file.bucket)
    return rows


def _reference_chars(word: bytes, min_chars: int, max_chars: int) -> list[bytes]:
    """Runs of min to max characters; not `<` or `>` alone."""
    firsts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80]
    ends = [*firsts[1:], len(word)]
    return [
        word[firsts[i] : ends[i + n - 1]]
        for i in range(len(firsts))
        for n in range(max(min_chars, 1), max_chars + 1)
        if i + n <= len(firsts)
        and not (n == 1 and (firsts[i] == 0 or ends[i + n - 1] == len(word)))
    ]


def _fnv(word: bytes) -> int:
    h = 2166136261
    for byte in word:
        h = (h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 % 2**32
    return h


def _signed_32(h: int) -> int:
    return h - 2**32 if h >= 2**31 else h


def _reference_head(
    file: ModelFile, output: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    if file.loss == "hs":
        n = len(file.labels)
        score = np.zeros(2 * n - 1)
        tree = huffman(file.label_counts)
        for inner in reversed(range(n - 1)):
            right = 1 / (1 + np.exp(-output[inner] @ mean))
            score[tree[inner, 0]] = score[n + inner] + np.log(1 - right + CLIP)
            score[tree[inner, 1]] = score[n + inner] + np.log(right + CLIP)
        leaves: NDArray[np.float64] = np.minimum(np.exp(score[:n]), 1)
        return leaves
    logits = output @ mean
    if file.loss == "softmax":
        both: NDArray[np.float64] = softmax(logits[None])[0]
        return both
    return table_sigmoid(logits.astype(np.float32)).astype(np.float64)
