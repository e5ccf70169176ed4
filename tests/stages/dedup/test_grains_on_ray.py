"""Every grain of deduplication under two Ray workers: the bytes of a run in one process."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from tokenizers import Tokenizer, models, pre_tokenizers

from ultraclean import Pipeline, read, write
from ultraclean.engine import run
from ultraclean.executors import Executor
from ultraclean.stage import Barrier, Stage
from ultraclean.stages.dedup.exact import Exact
from ultraclean.stages.dedup.ngram import Ngram
from ultraclean.stages.dedup.repeats import Repeats
from ultraclean.stages.dedup.semantic import Semantic
from ultraclean.stages.dedup.substring import Substring
from ultraclean.stages.dedup.url import Url
from ultraclean.stages.score.embedding import Embedding

STAGES = [
    Exact(normalise="lower_space"),
    Url(),
    Repeats(grain="line"),
    Repeats(grain="sentence", run=3, keep="none"),
    Substring(length=20),
    Ngram(ngram=5, streams=3, threshold=0.5),
    Semantic(threshold=0.9, clusters=4),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of shared lines, copies and near copies, with addresses and vectors, in four files."""
    draw = random.Random(3)
    lines = [
        " ".join(f"w{draw.randrange(900)}" for _ in range(draw.randint(5, 25))) + "."
        for _ in range(150)
    ]
    texts = ["\n".join(draw.choices(lines, k=draw.randint(2, 9))) for _ in range(240)]
    texts += [draw.choice(texts).upper() for _ in range(30)] + draw.sample(texts, 30)
    folder = tmp_path_factory.mktemp("pages")
    for start in range(0, 300, 75):
        rows = slice(start, start + 75)
        urls = [f"http{draw.choice(['', 's'])}://a.org/{draw.randrange(90)}" for _ in texts[rows]]
        table = pa.table({"text": texts[rows], "url": urls})
        pq.write_table(table, folder / f"{start:03d}.parquet", row_group_size=25)
    save_model(folder / "model")
    return folder


def save_model(folder: Path) -> None:
    """A static model of the words of the pages, in model2vec's layout."""
    folder.mkdir()
    words = {f"w{i}": i for i in range(900)} | {"[UNK]": 900}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = np.random.default_rng(3).standard_normal((901, 16)).astype(np.float32)
    safetensors.numpy.save_file({"embeddings": vectors}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"normalize": true}')


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.stage}-{STAGES.index(stage)}")
def test_the_same_bytes(
    pages: Path, stage: Barrier, ray_executor: Executor, tmp_path: Path
) -> None:
    stages: list[Stage] = [read.Parquet(path=str(pages / "*.parquet")), stage, write.Parquet()]
    if stage.stage == "dedup.semantic":
        pytest.importorskip("faiss")
        stages.insert(1, Embedding(model=str(pages / "model"), into=None, vector_into="embedding"))
    pipeline = Pipeline(name="grains", shard_bytes=8000, stages=stages)
    found = []
    for name, executor in (("inline", None), ("ray", ray_executor)):
        out = tmp_path / name
        finished = run(pipeline, str(out), address="inline", executor=executor)
        counts = dict(next(d.card for d in finished.done.values() if d.segment.kind == "barrier"))
        counts.pop("work", None)
        files = [
            file
            for what in ("tables", "dropped", "numbers")
            for file in (out / what).rglob("*-*.parquet")
        ]
        digests = {
            str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }  # fmt: skip
        assert digests
        found.append((counts, digests))
    assert found[0] == found[1]
    changed = pq.read_table(tmp_path / "ray" / "tables" / "grains", columns=["text"])
    before = pq.read_table(sorted(pages.glob("*.parquet")), columns=["text"])
    assert sorted(changed["text"].to_pylist()) != sorted(before["text"].to_pylist())
