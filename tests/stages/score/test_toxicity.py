"""Toxicity in two ways: word lists of four languages, and a fastText model as dolma's jigsaw taggers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.score.badwords import Badwords
from ultraclean.stages.score.fasttext import Fasttext

TRAIN = """
import json, sys, fasttext
settings = json.loads(sys.argv[1])
path = settings.pop("model_path")
fasttext.train_supervised(verbose=0, **settings).save_model(path)
"""

SENTENCES = {
    "en": "The old bridge over the river is closed, and {} is what he said.",
    "de": "Die alte Brücke ist gesperrt, und {} hat er gesagt.",
    "fr": "Le vieux pont est fermé, et {} est ce qu'il a dit.",
    "zh": "那座老桥已经关闭，他说了{}这样的话。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_every_word_of_a_list_is_found(language: str, shared_data: Path) -> None:
    path = shared_data / f"tox/{language}.txt"
    words = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    rows = [SENTENCES[language].format(word) for word in ["", *words]]
    columns = {"text": rows, "language": [language] * len(rows)}
    made = Badwords(lists={language: str(path)}).open()(Batch.of(**columns))
    counts = made["n_badwords"].to_pylist()
    assert counts[0] == 0
    missed = [word for word, n in zip(words, counts[1:], strict=True) if not n]
    # an entry of digits alone is no part of a word that goes on, as 13.这 does
    assert missed == (["13."] if language == "zh" else [])


def test_lists_of_languages_keep_apart_on_real_text(shared_data: Path) -> None:
    """News has hardly a bad word; the German list does not judge English, nor the other way round."""
    lists = {name: str(shared_data / f"tox/{name}.txt") for name in SENTENCES}
    with gzip.open(shared_data / "text/bbc.jsonl.gz", "rt") as lines:
        news = [json.loads(next(lines))["text"] for _ in range(300)]
    stage = Badwords(lists=lists)
    own = stage.open()(Batch.of(text=news, language=["en"] * 300))
    assert np.mean(own["n_badwords"].to_numpy() > 0) < 0.05
    assert np.mean(own["badword_fraction"].to_numpy() >= 0.01) < 0.01
    other = stage.open()(
        Batch.of(text=["eine Bitte um Hilfe, der Arsch"] * 2, language=["en", "de"])
    )
    assert other["n_badwords"].to_pylist() == [0, 1]


def test_a_model_with_jigsaws_labels(shared_data: Path, tmp_path: Path) -> None:
    """dolma's models: raw text, lower-case labels `__label__toxic` and `__label__non-toxic`."""
    pytest.importorskip("fasttext")
    words = (shared_data / "tox/en.txt").read_text().splitlines()
    with gzip.open(shared_data / "text/imdb.jsonl.gz", "rt") as lines:
        clean = [" ".join(json.loads(next(lines))["text"].split()[:30]) for _ in range(600)]
    half = len(words) // 2
    toxic = [
        f"{text} you {words[at % half]}, {words[at * 7 % half]}" for at, text in enumerate(clean)
    ]
    train = tmp_path / "train.txt"
    rows = [(f"__label__toxic {bad}", f"__label__non-toxic {good}") for bad, good in zip(toxic[:400], clean[200:], strict=True)]  # fmt: skip
    train.write_text("\n".join(line for pair in rows for line in pair) + "\n")
    settings = {"input": str(train), "model_path": str(tmp_path / "jigsaw.bin"), "thread": 1}
    settings |= {"dim": 16, "epoch": 20, "lr": 0.5, "bucket": 20_000}
    # with zeroed memory: with one thread fastText 0.9.3 leaves most of its matrix as it found it
    environment = {**os.environ, "MALLOC_PERTURB_": "255"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", TRAIN, json.dumps(settings)], env=environment, check=True)

    stage = Fasttext(model=str(tmp_path / "jigsaw.bin"), tokenizer="raw", label="toxic", into="toxicity")  # fmt: skip
    assert stage.problems() == []
    unseen = toxic[400:] + clean[:200]
    score = stage.open()(Batch.of(text=pa.array([*unseen, None])))["toxicity"].to_numpy()[:-1]
    right = (score[:200] >= 0.5).mean(), (score[200:] < 0.5).mean()
    assert min(right) > 0.9
    wrong = Fasttext(model=str(tmp_path / "jigsaw.bin"), tokenizer="raw", label="nsfw").problems()
    assert "toxic" in wrong[0]
