"""A classifier of five words, written byte by byte, and texts that show the normalisation."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.fasttext import Fasttext

WORDS = ["</s>", "theorem", "proof", "buy", "\\n"]
DIM, BUCKET, WORD_NGRAMS = 4, 10_000, 2


def case() -> tuple[Stage, Batch]:
    path = Path(tempfile.mkdtemp(prefix="golden-")) / "model.bin"
    path.write_bytes(model())
    texts = [
        "Theorem. Proof.",
        "THÉORÈM  prôof",
        "buy buy\n\n\n\nbuy",
        "ｔｈｅｏｒｅｍ",
        "</s> theorem",
        "__label__pos buy",
        "中文 😀",
        "",
        None,
    ]
    return Fasttext(model=str(path), tokenizer="words"), Batch.of(text=texts)


def model() -> bytes:
    """The file format of fastText 12: settings, words, labels, two matrices."""
    settings = (DIM, 5, 3, 1, 5, WORD_NGRAMS, 3, 3, BUCKET, 0, 0, 100)
    head = struct.pack("<2i12id", 793712314, 12, *settings, 1e-4)
    entries = [(word, 0) for word in WORDS] + [("__label__pos", 1), ("__label__neg", 1)]
    vocabulary = struct.pack("<3i2q", len(entries), len(WORDS), 2, 100, -1)
    for word, kind in entries:
        vocabulary += word.encode() + struct.pack("<xqb", 10, kind)
    rows = np.zeros((len(WORDS) + BUCKET, DIM), dtype="<f4")
    rows[: len(WORDS), 0] = [0, 8, 4, -8, -2]
    rows[len(WORDS) :, 1] = np.arange(BUCKET) % 7 / 8
    output = np.array([[1, 0.25, 0, 0], [-1, 0, 0, 0]], dtype="<f4")
    return b"".join(
        [
            head,
            vocabulary,
            struct.pack("<?2q", False, *rows.shape),
            rows.tobytes(),
            struct.pack("<?2q", False, *output.shape),
            output.tobytes(),
        ]
    )
