"""Hashes and anchors of windows against their reference, and the units of a text."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import unit_spans as unit_kernel
from ultrakernels import windows as kernel

from ultraclean.text import units
from ultraclean.text.buffers import utf8


@pytest.mark.parametrize("length", [2, 3, 4, 7, 8, 21, 50])
def test_as_the_reference(length: int) -> None:
    draw = np.random.default_rng(length)
    for n_kinds in (1, 2, 1000):
        ids = draw.integers(0, n_kinds, 400).astype(np.uint64)
        offsets = np.array([0, 0, 3, 3 + length, 150, 400], dtype=np.int64)
        hashes, anchors = kernel.windows(ids, offsets, length)
        expected = kernel.reference(ids, offsets, length)
        np.testing.assert_array_equal(hashes, expected[0])
        np.testing.assert_array_equal(anchors, expected[1])
        shorter, again = kernel.anchor_hashes(ids, offsets, length)
        np.testing.assert_array_equal(again, anchors)
        # Equal windows have equal hashes and anchors at the same place; others have not.
        known: dict[bytes, tuple[bytes, int, int]] = {}
        for at in np.flatnonzero(anchors >= 0).tolist():
            window = ids[at : at + length].tobytes()
            told = (hashes[at].tobytes(), int(anchors[at]) - at, int(shorter[anchors[at]]))
            assert known.setdefault(window, told) == told
        assert len({told[0] for told in known.values()}) == len(known)


def test_repeated_text_has_few_anchors_and_takes_no_longer() -> None:
    ids = np.zeros(2_000_000, dtype=np.uint64)
    hashes, anchors = kernel.windows(ids, np.array([0, len(ids)]), 50)
    assert len(np.unique(hashes[:-49], axis=0)) == 1
    assert (anchors[:-49] >= np.arange(len(ids) - 49)).all()
    draw = np.random.default_rng(1).integers(0, 50_000, 200_000).astype(np.uint64)
    _, anchors = kernel.anchor_hashes(draw, np.array([0, len(draw)]), 50)
    assert len(np.unique(anchors)) < len(draw) / 15


def test_units(shared_data: Path) -> None:
    draw = random.Random(1)
    letters = list("aB9. \n。)\r\té我 ?\u3000！😀\u0301_")
    texts = ["".join(draw.choices(letters, k=draw.randrange(30))) for _ in range(1000)]
    for name in ("bbc", "zh_lctt"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line, _ in zip(lines, range(5), strict=False)]
    text = utf8(pa.array(["x", *texts, None]).slice(1))
    found = unit_kernel.unit_spans(text.data, text.offsets, units._kinds())
    expected = unit_kernel.reference(text.data, text.offsets, units._kinds())
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_spans_are_whole_characters() -> None:
    text = "né 我们 x"
    content = text.encode()
    for start in range(len(content)):
        for stop in range(start + 1, len(content) + 1):
            inside = [
                i
                for i in range(len(text))
                if start <= len(text[:i].encode()) and len(text[: i + 1].encode()) <= stop
            ]
            expected = [(inside[0], inside[-1] + 1)] if inside else []
            assert units.Bytes().spans(text, [(start, stop)]) == expected
    assert units.Words().spans("a b,  c", [(1, 3)]) == [(2, 6)]
    assert units.Words().spans("a b,  c", [(0, 4)]) == [(0, 7)]
