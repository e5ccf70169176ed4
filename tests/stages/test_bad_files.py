"""Files that stages read: missing, truncated, or of another kind is said by `check`, with the path."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from ultraclean import Pipeline, catalog
from ultraclean.plan import check
from ultraclean.stage import Artifact, Filter, Stage
from ultraclean.stages.read.jsonl import Jsonl

FASTTEXT = struct.pack("<2i12id", 793712314, 12, 4, 5, 3, 1, 5, 2, 3, 3, 100, 0, 0, 100, 1e-4)
BINARY = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe"
TOKENIZER = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")).to_str().encode()
ITEM = b'{"question": "a question of more than eight words, to be looked for as a whole?"}\n'

Fields = Callable[[str], dict[str, Any]]

# stage, field -> how it is given a path, a name that it takes for a file, the beginning of a good file
READS: list[tuple[str, str, Fields, str, bytes]] = [
    ("score.language", "model", lambda p: {"model": p}, "m.bin", FASTTEXT),
    ("score.fasttext", "model", lambda p: {"model": p, "tokenizer": "raw"}, "m.bin", FASTTEXT),
    ("score.tokens", "tokenizer", lambda p: {"tokenizer": p}, "t.json", TOKENIZER),
    ("score.badwords", "lists", lambda p: {"lists": p}, "list.txt", b""),
    ("filter.decontaminate", "benchmarks", lambda p: {"benchmarks": p}, "b.jsonl.gz", gzip.compress(ITEM)),
    ("filter.takedown", "ids", lambda p: {"ids": p}, "ids.txt", b""),
    ("fit.fasttext", "tokenizer", lambda p: {"positive": "in", "negative": "in2", "tokenizer": p}, "t.json", TOKENIZER),
    ("pack.tokens", "tokenizer", lambda p: {"tokenizer": p}, "t.json", TOKENIZER),
    ("pack.megatron", "tokenizer", lambda p: {"tokenizer": p}, "t.json", TOKENIZER),
    ("pack.datatrove", "tokenizer", lambda p: {"tokenizer": p}, "t.json", TOKENIZER),
]  # fmt: skip
IDS = [f"{name}.{field}" for name, field, *_ in READS]


def problems(name: str, fields: dict[str, Any], folder: Path) -> list[str]:
    """What `check` says of a pipeline with the stage in it."""
    (folder / "in.jsonl").write_text('{"text": "a", "id": "1"}\n')
    kind = catalog.stage_class(name)
    source: list[Stage] = [Jsonl(path=str(folder / "in.jsonl"))]
    stage = kind(**fields)
    tables: dict[str, list[Stage]] = {"in": source, "in2": source}
    if isinstance(stage, Artifact) and name.startswith("fit."):
        tables["made"] = [stage]
    else:
        tables["made"] = [*source, stage]
    assert isinstance(stage, Artifact | Filter) or stage.adds()
    return [problem.message for problem in check(Pipeline(name="p", tables=tables))]


@pytest.mark.parametrize(("name", "field", "fields", "file", "good"), READS, ids=IDS)
def test_is_said_by_check(
    name: str, field: str, fields: Fields, file: str, good: bytes, tmp_path: Path
) -> None:
    path = tmp_path / file
    wrong = {"missing": None, "another kind": BINARY}
    if good:
        wrong["truncated"] = good[: len(good) * 2 // 3]
    for what, content in wrong.items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        found = problems(name, fields(str(path)), tmp_path)
        assert found and any(file in message for message in found), (what, found)
        assert all("Traceback" not in message for message in found)


def test_every_stage_that_reads_files_looks_at_them() -> None:
    for name in catalog.names():
        kind = catalog.stage_class(name)
        if kind.files is not Stage.files:
            assert kind.problems is not Stage.problems, name
