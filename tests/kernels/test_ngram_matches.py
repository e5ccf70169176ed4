"""The n-gram search against its reference, on random and hostile texts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from ultrakernels.ngram_matches import gram_hashes, ngram_matches, reference, word_hashes

from ultraclean.text.buffers import of_strings

WORDS = ["a", "b", "A", "cat", "ü", "中", "文字", "😀", "１２", "don't", "-", "\n", "\x00", "é"]


@pytest.mark.parametrize("seed", range(20))
def test_as_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 60))) for _ in range(20)]
    texts += ["", "a " * 3000, "中" * 2000]
    lengths = sorted(rng.sample(range(2, 6), rng.randint(1, 3)))
    wanted: set[int] = set()
    prefixes: set[int] = set()
    for length in lengths:
        for _ in range(15):
            words = word_hashes(" ".join(rng.choices(WORDS, k=12)))[:length]
            wanted |= set(gram_hashes(words, length).tolist())
            if len(words) == length:
                prefixes |= {int(gram_hashes(words[: lengths[0]], lengths[0])[0])}
    text = of_strings(texts)
    arguments = (
        text.data,
        text.offsets,
        lengths[0],
        np.array(sorted(prefixes), dtype=np.uint64),
        np.array(lengths, dtype=np.int64),
        np.array(sorted(wanted), dtype=np.uint64),
    )
    expected, found = reference(*arguments), ngram_matches(*arguments)
    assert len(expected[0]) > 0
    for name, one, other in zip(("doc", "word", "gram", "n"), expected, found, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_nothing_to_find_and_nothing_to_read() -> None:
    empty = np.zeros(0, dtype=np.uint64)
    text = of_strings(["a b c", ""])
    found = ngram_matches(text.data, text.offsets, 2, empty, empty.astype(np.int64), empty)
    assert [len(column) for column in found] == [0, 0, 0, 2]
    assert found[3].tolist() == [3, 0]
    assert len(word_hashes("")) == 0 and len(gram_hashes(word_hashes("a"), 2)) == 0
