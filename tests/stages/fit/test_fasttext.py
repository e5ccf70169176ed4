"""fit.fasttext: a classifier with a card, the same every time; and score.fasttext, which uses it."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import KEY, Batch, keys_of
from ultraclean.errors import DataError, StageError
from ultraclean.stage import Rows
from ultraclean.stages.fit import fasttext_card, fasttext_sample
from ultraclean.stages.fit.fasttext import Fasttext
from ultraclean.stages.score.fasttext import Fasttext as Score

SMALL: dict[str, Any] = {"dim": 16, "bucket": 20_000, "min_count": 2, "epochs": 10, "lr": 0.5}


class Memory(Rows):
    """A table in memory, in batches of `batch_rows`."""

    def __init__(
        self, name: str, texts: Sequence[str | None], batch_rows: int = 37, first: int = 0
    ) -> None:
        self.name, self.n_docs, self.digest = name, len(texts), f"digest of {name}"
        keys = keys_of(name, "file", np.arange(first, first + len(texts)))
        self.table = pa.table({"text": pa.array(texts, pa.string()), KEY: keys})
        self.batch_rows = batch_rows

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        names = list(columns) if columns is not None else self.table.column_names
        for part in self.table.select(names).to_batches(self.batch_rows):
            yield Batch(part)


def sentences(n: int, kind: str, seed: int) -> list[str]:
    """Reviews or recipes, told apart by some of their words."""
    chance = random.Random(f"{kind}{seed}")
    common = ["the", "and", "of", "a", "it", "was", "is", "very", "with", "\n", "中文", "Über"]
    own = {"good": ["theorem", "proof", "lemma", "axiom"], "bad": ["click", "buy", "now", "free"]}
    return [
        " ".join(
            chance.choice(own[kind] if chance.random() < 0.15 else common)
            for _ in range(chance.randint(5, 60))
        )
        for _ in range(n)
    ]


def tables(n: int = 150) -> dict[str, Rows]:
    return {
        "good": Memory("good", sentences(n, "good", 1)),
        "bad": Memory("bad", sentences(2 * n, "bad", 1)),
    }


def make(stage: Fasttext, inputs: dict[str, Rows], folder: Path) -> dict[str, Any]:
    return stage.make(inputs, str(folder), map)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fit") / "quality"
    stage = Fasttext(positive="good", negative="bad", **SMALL)
    return folder, make(stage, tables(), folder)


def test_the_card(fitted: tuple[Path, dict[str, Any]]) -> None:
    folder, card = fitted
    assert card == json.loads((folder / "card.json").read_text())
    counts = card["counts"]
    assert (counts["positive"], counts["negative"], counts["per_class"]) == (150, 300, 150)
    assert counts["train_positive"] + counts["held_out_positive"] == 150
    assert counts["train_negative"] + counts["held_out_negative"] == 150
    assert 5 <= counts["held_out_positive"] <= 30
    held_out = card["held_out"]
    assert held_out["n"] == counts["held_out_positive"] + counts["held_out_negative"]
    assert held_out["auc"] > 0.9
    assert held_out["f1"] > 0.8
    assert sum(part["n"] for part in held_out["calibration"]) == held_out["n"]
    assert 0 <= held_out["calibration_error"] < 0.5
    assert card["threshold"] == 0.5
    assert card["tokenizer"] == "words"
    assert card["deterministic"] is True
    assert card["settings"]["word_ngrams"] == 3
    assert set(card["versions"]) == {"fasttext", "tokenizers", "numpy"}
    assert card["model"]["bytes"] == (folder / "model.bin").stat().st_size
    assert set(card["seconds"]) == {"sample", "train", "all"}


def test_defaults_are_the_official_settings() -> None:
    stage = Fasttext(positive="a", negative="b")
    assert (stage.dim, stage.lr, stage.word_ngrams, stage.min_count, stage.epochs) == (256, 0.1, 3, 5, 3)  # fmt: skip
    assert (stage.loss, stage.threshold, stage.max_per_class) == ("softmax", 0.5, 400_000)
    assert (stage.bucket, stage.threads) == (2_000_000, 1)


def test_the_same_bytes_however_the_tables_are_cut(
    fitted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, card = fitted
    good, bad = sentences(150, "good", 1), sentences(300, "bad", 1)
    stage = Fasttext(positive="good", negative="bad", **SMALL)
    again = make(
        stage, {"good": Memory("good", good, 7), "bad": Memory("bad", bad, 1000)}, tmp_path
    )
    assert (tmp_path / "model.bin").read_bytes() == (folder / "model.bin").read_bytes()
    assert {**again, "seconds": 0} == {**card, "seconds": 0}
    other = make(stage.model_copy(update={"seed": 18}), tables(), tmp_path / "other")
    assert other["training_set"] != card["training_set"]


def test_more_threads_are_said_in_the_card(tmp_path: Path) -> None:
    stage = Fasttext(positive="good", negative="bad", threads=2, **SMALL)
    assert make(stage, tables(40), tmp_path)["deterministic"] is False
    assert stage.resources.cpus == 2


def test_the_score_is_the_probability_of_positive(fitted: tuple[Path, dict[str, Any]]) -> None:
    import fasttext

    from ultraclean.text import classifier

    folder, _ = fitted
    texts: list[str | None] = [*sentences(20, "good", 2), *sentences(20, "bad", 2)]
    texts += [None, "", " \n ", "word </s> word", "__label__neg", "😀", "\0"]
    batch = Batch.of(text=texts, id=list(range(len(texts))))
    found = Score(model=str(folder)).open()(batch)
    assert found.names == ["text", "id", "quality"]
    assert found["quality"].type == pa.float32()
    model = fasttext.load_model(str(folder / "model.bin"))
    for text, score in zip(texts, found["quality"].to_pylist(), strict=True):
        line = classifier.normalise(text or "", classifier.words) + "\n"
        said = {label: p for p, label in model.f.predict(line, 2, 0.0, "strict")}
        assert score == pytest.approx(said["__label__pos"] - 1e-5, abs=1e-6)
    scores = found["quality"].to_numpy()
    assert scores[:20].min() > scores[20:40].max()

    negative = Score(model=str(folder), label="neg", into="p_neg").open()(batch)
    np.testing.assert_allclose(negative["p_neg"].to_numpy() + scores, 1, atol=1e-6)


def test_scores_do_not_depend_on_the_batch(fitted: tuple[Path, dict[str, Any]]) -> None:
    score = Score(model=str(fitted[0])).open()
    texts: list[str | None] = [*sentences(300, "good", 3), None, *sentences(20, "bad", 3)]
    batch = Batch.of(text=pa.array(texts, pa.large_string()))
    whole = score(batch)["quality"].to_pylist()
    chance = random.Random(4)
    for _ in range(4):
        cuts = sorted({0, len(texts), *(chance.randrange(len(texts)) for _ in range(5))})
        parts = [score(batch.slice(a, b - a))["quality"] for a, b in itertools.pairwise(cuts)]
        assert pa.chunked_array(parts).to_pylist() == whole
    assert score(batch.slice(0, 0)).num_rows == 0


def test_a_tokenizer_goes_with_the_model(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences(50, "good", 1) + sentences(50, "bad", 1), trainer)
    path = tmp_path / "some-tokenizer.json"
    tokenizer.save(str(path))

    stage = Fasttext(positive="good", negative="bad", tokenizer=str(path), **SMALL)
    assert stage.problems() == []
    folder = tmp_path / "model"
    card = make(stage, tables(), folder)
    assert card["tokenizer"] == "tokenizer.json"
    assert (folder / "tokenizer.json").read_bytes() == path.read_bytes()
    path.rename(tmp_path / "moved.json")
    assert "some-tokenizer.json" in stage.problems()[0]
    batch = Batch.of(text=sentences(3, "good", 5) + sentences(3, "bad", 5))
    by_card = Score(model=str(folder)).open()(batch)["quality"].to_pylist()
    named = Score(model=str(folder / "model.bin"), tokenizer=str(tmp_path / "moved.json"))
    assert named.problems() == []
    assert named.open()(batch)["quality"].to_pylist() == by_card
    assert min(by_card[:3]) > max(by_card[3:])
    assert Score(model=str(folder), tokenizer="words").open()(batch)["quality"].to_pylist() != by_card  # fmt: skip


def test_raw_and_untokenised_text(tmp_path: Path) -> None:
    for tokenizer in ("raw", None):
        folder = tmp_path / str(tokenizer)
        stage = Fasttext(positive="good", negative="bad", tokenizer=tokenizer, **SMALL)
        card = make(stage, tables(40), folder)
        assert card["tokenizer"] == tokenizer
        score = Score(model=str(folder)).open()
        upper, lower = score(Batch.of(text=["THEOREM and proof", "theorem and proof"]))[
            "quality"
        ].to_pylist()
        assert (upper == lower) is (tokenizer is None)


def test_several_tables_of_a_class(tmp_path: Path) -> None:
    inputs = {**tables(30), "more": Memory("more", sentences(25, "good", 9))}
    stage = Fasttext(positive=["good", "more"], negative="bad", **SMALL)
    assert stage.positive == ("good", "more")
    card = make(stage, inputs, tmp_path)
    assert card["counts"]["positive"] == 55
    assert card["counts"]["per_class"] == 55
    assert card["positive"] == ["good", "more"]


def test_the_sample_is_balanced_and_bounded(tmp_path: Path) -> None:
    stage = Fasttext(positive="good", negative="bad", max_per_class=40, held_out=0, **SMALL)
    card = make(stage, tables(), tmp_path)
    assert card["held_out"] is None
    assert card["counts"]["train_positive"] == card["counts"]["train_negative"] == 40


# --- what cannot be learned -----------------------------------------------------------------------


def test_too_few_documents(tmp_path: Path) -> None:
    stage = Fasttext(positive="good", negative="bad", **SMALL)
    few = Memory("good", [*sentences(12, "good", 1), *[None, "", " \n\t"] * 10])
    expected = (
        r"fit\.fasttext needs at least 20 documents with text in each class\. "
        r"positive \(good\): 42 documents, 30 of them without text; "
        r"negative \(bad\): 300 documents, 0 of them without text\. Add documents"
    )
    with pytest.raises(DataError, match=expected):
        make(stage, {"good": few, "bad": tables()["bad"]}, tmp_path)
    with pytest.raises(DataError, match=r"positive \(good\): 0 documents"):
        make(stage, {"good": Memory("good", []), "bad": tables()["bad"]}, tmp_path)
    assert not (tmp_path / "card.json").exists()


def test_the_same_documents_on_both_sides(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="web: both positive and negative"):
        Fasttext(positive=["web", "seeds"], negative="web")
    same = Memory("good", sentences(50, "good", 1))
    stage = Fasttext(positive="good", negative="copy", **SMALL)
    with pytest.raises(DataError, match=r"hold the same documents \(50 and 50\)"):
        make(stage, {"good": same, "copy": same}, tmp_path)


def test_overlap_is_counted(tmp_path: Path) -> None:
    everything = Memory("bad", sentences(100, "bad", 1))
    part = Memory("bad", sentences(30, "good", 1))  # the keys of the first 30
    part.name, part.digest = "good", "another"
    stage = Fasttext(positive="good", negative="bad", **SMALL)
    card = make(stage, {"good": part, "bad": everything}, tmp_path)
    assert card["counts"]["in_both"] == 30


def test_no_word_is_frequent_enough(tmp_path: Path) -> None:
    chance = random.Random(1)
    unique = ["".join(chance.choices("abcdefghijkl", k=12)) for _ in range(100)]
    inputs = {"good": Memory("good", unique[:50]), "bad": Memory("bad", unique[50:])}
    stage = Fasttext(positive="good", negative="bad", **{**SMALL, "min_count": 900})
    with pytest.raises(DataError, match="no word occurs 900 times in the training set"):
        make(stage, inputs, tmp_path)


def test_training_that_diverges(tmp_path: Path) -> None:
    stage = Fasttext(positive="good", negative="bad", **{**SMALL, "lr": 1e30})
    with pytest.raises(StageError, match="fastText could not train: Encountered NaN"):
        make(stage, tables(), tmp_path)


# --- what score.fasttext refuses -------------------------------------------------------------------


def test_problems_of_a_model(fitted: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = fitted
    assert Score(model=str(folder)).problems() == []
    assert Score(model="quality").problems() == [], "an artifact that is yet to be made"
    assert Score(model="s3://bucket/model.bin").problems() == []
    (absent,) = Score(model=str(tmp_path / "no.bin"), tokenizer="words").problems()
    assert absent.endswith("no.bin: there is no such model")
    (bare,) = Score(model=str(folder / "model.bin")).problems()
    assert "a model file has no card that says which tokenizer it needs" in bare
    (label,) = Score(model=str(folder), label="__label__hq").problems()
    assert label.endswith("the model has no label 'hq'; it has pos, neg") or label.endswith(
        "the model has no label 'hq'; it has neg, pos"
    )
    (tokenizer,) = Score(model=str(folder), tokenizer=str(tmp_path / "t.json")).problems()
    assert tokenizer.endswith("t.json: there is no such tokenizer")
    broken = tmp_path / "broken.bin"
    broken.write_bytes((folder / "model.bin").read_bytes()[:5000])
    (cut,) = Score(model=str(broken), tokenizer="words").problems()
    assert "not a usable fastText model" in cut
    with pytest.raises(DataError, match="not a usable fastText model"):
        Score(model=str(broken), tokenizer="words").open()
    with pytest.raises(DataError, match="the model has no label 'hq'"):
        Score(model=str(folder), label="hq").open()


# --- the parts -------------------------------------------------------------------------------------


def test_training_text_says_no_label_and_ends_where_scoring_ends() -> None:
    text = fasttext_sample.training_text
    assert text("plain text") == "plain text"
    assert text("a __label__neg b __label__x c__label__d") == "a b c__label__d"
    assert text("a </s> b") == "a"
    assert text("a</s> b") == "a</s> b"
    assert text("line\nbreak\rand\0null __label__\vx") == "line break and null x"


def test_candidates_are_the_lowest_of_all() -> None:
    table = Memory("t", sentences(500, "good", 1), batch_rows=11)
    everything = fasttext_sample.candidates([table], 1000, 3)
    some = fasttext_sample.candidates([table], 20, 3)
    assert len(everything.lowest) == 500
    assert some.lowest.tolist() == everything.lowest[:20].tolist()


def test_auc_and_calibration_by_hand() -> None:
    p = np.array([0.1, 0.4, 0.4, 0.8, 1.0])
    positive = np.array([False, False, True, True, False])
    # pairs (positive, negative): .4>.1, .4=.4, .4<1, .8>.1, .8>.4, .8<1 -> 1 + 1/2 + 0 + 1 + 1 + 0
    assert fasttext_card.auc(p, positive) == pytest.approx(3.5 / 6)
    found = fasttext_card.measured(p, positive, 0.5)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["f1"] == 0.5
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert [part["n"] for part in found["calibration"]] == [0, 1, 0, 0, 2, 0, 0, 0, 1, 1]
    error = (1 * 0.1 + 2 * abs(0.5 - 0.4) + 1 * 0.2 + 1 * 1.0) / 5
    assert found["calibration_error"] == pytest.approx(error)
    alone = fasttext_card.measured(np.array([0.2]), np.array([False]), 0.5)
    assert alone["auc"] is None
    assert alone["precision"] is None


def test_auc_equals_its_definition() -> None:
    chance = np.random.default_rng(1)
    p = chance.integers(0, 20, 200) / 20
    positive = chance.random(200) < p
    pairs = p[positive][:, None] - p[~positive][None, :]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert fasttext_card.auc(p, positive) == pytest.approx(expected)


def test_real_text(shared_data: Path, tmp_path: Path) -> None:
    def read(name: str, n: int) -> list[str]:
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line)["text"][:3000] for line in itertools.islice(lines, n)]

    inputs = {
        "textbooks": Memory("textbooks", read("openstax", 150)),
        "reviews": Memory("reviews", read("imdb", 300)),
    }
    stage = Fasttext(positive="textbooks", negative="reviews", **SMALL)
    card = make(stage, inputs, tmp_path)
    assert card["held_out"]["auc"] > 0.99
    batch = Batch.of(text=read("openstax", 170)[150:] + read("imdb", 320)[300:])
    scores = Score(model=str(tmp_path)).open()(batch)["quality"].to_numpy()
    assert (scores[:20] > 0.5).mean() >= 0.9
    assert (scores[20:] < 0.5).mean() >= 0.9
