"""Lines, paragraphs and sentences: the kernel against its reference, and what they are."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import pieces as kernel
from ultrakernels import span_hashes as hashing

from ultraclean.text.buffers import utf8
from ultraclean.text.pieces import _classes, cut

GRAINS = (kernel.LINE, kernel.PARAGRAPH, kernel.SENTENCE)


def same(column: pa.Array) -> None:
    text = utf8(column)
    for grain in GRAINS:
        doc, begin = kernel.pieces(text.data, text.offsets, _classes(), grain)
        for found, expected in zip(
            (doc, begin),
            kernel.reference(text.data, text.offsets, _classes(), grain),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
        assert begin[0] == text.offsets[0] or len(begin) == 1
        assert (np.diff(begin) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_random_texts(seed: int) -> None:
    draw = random.Random(seed)
    letters = list("aB. \n。”)\r\t!é我 ?\u3000。！😀")
    texts = ["".join(draw.choices(letters, k=draw.randrange(30))) for _ in range(1500)]
    same(pa.array(["x", *texts, None]).slice(1))


def test_real_texts(shared_data: Path) -> None:
    for name in ("bbc", "zh_lctt", "openstax"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            same(
                pa.array(
                    [json.loads(line)["text"] for line, _ in zip(lines, range(12), strict=False)]
                )
            )


def strings(text: str, grain: str) -> list[str]:
    return cut(pa.array([text]), grain).strings.to_pylist()  # type: ignore[arg-type]


def test_what_they_are() -> None:
    assert strings("a\r\n\nb", "line") == ["a\r\n", "\n", "b"]
    assert strings("a\nb\r\n \r\n\tc\n\n\nd", "paragraph") == ["a\nb\r\n \r\n", "\tc\n\n\n", "d"]
    assert strings("\n\na\n\nb\n", "paragraph") == ["\n\na\n\n", "b\n"]
    text = 'Say 3.14 e.g. here. "Yes!" (No.) What?? Then\nnew line'
    assert strings(text, "sentence") == [
        "Say 3.14 e.g. here. ", '"Yes!" ', "(No.) ", "What?? ", "Then\n", "new line"
    ]  # fmt: skip
    assert strings("你好。“再见！”她说？是。 好", "sentence") == [
        "你好。",
        "“再见！”",
        "她说？",
        "是。 ",
        "好",
    ]
    for grain in ("line", "paragraph", "sentence"):
        assert strings("", grain) == []
        assert strings(" \n ", grain) in ([" \n", " "], [" \n "])


@pytest.mark.parametrize("seed", range(2))
def test_hashes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    data = draw.integers(0, 3, 4000).astype(np.uint8)
    cuts = np.sort(draw.integers(0, 4000, 500))
    begin, end = cuts[:-1], cuts[1:]
    found = hashing.span_hashes(data, begin, end)
    np.testing.assert_array_equal(found, hashing.reference(data, begin, end))
    distinct = {data[a:b].tobytes() for a, b in zip(begin, end, strict=True)}
    assert len(np.unique(found, axis=0)) == len(distinct)
    for lane in (0, 1):
        assert len(np.unique(found[:, lane])) == len(distinct)
    doc = np.array([0, 0, 1, 200, 201, 499], dtype=np.int64)
    for length in (1, 2, 3, 50):
        np.testing.assert_array_equal(
            hashing.run_hashes(found, doc, length), hashing.reference_runs(found, doc, length)
        )
