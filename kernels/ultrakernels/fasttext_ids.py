"""Text to fastText's sums by way of token ids: cut, looked up, and added in blocks.

The UltraClean chain decodes each token id by itself, so an id is always the same words to fastText:
what a word costs (its hash, its folded number) is worked out once per id. Beside
`fasttext_kernel.sum_numbers`, which finds words in a text; the n-grams of words are summed as there.
"""

# ruff: noqa: PLR0915 (a loop over arrays stays one loop, and takes them one by one)

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ultrakernels.bpe import encode
from ultrakernels.fasttext_kernel import (
    END,
    FNV_START,
    NEXT,
    SEPARATOR,
    equals,
    find,
    step,
)
from ultrakernels.pretokens import classes, cut

IDS = 4096
_LOW = np.uint64(0xFFFFFFFF)


@numba.njit(cache=True, nogil=True)
def words_of_ids(
    data: Any, offsets: Any, prefix: Any, slots: Any, pool: Any, starts: Any, weights: Any
) -> Any:
    """The words that fastText finds in each of the texts data[offsets[i]:offsets[i + 1]].

    (bounds int64[n + 1], hashes uint64 (sign-extended), numbers float64, known bool, bad bool[n]);
    a text with a word that fastText treats apart (`</s>`, or one that begins with `prefix`) is bad.
    """
    n = len(offsets) - 1
    bounds = np.zeros(n + 1, dtype=np.int64)
    most = offsets[n] - offsets[0] + 1
    hashes = np.empty(most, dtype=np.uint64)
    numbers = np.zeros(most, dtype=np.float64)
    known = np.zeros(most, dtype=np.bool_)
    bad = np.zeros(n, dtype=np.bool_)
    count = 0
    for i in range(n):
        at, stop = offsets[i], offsets[i + 1]
        while at < stop:
            while at < stop and SEPARATOR[data[at]]:
                at += 1
            begin = at
            h = FNV_START
            while at < stop and not SEPARATOR[data[at]]:
                h = step(h, data[at])
                at += 1
            length = at - begin
            if length == 0:
                break
            if equals(data, begin, length, prefix) or (
                length == 4 and equals(data, begin, length, END)
            ):
                bad[i] = True
            hashes[count] = np.uint64(np.int64(np.int32(h)))
            word = find(slots, pool, starts, h, data, begin, length)
            if word >= 0:
                known[count] = True
                numbers[count] = weights[np.uint64(word)]
            count += 1
        bounds[i + 1] = count
    return bounds, hashes[:count], numbers[:count], known[:count], bad


@numba.njit(cache=True, nogil=True)
def _special(data: Any, start: Any, n: Any, firsts: Any, specials: Any, bounds: Any) -> Any:
    """Whether one of the `specials` occurs in data[start:start + n]."""
    for at in range(start, start + n):
        if firsts[data[at]]:
            for i in range(len(bounds) - 1):
                length = bounds[i + 1] - bounds[i]
                if length <= start + n - at:
                    same = True
                    for k in range(length):
                        if data[at + k] != specials[bounds[i] + k]:
                            same = False
                            break
                    if same:
                        return True
    return False


