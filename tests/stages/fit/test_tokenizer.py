"""fit.tokenizer: lossless, the same every time, with a card; score.tokens counts by it."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ultraclean import Pipeline, fit, read, score
from ultraclean.errors import DataError, PlanError
from ultraclean.stages.fit.tokenizer import Tokenizer
from ultraclean.stages.score.tokens import Tokens
from ultraclean.train.shards import load_tokenizer, tokenizer_id

Table = Callable[..., Any]
STRANGE = ["", "naïve 中文 😀", "a\r\nb\t\tc   d\n", "\u200b\ufeff\u0301 \x00", "</s> not the end"]


def sentences(n: int, seed: int = 1) -> list[str | None]:
    chance = random.Random(seed)
    words = ["data", "model", "token", "清洗", "數據", "straße", "2026", "the", "of", "\n", "😀"]
    texts: list[str | None] = [" ".join(chance.choices(words, k=40)) for _ in range(n)]
    return [*texts, None, ""]


def make(folder: Path, table: Any, **fields: Any) -> dict[str, Any]:
    stage = Tokenizer(tables=table.name, **{"vocab_size": 400, **fields})
    return stage.make({table.name: table}, str(folder), map)


def test_the_folder_and_its_card(memory_table: Table, tmp_path: Path) -> None:
    card = make(tmp_path, memory_table("web", text=sentences(300)), held_out=30)
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["fingerprint"] == tokenizer_id(tokenizer)
    assert card["vocab_size"] == tokenizer.get_vocab_size() <= 400
    assert card["special"] == {"<s>": 0, "</s>": 1, "<|im_start|>": 2, "<|im_end|>": 3}
    counts, held_out = card["counts"], card["held_out"]
    assert counts["documents"] == 302
    assert counts["trained_documents"] + held_out["documents"] == 302
    assert 10 < held_out["documents"] < 60
    assert held_out["not_restored"] == 0
    assert held_out["bytes_per_token"] > 2


def test_every_text_comes_back(memory_table: Table, tmp_path: Path) -> None:
    make(tmp_path, memory_table("web", text=sentences(100)))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    for text in STRANGE:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert not {0, 1, 2, 3} & set(ids)


def test_the_same_bytes_whatever_the_batches_and_the_order(
    memory_table: Table, tmp_path: Path
) -> None:
    texts = sentences(200)
    first = memory_table("web", text=texts)
    make(tmp_path / "a", first, held_out=0)
    make(tmp_path / "b", memory_table("web", batch_rows=1000, text=texts), held_out=0)
    make(tmp_path / "c", memory_table("web", text=texts[::-1]), held_out=0)
    found = {(tmp_path / name / "tokenizer.json").read_bytes() for name in "abc"}
    assert len(found) == 1


def test_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(300)))
    code = (
        "import sys; from ultraclean import Pipeline, read, fit;"
        "done = Pipeline(name='t', tables={'web': [read.Jsonl(path=sys.argv[1])],"
        " 'bpe': [fit.Tokenizer(tables='web', vocab_size=500)]}).run(sys.argv[2]);"
        "print(done.card('bpe')['fingerprint'])"
    )
    found = set()
    for number, threads in enumerate(["1", "7"]):
        done = subprocess.run(
            [sys.executable, "-c", code, str(corpus), str(tmp_path / f"run-{number}")],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"},
            check=True,
            capture_output=True,
            text=True,
        )
        found.add(done.stdout.split()[-1])
    assert len(found) == 1


def test_digits(memory_table: Table, tmp_path: Path) -> None:
    table = memory_table("web", text=["in 2026 and 2027 and 2028"] * 50)
    for name, split, expected in (("split", True, 1), ("whole", False, 2)):
        make(tmp_path / name, table, split_digits=split, held_out=0)
        vocabulary = load_tokenizer(str(tmp_path / name / "tokenizer.json")).get_vocab()
        assert (max(len(token) for token in vocabulary if token.isdigit()) > 1) == (expected > 1)


def test_a_part_of_the_text(memory_table: Table, tmp_path: Path) -> None:
    table = memory_table("web", text=sentences(400))
    card = make(tmp_path, table, max_bytes=20_000, held_out=0)
    assert 10_000 < card["counts"]["trained_bytes"] < 30_000 < card["counts"]["bytes"]


def test_nothing_to_learn(memory_table: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"web hold no text \(2 documents\)"):
        make(tmp_path, memory_table("web", text=["", None]))
    with pytest.raises(DataError, match="no two bytes stand beside each other 2 times"):
        make(tmp_path, memory_table("web", text=["abc", "xyz"]), held_out=0)


def test_fields() -> None:
    with pytest.raises(ValidationError, match="at least 261"):
        Tokenizer(tables="web", vocab_size=258)
    with pytest.raises(ValidationError, match="stands twice"):
        Tokenizer(tables="web", special=("<s>", "<s>"))


def test_a_pipeline_counts_by_what_it_fitted(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    texts = [text for text in sentences(80) if text]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pipeline = Pipeline(
        name="count",
        tables={
            "web": [read.Jsonl(path=str(corpus))],
            "bpe": [fit.Tokenizer(tables="web", vocab_size=300)],
            "counted": [read.Table(tables="web"), score.Tokens(tokenizer="bpe")],
        },
    )
    done = pipeline.run(str(tmp_path / "run"))
    folder = done.done[done.plan.artifact_of["bpe"]].folder
    tokenizer = load_tokenizer(f"{folder}/tokenizer.json")
    rows = [row for batch in done.table("counted").batches() for row in batch.data.to_pylist()]
    assert len(rows) == len(texts)
    for row in rows:
        assert row["n_tokens"] == len(tokenizer.encode(row["text"], add_special_tokens=False).ids)
    missing = Pipeline(
        name="count",
        tables={"web": [read.Jsonl(path=str(corpus)), score.Tokens(tokenizer="none.json")]},
    )
    with pytest.raises(PlanError, match="is neither a table of this pipeline nor a file"):
        missing.run(str(tmp_path / "other"))
    (tmp_path / "broken.json").write_text('{"version": "1.0", "model"')
    (problem,) = Tokens(tokenizer=str(tmp_path / "broken.json")).problems()
    assert "is not a tokenizer.json" in problem


def test_on_real_text(memory_table: Table, tmp_path: Path, shared_data: Path) -> None:
    """On Chinese and English prose 4,000 tokens take far fewer ids than bytes."""
    texts: list[str] = []
    for name in ("zh_d2l", "bbc"):
        (file,) = (shared_data / "text").glob(f"{name}*.gz")
        with gzip.open(file, "rt") as stream:
            texts += [json.loads(line)["text"] for line, _ in zip(stream, range(60), strict=False)]
    card = make(tmp_path, memory_table("web", text=texts), vocab_size=4000, held_out=20)
    assert card["held_out"]["not_restored"] == 0
    assert card["held_out"]["bytes_per_token"] > 2.5
