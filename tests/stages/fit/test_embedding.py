"""fit.embedding and score.embedding: static vectors, exact heads, model2vec's layout, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers

from ultraclean import Pipeline, fit, read, score
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stages.fit.embedding import Embedding as Fit
from ultraclean.stages.score.embedding import Embedding as Score

Table = Callable[..., Any]
GOOD = [
    "the proof of the theorem follows from the lemma number {}",
    "定理的证明由引理 {} 得出 the proof",
]
BAD = ["buy cheap tickets now and click here for offer {}", "便宜 的 票 现在 购买 {} click here"]


def made(folder: Path, table: Table, **fields: Any) -> dict[str, Any]:
    good = [GOOD[i % 2].format(i % 7) for i in range(60)]
    bad = [BAD[i % 2].format(i % 7) for i in range(60)]
    tables = {
        "good": table("good", text=[*good, None, ""]),
        "bad": table("bad", batch_rows=11, text=bad),
    }
    fields = {"positive": "good", "negative": "bad", "dim": 8, "vocab_size": 200, **fields}
    return Fit(**fields).make(tables, str(folder), map)


def test_learns_and_scores(memory_table: Table, tmp_path: Path) -> None:
    card = made(tmp_path / "m", memory_table)
    assert card["counts"]["positive"] == 60 and card["counts"]["train"] > 90
    assert card["held_out"]["auc"] == 1.0 and card["held_out"]["n"] > 5
    texts = ["a proof of this lemma", "click here and buy", "qqqq", "", None, "定理 的 引理", "票"]
    found = Score(model=str(tmp_path / "m")).open()(Batch.of(text=texts))["quality"].to_pylist()
    assert found[0] > 0.9 and found[1] < 0.1 and found[5] > 0.5 > found[6]
    assert found[2:5] == [None, None, None]
    stage = Score(model=str(tmp_path / "m"), vector_into="v")
    batch = Batch.of(text=pa.array([None, *texts, *GOOD], pa.large_string())).slice(1, 9)
    whole = stage.open()(batch)
    assert whole["v"].type == stage.adds()["v"] and len(whole["v"][0]) == 8
    parts = [stage.open()(batch.slice(at, 1)).data for at in range(9)]
    assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([whole.data])
    assert stage.open()(batch.slice(0, 0)).num_rows == 0 and stage.problems() == []
    # the same tables in other pieces give the same files
    table = Fit(positive="good", negative="bad").model_dump()
    assert table["dim"] == 256
    made(
        tmp_path / "again",
        lambda name, **columns: memory_table(name, **{**columns, "batch_rows": 5}),
    )
    for name in ("model.safetensors", "tokenizer.json", "head.json", "config.json"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_grades_as_of_fineweb_edu(memory_table: Table, tmp_path: Path) -> None:
    """A grade of 0 to 5 that the share of learned words makes; as a number and rounded."""
    chance = np.random.default_rng(4)
    words = [["lemma", "proof", "theorem", "axiom"], ["click", "buy", "cheap", "offer"]]
    grades = [i % 6 for i in range(300)]
    texts = [
        " ".join(chance.choice(words[int(chance.random() * 5 >= grade)]) for _ in range(60))
        for grade in grades
    ]
    examples = memory_table("graded", text=texts, grade=[*grades[:-2], None, float("nan")])
    stage = Fit(task="regression", examples="graded", label="grade", dim=4, min_count=1)
    card = stage.make({"graded": examples}, str(tmp_path), map)
    assert card["counts"]["examples"] == 298
    assert card["held_out"]["correlation"] > 0.9 and card["held_out"]["mean_absolute_error"] < 0.5
    scored = Score(model=str(tmp_path), into="edu", rounded_into="int_edu").open()(
        Batch.of(text=["proof " * 30, "buy " * 30, "proof buy " * 15, None])
    )
    assert scored["int_edu"].to_pylist() == [pytest.approx(n, abs=1) for n in (5, 0, 2.5)] + [None]
    exact = scored["edu"].to_pylist()
    assert exact[0] > 4 and exact[1] < 1 and 1.5 < exact[2] < 3.5
    same = memory_table("graded", text=texts, grade=[3] * 300)
    with pytest.raises(DataError, match="all grades in 'grade' are the same"):
        stage.make({"graded": same}, str(tmp_path), map)
    with pytest.raises(DataError, match="the table graded has no column 'grade'"):
        stage.make({"graded": memory_table("graded", text=texts)}, str(tmp_path), map)
    with pytest.raises(DataError, match="'grade' is no number"):
        words_ = memory_table("graded", text=texts, grade=["good"] * 300)
        stage.make({"graded": words_}, str(tmp_path), map)


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A folder as model2vec writes it, with weights and a mapping."""
    folder = tmp_path / "static"
    folder.mkdir()
    vocabulary = {
        "[UNK]": 0,
        **{word: i for i, word in enumerate(["the", "proof", "buy", "now"], 1)},
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    tensors = {
        "embeddings": np.array([[5, 5], [1, 0], [0, 2]], dtype=np.float16),
        "mapping": np.array([0, 1, 1, 2, 2], dtype=np.int64),
        "weights": np.array([1, 1, 3, 1, 0.5], dtype=np.float64),
    }
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"normalize": false}')
    return folder