@numba.njit(cache=True, nogil=True)
def sum_ids(
    data: Any,
    offsets: Any,
    skip: Any,
    kinds: Any,
    rules: Any,
    bits: Any,
    firsts: Any,
    specials: Any,
    special_bounds: Any,
    byte_ids: Any,
    keys: Any,
    values: Any,
    cache: Any,
    pool: Any,
    used: Any,
    bounds: Any,
    word_hash: Any,
    word_number: Any,
    word_known: Any,
    bad: Any,
    end_number: Any,
    end_known: Any,
    n_words: Any,
    n_buckets: Any,
    word_ngrams: Any,
    weights: Any,
    total: Any,
    count: Any,
) -> Any:
    """Adds into `total` float64[n_docs] and `count` int64[n_docs]; gives undone bool[n_docs].

    Undone are the documents of `skip`, and those with a special token, a byte without an id, or an id
    that is bad. `weights` float32[n_words + n_buckets]; for the other arguments see `bpe.encode`.
    """
    n_docs = len(offsets) - 1
    undone = skip.copy()
    longest = np.int64(0)
    for doc in range(n_docs):
        longest = max(longest, offsets[doc + 1] - offsets[doc])
    kind = np.empty(longest + 1, dtype=np.uint8)
    marks = np.zeros(longest + 2, dtype=np.uint8)
    ids = np.empty(IDS, dtype=np.int32)
    most_words = 1
    for i in range(len(bounds) - 1):
        most_words = max(most_words, bounds[i + 1] - bounds[i])
    carry_most = max(word_ngrams - 1, 0)
    hashes = np.empty(carry_most + IDS * most_words + 1, dtype=np.uint64)
    grams = np.empty(len(hashes), dtype=np.uint64)
    rows = np.empty(len(hashes), dtype=np.uint64)
    buckets = np.uint64(max(n_buckets, 1))
    inverse = 1.0 / np.float64(buckets)
    base = np.uint64(n_words)
    end_hash = FNV_START
    for mark in END:
        end_hash = step(end_hash, mark)
    for doc in range(n_docs):
        if undone[doc]:
            continue
        start = offsets[doc]
        n = offsets[doc + 1] - start
        if _special(data, start, n, firsts, specials, special_bounds):
            undone[doc] = True
            continue
        missing = False
        for at in range(start, start + n):
            missing |= byte_ids[data[at]] < 0
        if missing:
            undone[doc] = True
            continue
        classes(data, start, start + n, kinds, kind)
        cut(data, start, n, kind, rules, bits, marks)
        piece = 0
        begun = 0
        for at in range(1, n + 1):
            if marks[at]:
                piece = max(piece, at - begun)
                begun = at
        if piece > len(ids):
            ids = np.empty(piece, dtype=np.int32)
            hashes = np.empty(carry_most + piece * most_words + 1, dtype=np.uint64)
            grams = np.empty(len(hashes), dtype=np.uint64)
            rows = np.empty(len(hashes), dtype=np.uint64)
        sum_ = 0.0
        n_features = 0
        carried = 0
        place = np.int64(0)
        ended = False
        while not ended:
            n_ids, place = encode(
                data, start, n, marks, place, byte_ids, keys, values, cache, pool, used, ids
            )
            ended = place >= n
            filled = carried
            for i in range(n_ids):
                token = np.uint64(ids[i])
                if bad[token]:
                    undone[doc] = True
                for j in range(bounds[token], bounds[token + np.uint64(1)]):
                    hashes[filled] = word_hash[j]
                    sum_ += word_number[j]
                    n_features += word_known[j]
                    filled += 1
            if ended:
                hashes[filled] = np.uint64(np.int64(np.int32(end_hash)))
                filled += 1
                sum_ += end_number
                n_features += end_known
            # n-grams that begin at the last words of a block wait for the next block
            complete = filled if ended else max(0, filled - carry_most)
            for i in range(complete):
                grams[i] = hashes[i]
            for order in range(2, word_ngrams + 1):
                n_grams = min(complete, filled - order + 1)
                nexts = hashes[order - 1 :]
                for i in range(n_grams):
                    grams[i] = grams[i] * NEXT + nexts[i]
                    rows[i] = base + _bucket(grams[i], buckets, inverse)
                for i in range(n_grams):
                    sum_ += weights[rows[i]]
                n_features += max(n_grams, 0)
            carried = filled - complete
            for i in range(carried):
                hashes[i] = hashes[complete + i]
        total[doc] += sum_
        count[doc] += n_features
    return undone


@numba.njit(cache=True, nogil=True)
def _bucket(h: Any, n_buckets: Any, inverse: Any) -> Any:
    """h % n_buckets, as in `fasttext_kernel`."""
    rest = h - np.uint64(np.float64(h) * inverse) * n_buckets
    if rest >= np.uint64(1 << 63):
        rest += n_buckets
    elif rest >= n_buckets:
        rest -= n_buckets
    return rest
