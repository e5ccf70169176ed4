"""fix.pii masks e-mail and IP addresses as datatrove's PIIFormatter: the same text, byte for byte."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from ultraclean.document import Batch
from ultraclean.stages.fix.pii import Pii

pytest.importorskip("datatrove", reason="datatrove is not installed: ultraclean-data[datatrove]")

from datatrove.pipeline.formatters import PIIFormatter

FILES = ("pii/synth_dataset_v2", "text/imdb", "text/zh_lctt", "text/bbc")
PIECES = (
    *"ab.@-+19[]:= \n中\x00", "a@b.de", "8.8.8.8", "@[1.2.3.4]", "..", "25", "6.", "x@y", "10.0.0.1",
    "0.0.0.0", "1.2.3.", "joe@", "example.com", "256.", "#!", "@[a.b:]", "001.002.003.004", "é@ü.de",
)  # fmt: skip


def theirs(text: str, public_only: bool) -> str:
    """A formatter of its own for each document, as its replacements go round."""
    return PIIFormatter(only_remove_public_ips=public_only).format(text)


@pytest.mark.parametrize("public_only", [True, False])
def test_random_texts(public_only: bool) -> None:
    rng = random.Random(11)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 40))) for _ in range(4000)]
    ours = Pii(kinds=("email", "ip"), public_ips_only=public_only).open()(Batch.of(text=texts))
    expected = [theirs(text, public_only) for text in texts]
    assert sum(a != b for a, b in zip(texts, expected, strict=True)) > 1000
    assert ours["text"].to_pylist() == expected


@pytest.mark.parametrize("name", FILES)
def test_real_texts(name: str, shared_data: Path) -> None:
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines][:600]
    texts = [row.get("text") or row["full_text"] for row in rows]
    ours = Pii(kinds=("email", "ip")).open()(Batch.of(text=texts))["text"].to_pylist()
    assert ours == [theirs(text, True) for text in texts]