def test_a_model_in_model2vecs_layout(static: Path, memory_table: Table, tmp_path: Path) -> None:
    stage = Score(model=str(static), into=None, vector_into="v")
    assert stage.problems() == []
    texts = ["the proof xyz", "buy now", "xyz", "the the the buy"]
    found = stage.open()(Batch.of(text=texts))["v"].to_pylist()
    assert found == [[2.0, 0.0], [0.0, 1.5], [0.0, 0.0], [0.75, 0.5]]
    short = Score(model=str(static), into=None, vector_into="v", max_tokens=1)
    assert short.open()(Batch.of(text=texts))["v"].to_pylist()[3] == [1.0, 0.0]
    (static / "config.json").write_text('{"normalize": true}')
    assert stage.open()(Batch.of(text=texts))["v"].to_pylist()[:3] == [[1.0, 0], [0, 1.0], [0, 0]]
    with pytest.raises(DataError, match=r"no head\.json, so this model gives vectors but no score"):
        Score(model=str(static)).open()
    card = made(tmp_path / "on", memory_table, base=str(static))
    assert card["counts"]["tokens"] == 5 and card["held_out"]["auc"] == 1.0
    assert (
        Score(model=str(tmp_path / "on")).open()(Batch.of(text=["proof"]))["quality"][0].as_py()
        > 0.5
    )


def test_what_is_no_model(static: Path, tmp_path: Path) -> None:
    stage = Score(model=str(static), into=None, vector_into="v")

    def problem() -> str:
        (found,) = stage.problems()
        with pytest.raises(DataError):
            stage.open()
        assert Fit(positive="a", negative="b", base=str(static)).problems() == [found]
        return found.removeprefix(f"{static}: ")

    tensors = (static / "model.safetensors").read_bytes()
    (static / "model.safetensors").write_bytes(tensors[:-3])
    assert problem().startswith("not a usable safetensors file")
    for others, message in (
        ({"other": np.zeros(3)}, "no tensor `embeddings`; it has: other"),
        ({"embeddings": np.zeros(3)}, "`embeddings` has the shape (3,), not [n, dim]"),
        ({"embeddings": np.zeros((4, 2))}, "vectors for 4 tokens, tokenizer.json has 5"),
        ({"embeddings": np.full((5, 2), np.nan)}, "a vector is not finite"),
        ({"embeddings": np.zeros((5, 2)), "weights": np.ones(4)}, "(4,) weights for 5 tokens"),
        ({"embeddings": np.zeros((5, 2)), "mapping": np.arange(6)}, "points outside"),
    ):
        safetensors.numpy.save_file(others, static / "model.safetensors")
        assert message in problem()
    (static / "model.safetensors").write_bytes(tensors)
    (static / "tokenizer.json").write_text('{"model"')
    assert problem().startswith("not a tokenizer.json")
    (static / "tokenizer.json").unlink()
    assert problem() == "no static model is there: tokenizer.json is missing"
    (static / "head.json").write_text("{}")
    assert "not one that fit.embedding wrote: KeyError('weight')" in Score(model=str(static)).problems()[0]  # fmt: skip


def test_what_is_refused(memory_table: Table, tmp_path: Path) -> None:
    for fields, message in (
        ({"positive": "a"}, "needs `positive` and `negative`"),
        ({"positive": "a", "negative": "a"}, "a: both positive and negative"),
        ({"task": "regression", "positive": "a"}, "regression needs `examples`"),
    ):
        with pytest.raises(ValidationError, match=message):
            Fit(**fields)
    with pytest.raises(ValidationError, match="name a column"):
        Score(model="m", into=None)
    few = memory_table("good", text=["one", "two"])
    with pytest.raises(DataError, match=r"at least 20 .*; positive \(good\) has [12]"):
        Fit(positive="good", negative="bad").make({"good": few, "bad": few}, str(tmp_path), map)


def test_real_news_in_a_run(shared_data: Path, tmp_path: Path) -> None:
    """Sport against the rest of 1,107 articles, in one file with the stage that scores."""
    with gzip.open(shared_data / "text/bbc.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for name in ("sport", "rest"):
        mine = [row for row in rows if (row["label"] == "sport") == (name == "sport")]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, mine[::2])))
    tables = {
        name: [read.Jsonl(path=str(tmp_path / f"{name}.jsonl"))] for name in ("sport", "rest")
    }
    pipeline = Pipeline(
        name="news",
        tables={
            **tables,
            "about": [fit.Embedding(positive="sport", negative="rest", dim=32, vocab_size=3000)],
            "scored": [read.Table(tables="rest"), score.Embedding(model="about")],
        },
    )
    again = Pipeline.parse(pipeline.to_yaml())
    assert again.tables == pipeline.tables
    finished = pipeline.run(str(tmp_path / "run"))
    scored = finished.scan("scored").collect()
    assert (scored["quality"] < 0.5).mean() > 0.97
    run = json.loads((tmp_path / "run/run.json").read_text())
    (card,) = [one["card"] for one in run["segments"] if one["kind"] == "artifact"]
    assert card["held_out"]["auc"] > 0.98
