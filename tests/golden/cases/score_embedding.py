"""Grades by vectors of four words, written by hand."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer, models, pre_tokenizers

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.embedding import Embedding


def case() -> tuple[Stage, Batch]:
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    words = {"[UNK]": 0, "theorem": 1, "proof": 2, "buy": 3, "数": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = np.array([[9, 9], [4, 0], [2, 0], [-2, 1], [3, 4]], dtype=np.float32)
    safetensors.numpy.save_file({"embeddings": vectors}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"normalize": true}')
    head = {"task": "regression", "weight": [2.5, 0.5], "bias": 2, "lowest": 0, "highest": 5}
    (folder / "head.json").write_text(json.dumps({**head, "max_tokens": 8}))
    stage = Embedding(
        model=str(folder), into="grade", rounded_into="whole_grade", vector_into="vector"
    )
    texts = [
        "theorem proof",
        "buy buy theorem",
        "数",
        "unknown words",
        "",
        None,
        "buy " * 9 + "proof",
    ]
    return stage, Batch.of(text=texts)
