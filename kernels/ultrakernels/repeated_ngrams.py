"""What repeated word n-grams of a document cover, as DCLM and as dolma count it, for n = 2, 3, ...

Rae et al. 2021 (Gopher), table A1, in two other readings than datatrove's (`top_ngrams`,
`duplicate_ngrams`): n-grams are compared word by word, and characters are those of words alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = ("first", "longest", "covered", "repeated", "all")
"""Characters of the most frequent n-gram times its occurrences: of equally frequent ones of the first
(0) and of the longest (1); of the words that lie in an n-gram that occurs twice or more (2); of all
occurrences of such n-grams, words counted as often as they are in one (3); of all n-grams (4)."""


def reference(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    max_n: int,
) -> NDArray[np.int64]:
    """See `repeated_ngrams`."""
    words = [
        joined[start : start + size].tobytes().decode()
        for start, size in zip(begin, n_bytes, strict=True)
    ]
    found = np.zeros((len(doc) - 1, max_n - 1, len(COLUMNS)), dtype=np.int64)
    for row in range(len(doc) - 1):
        mine = words[doc[row] : doc[row + 1]]
        for n in range(2, max_n + 1):
            ngrams = [tuple(mine[i : i + n]) for i in range(len(mine) - n + 1)]
            if not ngrams:
                continue
            counts = Counter(ngrams)
            most = max(counts.values())
            top = [len("".join(ngram)) for ngram, count in counts.items() if count == most]
            inside = {i + k for i, g in enumerate(ngrams) if counts[g] > 1 for k in range(n)}
            sizes = {ngram: len("".join(ngram)) * count for ngram, count in counts.items()}
            found[row, n - 2] = (
                top[0] * most,
                max(top) * most,
                sum(len(mine[i]) for i in inside),
                sum(size for ngram, size in sizes.items() if counts[ngram] > 1),
                sum(sizes.values()),
            )
    return found


@numba.njit(cache=True, nogil=True)
def repeated_ngrams(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    max_n: int,
) -> NDArray[np.int64]:
    """int64[n_docs, max_n - 1, 5]: row n - 2 for n-grams, in the order of `COLUMNS`.

    Exact, and linear in the number of words for each n; see `top_ngrams`.
    """
    n_docs = len(doc) - 1
    found = np.zeros((n_docs, max_n - 1, 5), dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    slots = np.empty(_capacity(most), dtype=np.int32)
    word_id = np.empty(most, dtype=np.int32)
    gram_id = np.empty(most, dtype=np.int32)
    keys = np.empty(most, dtype=np.uint64)
    count = np.empty(most, dtype=np.int32)
    chars = np.zeros(most + 1, dtype=np.int64)
    for row in range(n_docs):
        first = doc[row]
        n_words = doc[row + 1] - first
        if n_words < 2:
            continue
        mask = _capacity(n_words) - 1
        slots[: mask + 1] = -1
        for i in range(n_words):
            word_id[i] = _find_word(slots, mask, joined, begin, n_bytes, hashes, first, i)
            chars[i + 1] = chars[i] + n_chars[first + i]
        gram_id[:n_words] = word_id[:n_words]
        for n in range(2, max_n + 1):
            n_grams = n_words - n + 1
            if n_grams <= 0:
                break
            slots[: mask + 1] = -1
            for i in range(n_grams):
                keys[i] = np.uint64(gram_id[i]) << np.uint64(32) | np.uint64(word_id[i + n - 1])
                place = _find_key(slots, mask, keys, i)
                gram_id[i] = place
                if place == i:
                    count[i] = 0
                count[place] += 1
            best = 0
            covered = 0  # words before this one are counted
            for i in range(n_grams):
                times = count[gram_id[i]]
                size = chars[i + n] - chars[i]
                found[row, n - 2, 4] += size
                if times > 1:
                    found[row, n - 2, 3] += size
                    found[row, n - 2, 2] += chars[i + n] - chars[max(i, covered)]
                    covered = i + n
                if gram_id[i] != i:
                    continue
                if times > best:
                    best = times
                    found[row, n - 2, 0] = size * times
                    found[row, n - 2, 1] = size * times
                elif times == best:
                    found[row, n - 2, 1] = max(found[row, n - 2, 1], size * times)
    return found


@numba.njit(cache=True, nogil=True)
def _capacity(n_items: int) -> int:
    """A power of two that is at most two thirds full."""
    size = 4
    while size * 2 < n_items * 3:
        size *= 2
    return size


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return x ^ (x >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _find_key(slots: NDArray[np.int32], mask: int, keys: NDArray[np.uint64], i: int) -> int:
    """The first position with the key of position i, which is i itself if the key is new."""
    slot = np.int64(_mix(keys[i]) & np.uint64(mask))
    while slots[slot] >= 0:
        if keys[slots[slot]] == keys[i]:
            return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = i
    return i


@numba.njit(cache=True, nogil=True)
def _find_word(
    slots: NDArray[np.int32],
    mask: int,
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    first: int,
    i: int,
) -> int:
    """The first position of word i of the document that begins at word `first`."""
    mine = first + i
    slot = np.int64(_mix(hashes[mine]) & np.uint64(mask))
    while slots[slot] >= 0:
        other = first + slots[slot]
        if hashes[other] == hashes[mine] and n_bytes[other] == n_bytes[mine]:
            same = True
            for k in range(n_bytes[mine]):
                if joined[begin[other] + k] != joined[begin[mine] + k]:
                    same = False
                    break
            if same:
                return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = i
    return i
